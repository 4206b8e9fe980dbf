//! The control paths, for those who run the tenant as another process.
#![allow(clippy::disallowed_methods)] // a test may send as it likes

use reqwest::Method;
use serde_json::{Value, json};

use super::lab::Lab;

const ORDINARY: u64 = 165_000_013;

#[tokio::test]
async fn faults_are_switched_over_http() {
    let lab = Lab::signed_in().await;
    let body = json!({"endpoint": "DELETE /users/{id}", "count": 1, "status": 502});
    assert_eq!(lab.control(Method::PUT, "/faults/server_error", body).await.status, 200);
    assert_eq!(lab.control(Method::PUT, "/faults/read_only", Value::Null).await.status, 200);
    let active = lab.control(Method::GET, "/faults", Value::Null).await.json();
    assert_eq!(
        active,
        json!([
            {"fault": {"server_error": {"status": 502, "applied": false}}, "endpoint": "DELETE /users/{id}", "skip": 0, "count": 1},
            {"fault": "read_only", "endpoint": null, "skip": 0, "count": null},
        ])
    );
    assert_eq!(lab.delete("/users/165000013").await.status, 502);
    assert_eq!(lab.delete("/users/165000013").await.status, 403);
    lab.control(Method::DELETE, "/faults/read_only", Value::Null).await;
    assert_eq!(lab.delete("/users/165000013").await.status, 204);
    lab.control(Method::PUT, "/faults/hang", Value::Null).await;
    lab.control(Method::DELETE, "/faults", Value::Null).await;
    assert_eq!(lab.get("/status").await.status, 200);
}

#[tokio::test]
async fn wrong_names_and_parameters_are_refused() {
    let lab = Lab::signed_in().await;
    for (name, body) in [
        ("no_such_fault", json!({})),
        ("server_error", json!({})),
        ("server_error", json!({"status": 500, "aplied": true})),
        ("read_only", json!({"status": 500})),
        ("hang", json!({"endpoint": "DELETE /user"})),
    ] {
        let answer = lab.control(Method::PUT, &format!("/faults/{name}"), body).await;
        assert_eq!(answer.status, 400, "{name}");
        assert!(!answer.json()["error"].as_str().unwrap().is_empty());
    }
    assert_eq!(lab.control(Method::GET, "/nothing", Value::Null).await.status, 404);
    assert_eq!(lab.control(Method::POST, "/clock", json!({"advance": 1})).await.status, 400);
}

#[tokio::test]
async fn the_journal_and_the_counters_tell_every_call() {
    let lab = Lab::signed_in().await;
    lab.get("/users?name=casey").await;
    lab.delete("/users/165000013").await;
    let journal = lab.control(Method::GET, "/journal", Value::Null).await.json();
    let list = &journal[1];
    assert_eq!((&list["seq"], &list["endpoint"]), (&json!(2), &json!("GET /users")));
    assert_eq!((&list["path"], &list["query"]), (&json!("/api/v1/users"), &json!("name=casey")));
    assert_eq!((&list["status"], &list["applied"]), (&json!(200), &json!(false)));
    assert_eq!(list["admin"], json!("api.admin@example.com"));
    let delete = lab.control(Method::GET, "/journal?since=2", Value::Null).await.json();
    assert_eq!(delete.as_array().unwrap().len(), 1);
    assert_eq!((&delete[0]["status"], &delete[0]["applied"]), (&json!(204), &json!(true)));
    let counters = lab.control(Method::GET, "/counters", Value::Null).await.json();
    let expected = json!({"POST /authenticatedSession": 1, "GET /users": 1, "DELETE /users/{id}": 1});
    assert_eq!(counters, expected, "control calls are not counted");
    lab.control(Method::DELETE, "/journal", Value::Null).await;
    assert_eq!(lab.control(Method::GET, "/counters", Value::Null).await.json(), json!({}));
    lab.get("/status").await;
    assert_eq!(lab.control(Method::GET, "/journal", Value::Null).await.json()[0]["seq"], json!(4));
}

#[tokio::test]
async fn another_administrator_acts_over_http() {
    let lab = Lab::signed_in().await;
    lab.control(Method::POST, "/foreign/stage", Value::Null).await;
    assert_eq!(lab.status().await, "PENDING");
    lab.control(Method::POST, "/foreign/activate", Value::Null).await;
    assert_eq!(lab.status().await, "ACTIVE");
    let user = json!({"name": "Theirs", "email": "theirs@example.com"});
    let made = lab.control(Method::POST, "/foreign/create", json!({"user": user})).await.json();
    assert_eq!(made["email"], json!("theirs@example.com"));
    let change = json!({"id": ORDINARY, "user": {"name": "Renamed"}, "staged": true});
    assert_eq!(lab.control(Method::POST, "/foreign/change", change).await.json()["name"], json!("Renamed"));
    let name = async |view: &str| {
        lab.control(Method::GET, &format!("/users/{ORDINARY}?view={view}"), Value::Null).await.json()["name"]
            .clone()
    };
    assert_eq!((name("staged").await, name("live").await), (json!("Renamed"), json!("Casey Commented")));
    lab.control(Method::POST, "/foreign/delete", json!({"id": ORDINARY})).await;
    assert_eq!(lab.control(Method::GET, "/users/165000013", Value::Null).await.status, 404);
    assert_eq!(lab.control(Method::POST, "/foreign/delete", json!({"id": 1})).await.status, 400);
    let live = lab.control(Method::GET, "/users?view=live", Value::Null).await.json();
    let staged = lab.control(Method::GET, "/users", Value::Null).await.json();
    assert_eq!((live.as_array().unwrap().len(), staged.as_array().unwrap().len()), (60, 60));
}

#[tokio::test]
async fn clock_lock_limits_and_sessions_are_steered_over_http() {
    let lab = Lab::signed_in().await;
    lab.control(Method::PUT, "/limits", json!({"policy": "documented"})).await;
    lab.get("/users").await;
    assert_eq!(lab.get("/users").await.status, 429);
    lab.control(Method::DELETE, "/limits", Value::Null).await;
    assert_eq!(lab.get("/users").await.status, 200);
    lab.control(Method::PUT, "/limits", json!({"policy": {"times": 2}})).await;
    assert_eq!(lab.get("/users").await.status, 200);
    lab.control(Method::PUT, "/edit_lock", json!({"ms": 1000})).await;
    assert_eq!(lab.delete("/users/165000013").await.status, 409);
    let now = lab.control(Method::POST, "/clock", json!({"advance_ms": 1000})).await;
    assert_eq!(now.status, 200);
    assert_eq!(lab.delete("/users/165000013").await.status, 204);
    lab.control(Method::DELETE, "/sessions", Value::Null).await;
    assert_eq!(lab.get("/status").await.status, 401);
    let overview = lab.control(Method::GET, "", Value::Null).await.json();
    assert_eq!(
        (&overview["status"], &overview["sessions"], &overview["users"]),
        (&json!("ACTIVE"), &json!(0), &json!(59))
    );
}

#[tokio::test]
async fn a_web_page_cannot_steer_the_tenant() {
    let lab = Lab::signed_in().await;
    let url = format!("{}/_sandbox/faults", lab.tenant.base_url());
    let sent = lab.client().delete(url).header("origin", "http://evil.example").send().await.unwrap();
    assert_eq!(sent.status(), 403);
}
