//! Faults of the connection and of the answer.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use zia_mcp::sandbox::{Endpoint, Fault, FaultRule};

use super::lab::{Lab, new_user};

const ORDINARY: u64 = 165_000_013;
const PATH: &str = "/users/165000013";

async fn with(fault: impl Into<FaultRule>) -> Lab {
    let lab = Lab::signed_in().await;
    lab.tenant.faults().switch_on(fault);
    lab
}

fn is_there(lab: &Lab) -> bool {
    lab.tenant.user(ORDINARY).is_some()
}

#[tokio::test]
async fn a_reply_lost_before_apply_changes_nothing() {
    let lab = with(Fault::ReplyLostBeforeApply.times(1)).await;
    let error = lab.try_send(Method::DELETE, PATH, None).await.err().unwrap();
    assert!(error.is_request() && !error.is_connect(), "{error:?}");
    assert!(is_there(&lab));
    let entry = lab.tenant.journal().pop().unwrap();
    assert_eq!((entry.status, entry.applied), (None, false));
    assert_eq!(entry.fault.as_deref(), Some("reply_lost_before_apply"));
    assert_eq!(lab.delete(PATH).await.status, 204);
}

#[tokio::test]
async fn a_reply_lost_after_apply_has_changed_it() {
    let lab = with(Fault::ReplyLostAfterApply.on(Endpoint::DeleteUser)).await;
    assert!(lab.try_send(Method::DELETE, PATH, None).await.is_err());
    assert!(!is_there(&lab));
    let entry = lab.tenant.journal().pop().unwrap();
    assert_eq!((entry.status, entry.applied), (None, true));
    assert_eq!(lab.get("/users").await.status, 200, "other endpoints are spared");
}

#[tokio::test]
async fn a_refused_call_spares_a_fault_of_applied_calls() {
    let lab = with(Fault::ReplyLostAfterApply.on(Endpoint::DeleteUser).times(1)).await;
    assert_eq!(lab.delete("/users/1").await.status, 404);
    assert_eq!(lab.tenant.faults().active().len(), 1);
    assert!(lab.try_send(Method::DELETE, PATH, None).await.is_err());
    assert_eq!(lab.tenant.faults().active(), []);
}

#[tokio::test]
async fn a_hanging_call_is_never_answered() {
    for applied in [false, true] {
        let lab = with(Fault::Hang { applied }.on(Endpoint::DeleteUser)).await;
        let call = tokio::time::timeout(Duration::from_millis(100), lab.try_send(Method::DELETE, PATH, None));
        assert!(call.await.is_err());
        let entry = lab.tenant.journal().pop().unwrap();
        assert_eq!((entry.endpoint, entry.status, entry.applied), (Endpoint::DeleteUser, None, applied));
        assert_eq!(is_there(&lab), !applied);
    }
}

#[tokio::test]
async fn a_delayed_call_is_answered_late() {
    let lab = with(Fault::Delay { ms: 60 }).await;
    let since = Instant::now();
    assert_eq!(lab.get("/status").await.status, 200);
    assert!(since.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn a_call_whose_caller_has_left_is_carried_out_all_the_same() {
    let lab = with(Fault::Delay { ms: 50 }.on(Endpoint::DeleteUser)).await;
    {
        let call = lab.try_send(Method::DELETE, PATH, None);
        tokio::select! {
            _ = call => panic!("answered before the delay"),
            () = lab.tenant.arrived(Endpoint::DeleteUser, 1) => {}
        }
    }
    assert!(is_there(&lab));
    let gone = async {
        while is_there(&lab) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
}

#[tokio::test]
async fn a_body_can_drip() {
    let lab = with(Fault::SlowDrip { bytes: 5, every_ms: 15 }).await;
    let since = Instant::now();
    assert_eq!(lab.get("/status").await.text, r#"{"status":"ACTIVE"}"#);
    assert!(since.elapsed() >= Duration::from_millis(60), "19 bytes, 5 at a time");
}

#[tokio::test]
async fn a_body_can_break_off_after_its_head() {
    for after in [None, Some(0), Some(7)] {
        let lab = with(Fault::TruncatedBody { after }.on(Endpoint::ListUsers)).await;
        let error = lab.try_send(Method::GET, "/users", None).await.err().unwrap();
        assert!(error.is_body() || error.is_decode(), "the head arrived: {error:?}");
        assert_eq!(lab.tenant.journal().pop().unwrap().status, Some(200));
    }
}

#[tokio::test]
async fn a_body_can_claim_to_be_gzip() {
    let lab = with(Fault::BadGzip).await;
    assert!(lab.try_send(Method::GET, "/users", None).await.is_err());
}

#[tokio::test]
async fn a_page_of_html_can_come_instead() {
    let lab = with(Fault::HtmlPage { status: 200, applied: false }.times(1)).await;
    let answer = lab.delete(PATH).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text.starts_with("<!doctype html>"));
    assert_eq!(answer.header("content-type"), Some("text/html;charset=utf-8"));
    assert!(is_there(&lab));
    lab.tenant.faults().switch_on(Fault::HtmlPage { status: 502, applied: true });
    assert_eq!(lab.delete(PATH).await.status, 502);
    assert!(!is_there(&lab));
}

#[tokio::test]
async fn an_error_may_or_may_not_have_been_carried_out() {
    for applied in [false, true] {
        let lab = with(Fault::ServerError { status: 500, applied }.times(1)).await;
        let answer = lab.delete(PATH).await;
        let expected = json!({
            "code": "UNEXPECTED_ERROR",
            "message": "An unexpected error has occurred, please contact Zscaler's support",
        });
        assert_eq!((answer.status, answer.json()), (500, expected));
        assert_eq!(is_there(&lab), !applied);
        let entry = lab.tenant.journal().pop().unwrap();
        assert_eq!((entry.status, entry.applied), (Some(500), applied));
    }
    let lab = with(Fault::ServerError { status: 503, applied: false }).await;
    assert!(lab.get("/users").await.text.contains("HTTP Status 503"));
}

#[tokio::test]
async fn empty_errors_and_bare_404s_have_no_body() {
    let lab = with(Fault::Empty500.times(1)).await;
    let answer = lab.get("/users").await;
    assert_eq!((answer.status, answer.text.as_str(), answer.header("content-type")), (500, "", None));
    lab.tenant.faults().switch_on(Fault::Bare404.on(Endpoint::DeleteUser));
    let answer = lab.delete(PATH).await;
    assert_eq!((answer.status, answer.text.as_str(), answer.header("content-type")), (404, "", None));
    assert!(is_there(&lab));
}

#[tokio::test]
async fn any_answer_can_be_put_in_place() {
    let body = r#"[{"id":"not a number"}]"#;
    let answer = Fault::AnswerWith {
        status: 200,
        content_type: "application/json".into(),
        body: body.into(),
        applied: false,
    };
    let lab = with(answer.on(Endpoint::ListUsers)).await;
    assert_eq!(lab.get("/users").await.text, body);
}

#[tokio::test]
async fn a_redirect_points_to_another_host() {
    let lab = with(Fault::Redirect { location: "http://redirected.invalid/".into() }).await;
    let answer = lab.get("/users").await;
    assert_eq!((answer.status, answer.header("location")), (302, Some("http://redirected.invalid/")));
}

#[tokio::test]
async fn too_many_requests_comes_in_any_spelling() {
    let lab = with(Fault::TooManyRequests { header: None, body: None }).await;
    let answer = lab.get("/users").await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, None));
    assert_eq!(answer.text, r#"{"message":"Rate Limit (1/SECOND) exceeded","Retry-After":"1 seconds"}"#);
    let spelling = Fault::TooManyRequests {
        header: Some("4s".into()),
        body: Some(r#"{"Retry-After":"2 minutes"}"#.into()),
    };
    lab.tenant.faults().switch_on(spelling);
    let answer = lab.get("/users").await;
    assert_eq!(
        (answer.header("retry-after"), answer.text.as_str()),
        (Some("4s"), r#"{"Retry-After":"2 minutes"}"#)
    );
}

#[tokio::test]
async fn overload_is_401_with_another_text() {
    let lab = with(Fault::ResourceAccessBlocked.times(1)).await;
    let answer = lab.get("/users").await;
    assert_eq!((answer.status, answer.text.as_str()), (401, "Resource Access Blocked"));
    assert_eq!(lab.get("/users").await.status, 200, "the session is still good");
}

#[tokio::test]
async fn a_fault_spares_the_first_calls_and_strikes_so_often() {
    let lab = with(Fault::Empty500.on(Endpoint::ListUsers).after(2).times(1)).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(lab.get("/users").await.status);
    }
    assert_eq!(statuses, [200, 200, 500, 200]);
}

#[tokio::test]
async fn reads_lag_behind_a_delete() {
    let lab = with(Fault::ReadAfterWriteLag { reads: 2 }.times(1)).await;
    assert_eq!(lab.delete(PATH).await.status, 204);
    assert_eq!(lab.get(PATH).await.json()["name"], json!("Casey Commented"));
    assert_eq!(lab.get("/users?name=casey").await.json().as_array().unwrap().len(), 1);
    assert_eq!(lab.get(PATH).await.status, 404);
    assert_eq!(lab.get("/users?name=casey").await.json(), json!([]));
}

#[tokio::test]
async fn reads_lag_behind_a_create_and_an_update() {
    let lab = with(Fault::ReadAfterWriteLag { reads: 2 }).await;
    let id = lab.create("late@example.com").await;
    assert_eq!(lab.get(&format!("/users/{id}")).await.status, 404);
    assert_eq!(lab.get("/users?name=late%40").await.json(), json!([]));
    assert_eq!(lab.get(&format!("/users/{id}")).await.status, 200);
    lab.put(PATH, json!({"name": "Renamed"})).await;
    assert_eq!(lab.get("/users?name=Casey").await.json().as_array().unwrap().len(), 1);
    assert_eq!(lab.get(PATH).await.json()["name"], json!("Casey Commented"));
    assert_eq!(lab.get(PATH).await.json()["name"], json!("Renamed"));
}

#[tokio::test]
async fn a_lost_create_is_there_and_cannot_be_sent_again() {
    let lab = with(Fault::ReplyLostAfterApply.on(Endpoint::CreateUser).times(1)).await;
    let body = new_user("lost@example.com");
    assert!(lab.try_send(Method::POST, "/users", Some(body.clone())).await.is_err());
    assert!(lab.tenant.user_by_email("LOST@example.com").is_some());
    assert_eq!(lab.post("/users", body).await.status, 409);
}

#[tokio::test]
async fn every_fault_has_a_name_of_its_own() {
    let told = [
        (Fault::Empty500, "empty_500"),
        (Fault::Bare404, "bare_404"),
        (Fault::Hang { applied: true }, "hang"),
        (Fault::BulkDeleteAnswers204, "bulk_delete_answers_204"),
        (Fault::DeleteAnswers200, "delete_answers_200"),
        (Fault::ReadOnly, "read_only"),
    ];
    for (fault, name) in told {
        assert_eq!(fault.name(), name);
    }
}

#[tokio::test]
async fn another_administrator_can_act_right_before_or_right_after_a_call() {
    let lab = with(Fault::OtherAdminDeletes { user: None, after: false }.on(Endpoint::DeleteUser)).await;
    assert_eq!(lab.delete(PATH).await.status, 404);
    assert!(!is_there(&lab));

    let lab = with(Fault::OtherAdminChanges { user: None, after: true }.on(Endpoint::GetUser).times(1)).await;
    assert!(!lab.get(PATH).await.text.contains("another administrator"));
    assert!(lab.get(PATH).await.text.contains("another administrator"));

    let elsewhere = Fault::OtherAdminDeletes { user: Some(ORDINARY), after: false };
    let lab = with(elsewhere.on(Endpoint::Status)).await;
    lab.get("/status").await;
    assert!(!is_there(&lab));
}

#[tokio::test]
async fn a_directory_can_make_a_deleted_user_anew_under_another_id() {
    let lab = with(Fault::RecreatedAfterDelete).await;
    let email = lab.tenant.user(ORDINARY).unwrap().email;
    assert_eq!(lab.delete(PATH).await.status, 204);
    let anew = lab.tenant.user_by_email(&email).unwrap();
    assert!(anew.id != ORDINARY && !is_there(&lab));
}
