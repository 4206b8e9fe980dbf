//! A server that is killed, and the one that comes after it (K3–K12, I1–I6, I10).

use std::{future::Future, time::Duration};

use serde_json::json;
use tokio::sync::oneshot;
use zia_mcp::{
    lifecycle::{ActivationState, INTERACTIVE, Outcome, Report, RestoreUser},
    model::OperationId,
    sandbox::{Endpoint, Fault, FaultRule, SandboxUser},
};

use super::{answer, ask, deleted, newcomer, plain, until, update::renamed, yes};
use crate::support::{Bench, Plan, killed, local};

const NORA: &str = "nora.new@example.com";

/// Lets a server of its own work on the bench until `reached`, then kills it.
async fn killed_at<W>(
    bench: &Bench,
    fault: impl Into<FaultRule>,
    work: impl FnOnce(Bench) -> W,
    reached: impl Future<Output = ()>,
) -> OperationId
where
    W: Future<Output = OperationId> + Send + 'static,
{
    bench.tenant.faults().switch_on(fault);
    let (tell, told) = oneshot::channel();
    let begun = work(bench.beside(Plan::default()).await);
    let mut id = None;
    killed(
        async move {
            let _ = tell.send(begun.await);
            std::future::pending::<()>().await;
        },
        async {
            id = Some(told.await.unwrap());
            reached.await;
        },
    )
    .await;
    bench.tenant.faults().clear();
    id.unwrap()
}

/// Asks for the first plain user's deletion and approves it.
async fn leaves(bench: Bench) -> OperationId {
    let (_, email) = plain(&bench);
    let id = ask(&bench, &email).await;
    bench.lifecycle.answer(local(), id.clone(), yes(&email)).await.unwrap();
    id
}

async fn joins(bench: Bench) -> OperationId {
    bench.lifecycle.provision(local(), newcomer(NORA)).await.unwrap().operation
}

async fn is_renamed(bench: Bench) -> OperationId {
    let (_, email) = plain(&bench);
    bench.lifecycle.update(local(), renamed(&email, "Nova Newname")).await.unwrap().operation
}

/// Calls that changed the tenant.
fn effective(bench: &Bench, endpoint: Endpoint) -> usize {
    bench.tenant.journal().iter().filter(|e| e.applied && e.endpoint == endpoint).count()
}

/// What the next server makes of it.
async fn taken_up(bench: &Bench, id: &OperationId) -> Report {
    let next = bench.beside(Plan::default()).await;
    next.lifecycle.recover().await.unwrap();
    until("settled", async || {
        let report = next.lifecycle.wait(id, INTERACTIVE).await;
        report.is_err() || report.is_ok_and(|r| !matches!(r.outcome, Outcome::Unknown | Outcome::InProgress))
    })
    .await;
    next.lifecycle.wait(id, INTERACTIVE).await.unwrap()
}

#[tokio::test]
async fn k7_a_delete_that_took_effect_unheard_is_done_after_a_restart() {
    let bench = Bench::new().await;
    let user = plain(&bench).0;
    let hang = Fault::Hang { applied: true }.on(Endpoint::DeleteUser);
    let id = killed_at(&bench, hang, leaves, bench.tenant.arrived(Endpoint::DeleteUser, 1)).await;
    let report = taken_up(&bench, &id).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(bench.tenant.live_user(user).is_none());
    assert_eq!(bench.calls("DELETE /users/{id}"), 1);
}

#[tokio::test]
async fn k6_a_delete_that_took_no_effect_is_sent_once_more_after_a_restart() {
    let bench = Bench::new().await;
    let user = plain(&bench).0;
    let hang = Fault::Hang { applied: false }.on(Endpoint::DeleteUser);
    let id = killed_at(&bench, hang, leaves, bench.tenant.arrived(Endpoint::DeleteUser, 1)).await;
    let report = taken_up(&bench, &id).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(bench.tenant.live_user(user).is_none());
    assert_eq!(bench.calls("DELETE /users/{id}"), 2);
    assert_eq!(effective(&bench, Endpoint::DeleteUser), 1);
}

#[tokio::test]
async fn a_create_that_took_effect_unheard_is_adopted_after_a_restart() {
    let bench = Bench::new().await;
    let hang = Fault::Hang { applied: true }.on(Endpoint::CreateUser);
    let id = killed_at(&bench, hang, joins, bench.tenant.arrived(Endpoint::CreateUser, 1)).await;
    let report = taken_up(&bench, &id).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(bench.tenant.user_by_email(NORA).is_some() && bench.tenant.staged_changes().is_empty());
    assert_eq!(bench.calls("POST /users"), 1);
}

#[tokio::test]
async fn a_change_cut_off_anywhere_is_made_once_by_the_next_server_with_its_capture() {
    let places = [
        // Right before the send, and within it.
        (Fault::Hang { applied: false }.on(Endpoint::GetUser).after(1), Endpoint::GetUser, 2, 1),
        (Fault::Hang { applied: true }.on(Endpoint::ReplaceUser), Endpoint::ReplaceUser, 1, 1),
        (Fault::Hang { applied: false }.on(Endpoint::ReplaceUser), Endpoint::ReplaceUser, 1, 2),
    ];
    for (hang, endpoint, calls, puts) in places {
        let bench = Bench::new().await;
        let before = bench.tenant.user(plain(&bench).0).unwrap();
        let id = killed_at(&bench, hang, is_renamed, bench.tenant.arrived(endpoint, calls)).await;
        let report = taken_up(&bench, &id).await;
        assert_eq!(report.outcome, Outcome::Done, "{endpoint}: {report:?}");
        assert!(report.capture.is_some() && report.changes.is_some_and(|c| c.len() == 1), "{endpoint}");
        let after = bench.tenant.live_user(before.id).unwrap();
        assert_eq!(after, SandboxUser { name: "Nova Newname".into(), ..before });
        assert_eq!(bench.calls("PUT /users/{id}"), puts, "{endpoint}");
        assert_eq!(effective(&bench, Endpoint::ReplaceUser), 1);
    }
}

#[tokio::test]
async fn a_restore_that_took_effect_unheard_is_adopted_after_a_restart() {
    let bench = Bench::new().await;
    let (_, email) = plain(&bench);
    let capture = deleted(&bench, &email).await.capture.unwrap().id.to_string();
    let hang = Fault::Hang { applied: true }.on(Endpoint::CreateUser);
    let comes_back = async |bench: Bench| {
        bench.lifecycle.restore(local(), RestoreUser { capture }).await.unwrap().operation
    };
    let id = killed_at(&bench, hang, comes_back, bench.tenant.arrived(Endpoint::CreateUser, 1)).await;
    let report = taken_up(&bench, &id).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(bench.tenant.user_by_email(&email).is_some() && bench.tenant.staged_changes().is_empty());
    assert_eq!(bench.calls("POST /users"), 1);
}

#[tokio::test]
async fn k4_an_approved_delete_that_was_not_sent_is_carried_out_once_by_the_next_server() {
    let bench = Bench::new().await;
    let user = plain(&bench).0;
    let id = approved_and_killed(&bench).await;
    assert_eq!(bench.writes(), 0);
    assert_eq!(taken_up(&bench, &id).await.outcome, Outcome::Done);
    assert!(bench.tenant.live_user(user).is_none());
    assert_eq!(bench.calls("DELETE /users/{id}"), 1);
}

#[tokio::test]
async fn k4_an_approved_delete_whose_time_is_over_is_expired_and_nothing_is_sent() {
    let bench = Bench::new().await;
    let (user, email) = plain(&bench);
    let id = approved_and_killed(&bench).await;
    bench.pass(Duration::from_secs(16 * 60));
    let report = taken_up(&bench, &id).await;
    assert_eq!(report.outcome, Outcome::Expired, "{report:?}");
    assert!(bench.tenant.user(user).is_some());
    assert_eq!(bench.writes(), 0);
    let again = ask(&bench, &email).await;
    assert_ne!(again, id);
    assert_eq!(answer(&bench, &again, yes(&email)).await.unwrap().outcome, Outcome::Done);
}

#[tokio::test]
async fn k5_an_approved_delete_whose_user_changed_is_not_carried_out_by_the_next_server() {
    let bench = Bench::new().await;
    let user = plain(&bench).0;
    let id = approved_and_killed(&bench).await;
    bench.tenant.other_admin().change_user(user, &json!({"comments": "promoted"}), false).unwrap();
    assert_eq!(taken_up(&bench, &id).await.outcome, Outcome::Changed);
    assert!(bench.tenant.user(user).is_some());
    assert_eq!(bench.writes(), 0);
}

/// A delete that was approved, and whose server was killed in its last look at the user.
async fn approved_and_killed(bench: &Bench) -> OperationId {
    let hang = Fault::Hang { applied: false }.on(Endpoint::GetUser);
    killed_at(bench, hang.after(1), leaves, bench.tenant.arrived(Endpoint::GetUser, 2)).await
}

#[tokio::test]
async fn k11_a_write_whose_activation_was_cut_off_is_activated_by_the_next_server() {
    for applied in [true, false] {
        let bench = Bench::new().await;
        let hang = Fault::Hang { applied }.on(Endpoint::Activate);
        let id = killed_at(&bench, hang, joins, bench.tenant.arrived(Endpoint::Activate, 1)).await;
        let report = taken_up(&bench, &id).await;
        assert!(matches!(report.outcome, Outcome::Done | Outcome::AppliedNotActive), "{report:?}");
        until("activated", async || bench.lifecycle.report(&id).await.unwrap().outcome == Outcome::Done)
            .await;
        let report = bench.lifecycle.report(&id).await.unwrap();
        assert_eq!(report.activation.state, ActivationState::Active);
        assert!(bench.tenant.staged_changes().is_empty());
    }
}

#[tokio::test]
async fn f6_what_another_process_may_be_carrying_out_is_left_alone() {
    let bench = Bench::new().await;
    let slow = Fault::Delay { ms: 1_500 }.on(Endpoint::DeleteUser);
    bench.tenant.faults().switch_on(slow);
    let first = bench.beside(Plan::default()).await;
    let id = leaves(first).await;
    bench.tenant.arrived(Endpoint::DeleteUser, 1).await;
    let next = bench.beside(Plan::default()).await;
    next.lifecycle.recover().await.unwrap();
    assert_eq!(next.lifecycle.report(&id).await.unwrap().outcome, Outcome::InProgress);
    assert_eq!(next.lifecycle.wait(&id, INTERACTIVE).await.unwrap().outcome, Outcome::Done);
    assert_eq!(bench.calls("DELETE /users/{id}"), 1);
}

#[tokio::test]
async fn f32_a_server_that_stands_still_is_overtaken_and_sends_nothing_when_it_wakes() {
    let bench = Bench::new().await;
    let user = plain(&bench).0;
    // It stands still in its last look at the user, longer than its lease.
    bench.tenant.faults().switch_on(Fault::Delay { ms: 2_500 }.on(Endpoint::GetUser).after(1).times(1));
    let still = bench.beside(Plan::default()).await;
    let id = leaves(still.clone()).await;
    bench.tenant.arrived(Endpoint::GetUser, 2).await;
    bench.pass(zia_mcp::store::LEASE + Duration::from_secs(1));
    assert_eq!(taken_up(&bench, &id).await.outcome, Outcome::Done);
    still.lifecycle.drain(Duration::from_secs(20)).await;
    assert!(bench.tenant.live_user(user).is_none());
    assert_eq!(bench.calls("DELETE /users/{id}"), 1);
    assert_eq!(bench.lifecycle.report(&id).await.unwrap().outcome, Outcome::Done);
}

#[tokio::test]
async fn k3_a_question_outlives_a_restart_and_the_same_request_joins_it() {
    let bench = Bench::new().await;
    let (_, email) = plain(&bench);
    let id = ask(&bench, &email).await;
    let next = bench.beside(Plan::default()).await;
    next.lifecycle.recover().await.unwrap();
    assert_eq!(ask(&next, &email).await, id);
    assert_eq!(answer(&next, &id, yes(&email)).await.unwrap().outcome, Outcome::Done);
    // The first process knows it too, and a call again makes no new delete.
    assert_eq!(bench.lifecycle.report(&id).await.unwrap().outcome, Outcome::Done);
    let again = bench.lifecycle.deprovision(local(), super::leaver(&email)).await.unwrap();
    assert_eq!(bench.lifecycle.report(&again.operation).await.unwrap().outcome, Outcome::AlreadyDone);
    assert_eq!(bench.calls("DELETE /users/{id}"), 1);
}

#[tokio::test]
async fn what_nobody_decided_is_expired_by_the_next_server() {
    let bench = Bench::new().await;
    let id = ask(&bench, &plain(&bench).1).await;
    bench.pass(Duration::from_secs(16 * 60));
    let next = bench.beside(Plan::default()).await;
    next.lifecycle.recover().await.unwrap();
    assert_eq!(next.lifecycle.report(&id).await.unwrap().outcome, Outcome::Expired);
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn k14_recovering_again_and_at_the_same_time_settles_once() {
    let bench = Bench::new().await;
    let hang = Fault::Hang { applied: true }.on(Endpoint::DeleteUser);
    let id = killed_at(&bench, hang, leaves, bench.tenant.arrived(Endpoint::DeleteUser, 1)).await;
    let next = [bench.beside(Plan::default()).await, bench.beside(Plan::default()).await];
    for _ in 0..5 {
        let (a, b) = tokio::join!(next[0].lifecycle.recover(), next[1].lifecycle.recover());
        a.unwrap();
        b.unwrap();
    }
    until("settled", async || {
        next[0].lifecycle.wait(&id, INTERACTIVE).await.unwrap().outcome == Outcome::Done
    })
    .await;
    assert_eq!((bench.calls("DELETE /users/{id}"), bench.tenant.staged_changes().len()), (1, 0));
}

#[tokio::test]
async fn the_audit_chain_is_whole_after_a_kill_and_holds_the_send_before_the_call() {
    let bench = Bench::new().await;
    let hang = Fault::Hang { applied: true }.on(Endpoint::DeleteUser);
    killed_at(&bench, hang, leaves, bench.tenant.arrived(Endpoint::DeleteUser, 1)).await;
    let next = bench.beside(Plan::default()).await;
    let (_, other) = (0, super::plain_at(&next, 1).email);
    assert_eq!(deleted(&next, &other).await.outcome, Outcome::Done);
    let tenant =
        next.store.operations(None, zia_mcp::store::Which::Recent, 1).await.unwrap().remove(0).tenant;
    let records = next.store.audit_records(&tenant, 1, 1_000).await.unwrap();
    assert_eq!(zia_mcp::store::verify_chain(None, &records), Ok(()));
    let events: Vec<_> = records.iter().map(|r| r.event.as_str()).collect();
    let at = |event: &str| {
        events.iter().position(|e| *e == event).unwrap_or_else(|| panic!("{event} in {events:?}"))
    };
    assert!(at("capture.taken") < at("approval.given") && at("approval.given") < at("send.intended"));
}
