//! Writes that ZIA refuses, delays or holds back.

use std::time::Duration;

use serde_json::json;
use zia_mcp::{
    lifecycle::{ActivationState, Code, INTERACTIVE, Outcome},
    sandbox::{Endpoint, Fault},
};

use super::{answer, ask, deleted, newcomer, plain, provisioned, until, yes};
use crate::support::{Bench, local};

const NORA: &str = "nora.new@example.com";

fn slow(bench: &Bench, endpoint: Endpoint) {
    bench.tenant.faults().switch_on(Fault::Delay { ms: 300 }.on(endpoint));
}

#[tokio::test]
async fn an_address_that_somebody_takes_meanwhile_is_told_as_taken() {
    let bench = Bench::new().await;
    slow(&bench, Endpoint::CreateUser);
    let begun = bench.lifecycle.provision(local(), newcomer(NORA)).await.unwrap();
    bench.tenant.arrived(Endpoint::CreateUser, 1).await;
    let other = json!({"name": "Faster", "email": NORA, "groups": []});
    bench.tenant.other_admin().create_user(&other, false).unwrap();
    let failure = bench.lifecycle.wait(&begun.operation, INTERACTIVE).await.unwrap_err();
    assert_eq!((failure.code, failure.operation_id), (Code::AlreadyExists, Some(begun.operation)));
    assert_eq!(bench.tenant.user_by_email(NORA).unwrap().name, "Faster");
    assert_eq!((bench.calls("POST /users"), bench.calls("POST /status/activate")), (1, 0));
}

#[tokio::test]
async fn what_zia_refuses_is_told_with_its_code_and_activates_nothing() {
    let bench = Bench::new().await;
    let report = provisioned(&bench, newcomer("nora@foreign.example")).await.unwrap();
    assert_eq!(report.outcome, Outcome::Failed);
    assert!(report.notes.iter().any(|n| n.contains("INVALID_INPUT_ARGUMENT")), "{report:?}");
    assert_eq!(report.activation.state, ActivationState::NotNeeded);
    assert!(report.initial_password.is_none());
    assert_eq!((bench.calls("POST /users"), bench.calls("POST /status/activate")), (1, 0));
}

#[tokio::test]
async fn maintenance_is_told_and_nothing_is_applied() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    bench.tenant.faults().switch_on(Fault::ReadOnly);
    let created = provisioned(&bench, newcomer(NORA)).await.unwrap_err();
    assert_eq!((created.code, created.retryable), (Code::TenantReadOnly, true));
    let asked = ask(&bench, &email).await;
    let failure = answer(&bench, &asked, yes(&email)).await.unwrap_err();
    assert_eq!(failure.code, Code::TenantReadOnly);
    assert!(bench.tenant.user(id).is_some() && bench.tenant.user_by_email(NORA).is_none());
    assert_eq!(bench.calls("POST /status/activate"), 0);
}

#[tokio::test]
async fn f49_an_approved_delete_waits_for_the_end_of_the_maintenance() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    let asked = ask(&bench, &email).await;
    bench.tenant.faults().switch_on(Fault::ReadOnly);
    let failure = answer(&bench, &asked, yes(&email)).await.unwrap_err();
    assert_eq!((failure.code, failure.operation_id), (Code::TenantReadOnly, Some(asked.clone())));
    assert!(bench.tenant.user(id).is_some());
    bench.tenant.faults().clear();
    until("deleted", async || bench.lifecycle.report(&asked).await.is_ok_and(|r| r.outcome == Outcome::Done))
        .await;
    assert!(bench.tenant.live_user(id).is_none());
    let applied =
        bench.tenant.journal().into_iter().filter(|e| e.applied && e.endpoint == Endpoint::DeleteUser);
    assert_eq!(applied.count(), 1);
}

#[tokio::test]
async fn f49_an_approved_delete_whose_maintenance_outlasts_its_time_is_expired() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    let asked = ask(&bench, &email).await;
    bench.tenant.faults().switch_on(Fault::ReadOnly);
    assert_eq!(answer(&bench, &asked, yes(&email)).await.unwrap_err().code, Code::TenantReadOnly);
    bench.pass(Duration::from_secs(16 * 60));
    until("expired", async || {
        bench.lifecycle.report(&asked).await.is_ok_and(|r| r.outcome == Outcome::Expired)
    })
    .await;
    assert!(bench.tenant.user(id).is_some());
}

#[tokio::test]
async fn f14_an_edit_lock_is_outlived() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    bench.tenant.other_admin().hold_edit_lock(Some(Duration::from_millis(300)));
    assert_eq!(provisioned(&bench, newcomer(NORA)).await.unwrap().outcome, Outcome::Done);
    bench.tenant.other_admin().hold_edit_lock(Some(Duration::from_millis(300)));
    assert_eq!(deleted(&bench, &email).await.outcome, Outcome::Done);
    assert!(bench.tenant.live_user(id).is_none());
    let applied = bench.tenant.journal().into_iter().filter(|e| e.applied).map(|e| e.endpoint);
    let writes: Vec<_> = applied.filter(|e| *e != Endpoint::Activate).collect();
    assert_eq!(writes, [Endpoint::CreateUser, Endpoint::DeleteUser]);
}

#[tokio::test]
async fn f14_an_edit_lock_for_good_keeps_the_operation_in_progress_and_the_user_unharmed() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    bench.tenant.other_admin().hold_edit_lock(None);
    let asked = ask(&bench, &email).await;
    bench.lifecycle.answer(local(), asked.clone(), yes(&email)).await.unwrap();
    bench.tenant.arrived(Endpoint::DeleteUser, 3).await;
    let report = bench.lifecycle.wait(&asked, Duration::from_millis(100)).await.unwrap();
    assert_eq!(report.outcome, Outcome::InProgress);
    assert!(bench.tenant.user(id).is_some());
    bench.tenant.other_admin().release_edit_lock();
    assert_eq!(bench.lifecycle.wait(&asked, INTERACTIVE).await.unwrap().outcome, Outcome::Done);
}

#[tokio::test]
async fn f30_on_a_tenant_with_others_changes_a_write_is_applied_and_not_activated() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    bench.tenant.other_admin().stage_foreign_change();
    let created = provisioned(&bench, newcomer(NORA)).await.unwrap();
    let deleted = deleted(&bench, &email).await;
    for report in [created, deleted] {
        assert_eq!(report.outcome, Outcome::AppliedNotActive, "{report:?}");
        assert_eq!(report.activation.state, ActivationState::Pending);
        assert!(report.notes.iter().any(|n| n.contains("other administrators")), "{report:?}");
    }
    assert!(bench.tenant.user_by_email(NORA).is_some() && bench.tenant.user(id).is_none());
    assert_eq!(bench.calls("POST /status/activate"), 0);
}

#[tokio::test]
async fn f24_a_user_who_vanishes_right_before_the_delete_is_not_said_to_be_deleted_by_us() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    slow(&bench, Endpoint::DeleteUser);
    let asked = ask(&bench, &email).await;
    bench.lifecycle.answer(local(), asked.clone(), yes(&email)).await.unwrap();
    bench.tenant.arrived(Endpoint::DeleteUser, 1).await;
    bench.tenant.other_admin().delete_user(id, false).unwrap();
    let report = bench.lifecycle.wait(&asked, INTERACTIVE).await.unwrap();
    assert_eq!(report.outcome, Outcome::AlreadyDone, "{report:?}");
    assert!(report.notes.iter().any(|n| n.contains("not deleted by this operation")), "{report:?}");
}

#[tokio::test]
async fn a_status_that_cannot_be_read_stops_a_write_before_it_is_sent() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    bench.tenant.faults().switch_on(Fault::HtmlPage { status: 200, applied: false }.on(Endpoint::Status));
    assert_eq!(provisioned(&bench, newcomer(NORA)).await.unwrap_err().code, Code::Upstream);
    let asked = ask(&bench, &email).await;
    assert_eq!(answer(&bench, &asked, yes(&email)).await.unwrap_err().code, Code::Upstream);
    assert!(bench.tenant.user(id).is_some());
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn the_status_warns_of_maintenance_and_of_a_wrong_clock() {
    let bench = Bench::new().await;
    assert!(bench.lifecycle.tenant_status(&local()).await.unwrap().warnings.is_empty());
    bench.tenant.faults().switch_on(Fault::ReadOnly);
    bench.tenant.faults().switch_on(Fault::ClockSkew { ms: -600_000 });
    let warnings = bench.lifecycle.tenant_status(&local()).await.unwrap().warnings.join("\n");
    assert!(warnings.contains("read-only") && warnings.contains("ahead of ZIA's"), "{warnings}");
    bench.tenant.faults().clear();
    assert!(bench.lifecycle.tenant_status(&local()).await.unwrap().warnings.is_empty());
}

#[tokio::test]
async fn f44_the_session_is_ended_only_where_that_publishes_nothing() {
    // Signing out publishes what this session staged.
    for others in [true, false] {
        let bench = Bench::new().await;
        if others {
            bench.tenant.other_admin().stage_foreign_change();
        }
        bench.lifecycle.tenant_status(&local()).await.unwrap();
        bench.lifecycle.sign_out().await;
        assert_eq!(bench.calls("DELETE /authenticatedSession"), u64::from(!others));
    }
}

#[tokio::test]
async fn f15_an_approved_delete_waits_for_the_rate_limit_to_pass() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    let limited = |seconds: &str| Fault::TooManyRequests { header: Some(seconds.into()), body: None };
    bench.tenant.faults().switch_on(limited("1").on(Endpoint::DeleteUser).times(2));
    assert_eq!(deleted(&bench, &email).await.outcome, Outcome::Done);
    assert_eq!((bench.calls("DELETE /users/{id}"), bench.tenant.user(id).is_none()), (3, true));
}

#[tokio::test]
async fn f15_a_delete_that_zia_puts_off_for_long_waits_for_its_turn_and_says_when() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    let limited = Fault::TooManyRequests { header: Some("1800".into()), body: None };
    bench.tenant.faults().switch_on(limited.on(Endpoint::DeleteUser));
    let asked = ask(&bench, &email).await;
    bench.lifecycle.answer(local(), asked.clone(), yes(&email)).await.unwrap();
    // Longer than an approval is good for: it is counted from the turn.
    until("the wait is told", async || {
        let report = bench.lifecycle.report(&asked).await.unwrap();
        report.notes.iter().any(|note| note.contains("call limits are used up"))
    })
    .await;
    let report = bench.lifecycle.report(&asked).await.unwrap();
    assert_eq!(report.outcome, Outcome::InProgress, "{report:?}");
    assert!(bench.tenant.user(id).is_some());
    assert_eq!(bench.calls("DELETE /users/{id}"), 1);
}
