//! Staged and live, activation, the edit lock and maintenance.

use std::time::{Duration, Instant};

use serde_json::json;
use zia_mcp::sandbox::{Endpoint, Fault, SandboxOptions};

use super::lab::{Lab, options};

const ORDINARY: u64 = 165_000_013;

/// A tenant with one staged delete.
async fn with_a_staged_delete() -> Lab {
    let lab = Lab::signed_in().await;
    assert_eq!(lab.status().await, "ACTIVE");
    assert_eq!(lab.delete(&format!("/users/{ORDINARY}")).await.status, 204);
    lab
}

#[tokio::test]
async fn a_write_is_pending_until_it_is_activated() {
    let lab = with_a_staged_delete().await;
    assert_eq!(lab.status().await, "PENDING");
    assert!(lab.tenant.user(ORDINARY).is_none());
    assert!(lab.tenant.live_user(ORDINARY).is_some());
    assert_eq!(lab.tenant.live_users().len(), 60);
    let staged = lab.tenant.staged_changes();
    assert_eq!((staged[0].what, staged[0].user_id), ("delete user", Some(ORDINARY)));
    assert_eq!(&*staged[0].admin, "api.admin@example.com");
    let answer = lab.activate().await;
    assert_eq!((answer.status, answer.json()), (200, json!({"status": "ACTIVE"})));
    assert_eq!(lab.status().await, "ACTIVE");
    assert!(lab.tenant.live_user(ORDINARY).is_none());
    assert_eq!(lab.tenant.live_users().len(), 59);
}

#[tokio::test]
async fn creates_and_updates_are_staged_too() {
    let lab = Lab::signed_in().await;
    let id = lab.create("staged@example.com").await;
    assert!(lab.tenant.live_user(id).is_none());
    lab.put(&format!("/users/{ORDINARY}"), json!({"name": "Renamed"})).await;
    assert_eq!(lab.tenant.live_user(ORDINARY).unwrap().name, "Casey Commented");
    lab.activate().await;
    assert_eq!(lab.tenant.live_user(id).unwrap().email, "staged@example.com");
    assert_eq!(lab.tenant.live_user(ORDINARY).unwrap().name, "Renamed");
}

#[tokio::test]
async fn the_activation_body_may_be_empty_or_ask_for_active() {
    let lab = Lab::signed_in().await;
    assert_eq!(lab.post("/status/activate", json!({"status": "ACTIVE"})).await.status, 200);
    assert_eq!(lab.post("/status/activate", json!([])).await.status, 400);
    assert_eq!(lab.post("/status/activate", json!({"force": true})).await.status, 400);
}

#[tokio::test]
async fn activation_publishes_other_administrators_changes_too() {
    let lab = Lab::signed_in().await;
    lab.tenant.other_admin().stage_foreign_change();
    lab.tenant.other_admin().delete_user(ORDINARY, true).unwrap();
    assert_eq!(lab.status().await, "PENDING");
    assert!(lab.tenant.live_user(ORDINARY).is_some());
    lab.activate().await;
    assert_eq!(lab.status().await, "ACTIVE");
    assert!(lab.tenant.live_user(ORDINARY).is_none());
}

#[tokio::test]
async fn signing_out_publishes_the_own_changes_only() {
    let lab = with_a_staged_delete().await;
    lab.tenant.other_admin().stage_foreign_change();
    let answer = lab.delete("/authenticatedSession").await;
    assert_eq!(answer.json(), json!({"status": "PENDING"}), "the other administrator's change waits");
    assert!(lab.tenant.live_user(ORDINARY).is_none());
    assert_eq!(lab.tenant.staged_changes().len(), 1);
}

#[tokio::test]
async fn a_session_that_times_out_publishes_its_changes() {
    let lab = with_a_staged_delete().await;
    lab.tenant.other_admin().stage_foreign_change();
    lab.clock.advance(Duration::from_secs(299));
    assert!(lab.tenant.live_user(ORDINARY).is_some());
    lab.clock.advance(Duration::from_secs(1));
    assert!(lab.tenant.live_user(ORDINARY).is_none());
    assert_eq!(lab.tenant.staged_changes().len(), 1);
}

#[tokio::test]
async fn an_idle_token_publishes_its_changes_and_stays_good() {
    let lab = Lab::with_token().await;
    lab.delete(&format!("/users/{ORDINARY}")).await;
    lab.clock.advance(Duration::from_secs(300));
    assert!(lab.tenant.live_user(ORDINARY).is_none());
    assert_eq!(lab.status().await, "ACTIVE");
}

#[tokio::test]
async fn a_user_whom_two_administrators_edit_waits_for_both() {
    let lab = Lab::signed_in().await;
    lab.tenant.other_admin().change_user(ORDINARY, &json!({"name": "Theirs"}), true).unwrap();
    lab.put(&format!("/users/{ORDINARY}"), json!({"name": "Ours"})).await;
    lab.delete("/authenticatedSession").await;
    assert_eq!(lab.tenant.live_user(ORDINARY).unwrap().name, "Casey Commented");
    lab.tenant.other_admin().activate();
    assert_eq!(lab.tenant.live_user(ORDINARY).unwrap().name, "Ours");
}

#[tokio::test]
async fn without_an_accepted_agreement_nothing_activates() {
    let lab = with_a_staged_delete().await;
    lab.tenant.faults().switch_on(Fault::EusaUnaccepted);
    assert_eq!(lab.get("/eusaStatus/latest").await.json()["acceptedStatus"], json!(false));
    assert_eq!(lab.activate().await.json(), json!({"status": "PENDING"}));
    lab.delete("/authenticatedSession").await;
    assert!(lab.tenant.live_user(ORDINARY).is_some());
}

#[tokio::test]
async fn accepting_the_agreement_lets_changes_activate() {
    let lab = with_a_staged_delete().await;
    lab.tenant.faults().switch_on(Fault::EusaUnaccepted);
    assert_eq!(lab.put("/eusaStatus/3183", json!({})).await.json()["acceptedStatus"], json!(true));
    assert_eq!(lab.activate().await.json(), json!({"status": "ACTIVE"}));
}

#[tokio::test]
async fn activation_can_fail_and_publish_nothing() {
    let lab = with_a_staged_delete().await;
    lab.tenant.faults().switch_on(Fault::ActivationFails { status: 500 }.times(1));
    let answer = lab.activate().await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (500, Some("UNEXPECTED_ERROR")));
    assert_eq!(lab.status().await, "PENDING");
    assert_eq!(lab.activate().await.status, 200);
    assert_eq!(lab.status().await, "ACTIVE");
}

#[tokio::test]
async fn activation_can_lie() {
    let lab = with_a_staged_delete().await;
    lab.tenant.faults().switch_on(Fault::ActivationLies);
    assert_eq!(lab.activate().await.json(), json!({"status": "ACTIVE"}));
    assert_eq!(lab.status().await, "PENDING");
    assert!(lab.tenant.live_user(ORDINARY).is_some());
}

#[tokio::test]
async fn activation_can_stick_for_some_reads_or_for_good() {
    let lab = with_a_staged_delete().await;
    lab.tenant.faults().switch_on(Fault::ActivationSticks { reads: Some(3) }.times(1));
    assert_eq!(lab.activate().await.json(), json!({"status": "INPROGRESS"}));
    assert_eq!(
        [lab.status().await, lab.status().await, lab.status().await],
        ["INPROGRESS", "INPROGRESS", "ACTIVE"]
    );
    assert!(lab.tenant.live_user(ORDINARY).is_none());
    lab.create("stuck@example.com").await;
    lab.tenant.faults().switch_on(Fault::ActivationSticks { reads: None }.times(1));
    lab.activate().await;
    for _ in 0..10 {
        assert_eq!(lab.status().await, "INPROGRESS");
    }
    lab.tenant.other_admin().activate();
    assert_eq!(lab.status().await, "ACTIVE");
}

#[tokio::test]
async fn activation_can_be_queued() {
    let lab = with_a_staged_delete().await;
    lab.tenant.faults().switch_on(Fault::ActivationQueues { reads: Some(2) }.times(1));
    assert_eq!(lab.activate().await.json(), json!({"status": "PENDING"}));
    assert_eq!([lab.status().await, lab.status().await], ["PENDING", "ACTIVE"]);
}

#[tokio::test]
async fn a_write_waits_for_the_edit_lock_and_then_is_refused_with_a_bare_code() {
    let lab = Lab::signed_in().await;
    lab.tenant.other_admin().hold_edit_lock(None);
    let since = Instant::now();
    let answer = lab.delete(&format!("/users/{ORDINARY}")).await;
    assert!(since.elapsed() >= Duration::from_millis(40), "the call is held first");
    assert_eq!((answer.status, answer.text.as_str()), (409, r#"{"code":"EDIT_LOCK_NOT_AVAILABLE"}"#));
    assert!(lab.tenant.user(ORDINARY).is_some());
    assert_eq!(lab.get("/users").await.status, 200, "reads go on");
    lab.tenant.other_admin().release_edit_lock();
    assert_eq!(lab.delete(&format!("/users/{ORDINARY}")).await.status, 204);
}

#[tokio::test]
async fn a_write_goes_on_when_the_lock_is_released_in_time() {
    let lab =
        Lab::signed_in_with(SandboxOptions { edit_lock_hold: Duration::from_secs(60), ..options() }).await;
    let other = lab.tenant.other_admin();
    other.hold_edit_lock(Some(Duration::from_secs(5)));
    let delete = lab.delete("/users/165000013");
    let advance = async {
        lab.tenant.arrived(Endpoint::DeleteUser, 1).await;
        lab.clock.advance(Duration::from_secs(5));
    };
    let (answer, ()) = tokio::join!(delete, advance);
    assert_eq!(answer.status, 204);
}

#[tokio::test]
async fn the_lock_can_hit_any_call_by_name() {
    let lab = Lab::signed_in().await;
    lab.tenant.faults().switch_on(Fault::EditLock { hold_ms: Some(1) }.on(Endpoint::ListUsers).times(1));
    assert_eq!(lab.get("/users").await.text, r#"{"code":"EDIT_LOCK_NOT_AVAILABLE"}"#);
    assert_eq!(lab.get("/users").await.status, 200);
    lab.tenant.faults().switch_on(Fault::OrgBarrier.on(Endpoint::DeleteUser));
    let answer = lab.delete(&format!("/users/{ORDINARY}")).await;
    let barrier = json!({"code": "UNEXPECTED_ERROR", "message": "Failed during enter Org barrier"});
    assert_eq!((answer.status, answer.json()), (412, barrier));
}

#[tokio::test]
async fn in_maintenance_writes_are_refused_and_reads_go_on() {
    let lab = Lab::signed_in().await;
    lab.tenant.faults().switch_on(Fault::ReadOnly);
    let answer = lab.delete(&format!("/users/{ORDINARY}")).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (403, Some("STATE_READONLY")));
    assert_eq!(answer.header("x-zscaler-mode"), Some("read-only"));
    assert_eq!(lab.activate().await.status, 403);
    let answer = lab.get("/users").await;
    assert_eq!((answer.status, answer.header("x-zscaler-mode")), (200, Some("read-only")));
}

#[tokio::test]
async fn what_another_administrator_does_is_live_at_once_unless_staged() {
    let lab = Lab::signed_in().await;
    let other = lab.tenant.other_admin();
    let made = other.create_user(&json!({"name": "Theirs", "email": "theirs@example.com"}), false).unwrap();
    assert_eq!(lab.tenant.live_user(made.id).unwrap().name, "Theirs");
    let changed = other
        .change_user(ORDINARY, &json!({"department": null, "email": "moved@example.com"}), false)
        .unwrap();
    assert_eq!((changed.department, changed.email.as_str()), (None, "moved@example.com"));
    assert_eq!(changed.groups.len(), 1, "the rest stays");
    other.delete_user(165_000_009, false).unwrap();
    assert!(lab.tenant.live_user(165_000_009).is_none(), "a synced user too");
    assert_eq!(lab.status().await, "ACTIVE");
    assert!(other.delete_user(1, false).is_err());
    assert!(other.create_user(&json!({"name": "Twice", "email": "theirs@example.com"}), false).is_err());
    assert!(other.change_user(ORDINARY, &json!({"email": "Theirs@example.com"}), false).is_err());
}

#[tokio::test]
async fn all_sessions_can_be_ended() {
    let lab = with_a_staged_delete().await;
    lab.tenant.expire_sessions();
    assert_eq!(lab.get("/status").await.status, 401);
    assert!(lab.tenant.live_user(ORDINARY).is_none());
}
