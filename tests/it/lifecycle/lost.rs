//! Replies that are lost: settled by reading, never by sending again in the dark (F16–F25, I10).

use futures::future::join_all;
use serde_json::json;
use zia_mcp::{
    lifecycle::{ActivationState, Outcome, Report, Subject},
    sandbox::{Endpoint, Fault, NamedId},
};

use super::{deleted, found, newcomer, plain, provisioned};
use crate::support::{Bench, Plan};

const NORA: &str = "nora.new@example.com";

/// Answers to a write that was carried out and is not told to have been.
fn applied() -> Vec<Fault> {
    vec![
        Fault::ReplyLostAfterApply,
        Fault::Hang { applied: true },
        Fault::ServerError { status: 500, applied: true },
        Fault::ServerError { status: 502, applied: true },
        Fault::HtmlPage { status: 200, applied: true },
    ]
}

/// The same of a write that was not carried out.
fn not_applied() -> Vec<Fault> {
    vec![
        Fault::ReplyLostBeforeApply,
        Fault::Hang { applied: false },
        Fault::ServerError { status: 500, applied: false },
        Fault::HtmlPage { status: 200, applied: false },
        Fault::Empty500,
        Fault::Bare404,
    ]
}

/// A bench that gives up on an answer soon.
async fn impatient(fault: &Fault, endpoint: Endpoint) -> Bench {
    let mut plan = Plan::default();
    plan.timeouts.write_header = std::time::Duration::from_millis(500);
    let bench = Bench::with(plan).await;
    bench.tenant.faults().switch_on(fault.clone().on(endpoint).times(1));
    bench
}

async fn delete_with(fault: Fault) -> (Fault, Bench, u64, Report) {
    let bench = impatient(&fault, Endpoint::DeleteUser).await;
    let (id, email) = plain(&bench);
    let report = deleted(&bench, &email).await;
    (fault, bench, id, report)
}

async fn create_with(fault: Fault) -> (Fault, Bench, Report) {
    let bench = impatient(&fault, Endpoint::CreateUser).await;
    let report = provisioned(&bench, newcomer(NORA)).await.unwrap();
    (fault, bench, report)
}

#[tokio::test]
async fn f21_a_delete_that_took_effect_is_done_by_the_users_absence() {
    for (fault, bench, id, report) in join_all(applied().into_iter().map(delete_with)).await {
        assert_eq!(report.outcome, Outcome::Done, "{fault:?}: {report:?}");
        assert_eq!(report.activation.state, ActivationState::Active);
        assert!(bench.tenant.live_user(id).is_none());
        assert_eq!(bench.calls("DELETE /users/{id}"), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_user_who_is_still_shown_is_never_told_as_deleted() {
    // Both watch the user for a quarter of a minute.
    tokio::join!(deletes_without_effect(), a_delete_that_does_not_show());
}

async fn deletes_without_effect() {
    for (fault, bench, id, report) in join_all(not_applied().into_iter().map(delete_with)).await {
        assert_eq!(report.outcome, Outcome::Done, "{fault:?}: {report:?}");
        assert!(bench.tenant.live_user(id).is_none(), "{fault:?}");
        assert_eq!(bench.calls("DELETE /users/{id}"), 2, "{fault:?}");
        assert!(report.notes.iter().any(|n| n.contains("sent again")), "{report:?}");
    }
}

#[tokio::test]
async fn f25_a_create_that_took_effect_is_adopted() {
    for (fault, bench, report) in join_all(applied().into_iter().map(create_with)).await {
        assert_eq!(report.outcome, Outcome::Done, "{fault:?}: {report:?}");
        let user = bench.tenant.user_by_email(NORA).unwrap();
        let Some(Subject::User(told)) = report.user else { panic!("{fault:?}") };
        assert_eq!(told.id.get(), i64::try_from(user.id).unwrap());
        assert_eq!(bench.calls("POST /users"), 1, "{fault:?}");
        assert!(bench.tenant.staged_changes().is_empty());
        assert_eq!(found(&bench, NORA).await.users.len(), 1);
    }
}

#[tokio::test]
async fn f25_a_create_that_took_no_effect_is_sent_once_more() {
    for (fault, bench, report) in join_all(not_applied().into_iter().map(create_with)).await {
        assert_eq!(report.outcome, Outcome::Done, "{fault:?}: {report:?}");
        assert!(bench.tenant.user_by_email(NORA).is_some(), "{fault:?}");
        assert_eq!(bench.calls("POST /users"), 2, "{fault:?}");
        assert!(report.notes.iter().any(|n| n.contains("sent again")), "{report:?}");
    }
}

#[tokio::test]
async fn f22_a_write_that_never_takes_effect_is_sent_three_times_and_told_as_failed() {
    let bench = Bench::new().await;
    bench.tenant.faults().switch_on(Fault::ReplyLostBeforeApply.on(Endpoint::DeleteUser));
    let (id, email) = plain(&bench);
    let asked = super::ask(&bench, &email).await;
    bench.lifecycle.answer(crate::support::local(), asked.clone(), super::yes(&email)).await.unwrap();
    super::until("failed", async || bench.lifecycle.report(&asked).await.unwrap().outcome == Outcome::Failed)
        .await;
    let report = bench.lifecycle.report(&asked).await.unwrap();
    assert!(report.notes.iter().any(|n| n.contains("did not take effect")), "{report:?}");
    assert_eq!(report.activation.state, ActivationState::NotNeeded);
    assert!(bench.tenant.user(id).is_some());
    assert_eq!((bench.calls("DELETE /users/{id}"), bench.calls("POST /status/activate")), (3, 0));
}

#[tokio::test]
async fn f22_a_user_who_changed_after_a_lost_delete_is_not_deleted_any_more() {
    let bench = impatient(&Fault::Hang { applied: false }, Endpoint::DeleteUser).await;
    let (id, email) = plain(&bench);
    let asked = super::ask(&bench, &email).await;
    bench.lifecycle.answer(crate::support::local(), asked.clone(), super::yes(&email)).await.unwrap();
    bench.tenant.arrived(Endpoint::DeleteUser, 1).await;
    bench.tenant.other_admin().change_user(id, &json!({"comments": "stays"}), false).unwrap();
    let report = bench.lifecycle.wait(&asked, zia_mcp::lifecycle::INTERACTIVE).await.unwrap();
    assert_eq!(report.outcome, Outcome::Failed, "{report:?}");
    assert!(bench.tenant.user(id).is_some());
    assert_eq!(bench.calls("DELETE /users/{id}"), 1);
}

#[tokio::test]
async fn f25_a_lost_create_that_somebody_else_overtook_is_not_adopted() {
    let bench = impatient(&Fault::Hang { applied: false }, Endpoint::CreateUser).await;
    let begun = bench.lifecycle.provision(crate::support::local(), newcomer(NORA)).await.unwrap();
    bench.tenant.arrived(Endpoint::CreateUser, 1).await;
    // The same but for the name.
    let id = |of: Vec<NamedId>, name: &str| of.into_iter().find(|u| u.name == name).unwrap().id;
    let groups = ["Engineering", "Sales"].map(|name| json!({"id": id(bench.tenant.groups(), name)}));
    let department = json!({"id": id(bench.tenant.departments(), "Finance")});
    let other = json!({"name": "Faster", "email": NORA, "groups": groups, "department": department});
    bench.tenant.other_admin().create_user(&other, false).unwrap();
    let report = bench.lifecycle.wait(&begun.operation, zia_mcp::lifecycle::INTERACTIVE).await.unwrap();
    assert_eq!(report.outcome, Outcome::Failed, "{report:?}");
    assert!(report.notes.iter().any(|n| n.contains("differs")), "{report:?}");
    assert_eq!(bench.calls("POST /status/activate"), 0);
}

#[tokio::test]
async fn f23_a_user_who_is_still_shown_for_a_while_is_waited_for() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    bench.tenant.faults().switch_on(Fault::ReadAfterWriteLag { reads: 2 }.on(Endpoint::DeleteUser));
    let report = deleted(&bench, &email).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(bench.tenant.live_user(id).is_none());
    assert_eq!(bench.calls("DELETE /users/{id}"), 1);
}

async fn a_delete_that_does_not_show() {
    let bench = Bench::new().await;
    let (_, email) = plain(&bench);
    bench.tenant.faults().switch_on(Fault::ReadAfterWriteLag { reads: 1_000 }.on(Endpoint::DeleteUser));
    let id = super::ask(&bench, &email).await;
    bench.lifecycle.answer(crate::support::local(), id.clone(), super::yes(&email)).await.unwrap();
    let report = bench.lifecycle.wait(&id, std::time::Duration::from_secs(18)).await.unwrap();
    assert!(matches!(report.outcome, Outcome::Unknown | Outcome::InProgress), "{report:?}");
    assert_eq!((bench.calls("DELETE /users/{id}"), bench.calls("POST /status/activate")), (1, 0));
}

#[tokio::test]
async fn f17_an_answer_to_a_create_that_only_drips_is_settled_by_reading() {
    let mut plan = Plan::default();
    plan.timeouts.write_header = std::time::Duration::from_secs(1);
    plan.timeouts.total = std::time::Duration::from_secs(2);
    let bench = Bench::with(plan).await;
    let drip = Fault::SlowDrip { bytes: 1, every_ms: 1_000 };
    bench.tenant.faults().switch_on(drip.on(Endpoint::CreateUser).times(1));
    let report = provisioned(&bench, newcomer(NORA)).await.unwrap();
    assert_eq!((report.outcome, bench.calls("POST /users")), (Outcome::Done, 1), "{report:?}");
}
