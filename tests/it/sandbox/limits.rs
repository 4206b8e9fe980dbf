//! The documented limits.

use std::time::Duration;

use serde_json::json;
use zia_mcp::sandbox::{LimitPolicy, SandboxOptions};

use super::lab::{Lab, options};

async fn limited() -> Lab {
    Lab::signed_in_with(SandboxOptions { limits: LimitPolicy::Documented, ..options() }).await
}

/// Calls until one is refused, moving the clock by `step` in between, and gives the count let through.
async fn passes(lab: &Lab, path: &str, step: Duration, most: usize) -> usize {
    for passed in 0..most {
        if lab.get(path).await.status == 429 {
            return passed;
        }
        lab.clock.advance(step);
    }
    most
}

#[tokio::test]
async fn a_second_list_within_a_second_is_429_as_recorded() {
    let lab = limited().await;
    assert_eq!(lab.get("/users").await.status, 200);
    let answer = lab.get("/users").await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.text, r#"{"message":"Rate Limit (1/SECOND) exceeded","Retry-After":"1 seconds"}"#);
    assert_eq!(answer.header("retry-after"), Some("1"));
    lab.clock.advance(Duration::from_millis(999));
    assert_eq!(lab.get("/users").await.status, 429);
    lab.clock.advance(Duration::from_millis(1));
    assert_eq!(lab.get("/users").await.status, 200);
}

#[tokio::test]
async fn lists_of_users_have_a_minute_and_an_hour_limit_as_well() {
    let lab = limited().await;
    assert_eq!(passes(&lab, "/users", Duration::from_secs(1), 60).await, 10);
    let answer = lab.get("/users").await;
    assert_eq!(
        answer.json(),
        json!({"message": "Rate Limit (10/MINUTE) exceeded", "Retry-After": "50 seconds"})
    );
    lab.tenant.reset_limits();
    assert_eq!(passes(&lab, "/users", Duration::from_secs(10), 100).await, 40);
    let answer = lab.get("/users").await;
    assert_eq!(answer.header("retry-after"), Some("3200"));
    assert_eq!(answer.json()["message"], json!("Rate Limit (40/HOUR) exceeded"));
}

#[tokio::test]
async fn each_endpoint_has_limits_of_its_own() {
    let lab = limited().await;
    assert_eq!(lab.get("/users").await.status, 200);
    assert_eq!(lab.get("/groups").await.status, 200);
    assert_eq!(lab.get("/groups").await.status, 429);
    assert_eq!(lab.get("/users/references").await.status, 200);
    assert_eq!(lab.get("/users/references").await.status, 200);
    let answer = lab.get("/users/references").await;
    assert_eq!(answer.json()["message"], json!("Rate Limit (2/SECOND) exceeded"));
    assert_eq!(lab.delete("/users/165000013").await.status, 204);
    assert_eq!(lab.delete("/users/165000014").await.status, 429);
    assert!(lab.tenant.user(165_000_014).is_some(), "a refused call does nothing");
}

#[tokio::test]
async fn bulk_delete_is_once_a_minute_and_four_times_an_hour() {
    let lab = limited().await;
    let delete = || lab.post("/users/bulkDelete", json!({"ids": []}));
    for _ in 0..4 {
        assert_eq!(delete().await.status, 200);
        assert_eq!(delete().await.status, 429);
        lab.clock.advance(Duration::from_secs(60));
        lab.get("/authenticatedSession").await;
    }
    assert_eq!(delete().await.json()["message"], json!("Rate Limit (4/HOUR) exceeded"));
}

#[tokio::test]
async fn activation_is_ten_a_minute() {
    let lab = limited().await;
    for _ in 0..10 {
        assert_eq!(lab.activate().await.status, 200);
    }
    assert_eq!(lab.activate().await.json()["message"], json!("Rate Limit (10/MINUTE) exceeded"));
}

#[tokio::test]
async fn sign_in_is_twice_a_second() {
    let lab = limited().await;
    assert_eq!(lab.post("/authenticatedSession", json!({})).await.status, 400);
    assert_eq!(lab.post("/authenticatedSession", json!({})).await.status, 429);
}

#[tokio::test]
async fn limits_can_be_multiplied_or_switched_off() {
    let lab = limited().await;
    lab.tenant.set_limits(LimitPolicy::Times(3));
    assert_eq!(passes(&lab, "/users", Duration::ZERO, 9).await, 3);
    lab.tenant.set_limits(LimitPolicy::Off);
    assert_eq!(passes(&lab, "/users", Duration::ZERO, 9).await, 9);
}

#[tokio::test]
async fn the_gateways_own_bucket_says_nothing_about_the_endpoints() {
    let lab = Lab::with_token().await;
    lab.tenant.set_limits(LimitPolicy::Documented);
    lab.get("/users").await;
    let answer = lab.get("/users").await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("x-ratelimit-limit"), Some("5000, 5000;w=60"));
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("4998"));
    assert_eq!(answer.header("x-ratelimit-reset"), Some("5"));
}
