//! A server that is killed at the steps S0–S18 of a deprovision (guardrails, K rows).

use std::{future::Future, time::Duration};

use tokio::sync::oneshot;
use zia_mcp::{
    lifecycle::{ActivationState, INTERACTIVE, Outcome},
    sandbox::{Endpoint, Fault, FaultRule},
    store::Which,
};

use super::{answer, ask, leaver, plain, until, yes};
use crate::support::{Bench, Plan, killed, local};

/// Lets a server of its own delete the first plain user, and kills it once a call has arrived.
async fn killed_in_a_delete(bench: &Bench, fault: FaultRule, reached: impl Future<Output = ()>) {
    bench.tenant.faults().switch_on(fault);
    let (doomed, email) = (bench.beside(Plan::default()).await, plain(bench).1);
    let (tell, told) = oneshot::channel();
    killed(
        async move {
            let id = ask(&doomed, &email).await;
            doomed.lifecycle.answer(local(), id, yes(&email)).await.unwrap();
            let _ = tell.send(());
            std::future::pending::<()>().await;
        },
        async {
            reached.await;
            drop(told);
        },
    )
    .await;
    bench.tenant.faults().clear();
}

async fn only_operation(bench: &Bench) -> Option<zia_mcp::model::Operation> {
    let mut all = bench.store.operations(None, Which::Recent, 10).await.unwrap();
    assert!(all.len() <= 1, "{all:?}");
    all.pop()
}

#[tokio::test]
async fn k1_killed_while_the_user_is_looked_up_nothing_is_on_record() {
    let bench = Bench::new().await;
    let hang = Fault::Hang { applied: false }.on(Endpoint::ListUsers);
    killed_in_a_delete(&bench, hang, bench.tenant.arrived(Endpoint::ListUsers, 1)).await;
    assert!(only_operation(&bench).await.is_none());
    assert!(bench.store.captures(None, 10).await.unwrap().is_empty());
    let (_, email) = plain(&bench);
    let asked = ask(&bench, &email).await;
    assert_eq!(answer(&bench, &asked, yes(&email)).await.unwrap().outcome, Outcome::Done);
    assert_eq!(bench.calls("DELETE /users/{id}"), 1);
}

#[tokio::test]
async fn k9_killed_while_the_delete_is_verified_the_next_server_verifies_again() {
    let bench = Bench::new().await;
    let user = plain(&bench).0;
    // By id: for the capture, before the delete, and after it.
    let hang = Fault::Hang { applied: false }.on(Endpoint::GetUser).after(2);
    killed_in_a_delete(&bench, hang, bench.tenant.arrived(Endpoint::GetUser, 3)).await;
    let id = only_operation(&bench).await.unwrap().id;
    let next = bench.beside(Plan::default()).await;
    next.lifecycle.recover().await.unwrap();
    let report = next.lifecycle.wait(&id, INTERACTIVE).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(bench.tenant.live_user(user).is_none());
    assert_eq!(bench.calls("DELETE /users/{id}"), 1);
}

#[tokio::test]
async fn k10_a_delete_that_is_not_activated_yet_is_told_as_staged_and_perhaps_live() {
    let bench = Bench::new().await;
    let (user, email) = plain(&bench);
    bench.tenant.faults().switch_on(Fault::Delay { ms: 1_000 }.on(Endpoint::Activate));
    let asked = ask(&bench, &email).await;
    bench.lifecycle.answer(local(), asked.clone(), yes(&email)).await.unwrap();
    bench.tenant.arrived(Endpoint::Activate, 1).await;
    let report = bench.lifecycle.report(&asked).await.unwrap();
    assert_eq!(
        (report.outcome, report.activation.state),
        (Outcome::AppliedNotActive, ActivationState::Pending)
    );
    assert!(report.activation.detail.unwrap().contains("ZIA may also publish it by itself"));
    assert_eq!(bench.lifecycle.wait(&asked, INTERACTIVE).await.unwrap().outcome, Outcome::Done);
    assert!(bench.tenant.live_user(user).is_none());
}

#[tokio::test]
async fn k12_after_the_end_a_restarted_server_gives_the_same_answer_and_deletes_nothing_again() {
    let bench = Bench::new().await;
    let (_, email) = plain(&bench);
    let asked = ask(&bench, &email).await;
    let first = answer(&bench, &asked, yes(&email)).await.unwrap();
    let next = bench.beside(Plan::default()).await;
    next.lifecycle.recover().await.unwrap();
    assert_eq!(next.lifecycle.report(&asked).await.unwrap(), first);
    let again = next.lifecycle.deprovision(local(), leaver(&email)).await.unwrap();
    assert!(again.question.is_none());
    assert_eq!(next.lifecycle.report(&again.operation).await.unwrap().outcome, Outcome::AlreadyDone);
    assert_eq!(bench.calls("DELETE /users/{id}"), 1);
}

#[tokio::test]
async fn k14_killed_in_the_recovery_itself_again_and_again_the_delete_happens_once() {
    let bench = Bench::new().await;
    let user = plain(&bench).0;
    let hang = Fault::Hang { applied: true }.on(Endpoint::DeleteUser);
    killed_in_a_delete(&bench, hang, bench.tenant.arrived(Endpoint::DeleteUser, 1)).await;
    let id = only_operation(&bench).await.unwrap().id;
    let reads = bench.calls("GET /users/{id}");
    for turn in 1..=8 {
        let hang = Fault::Hang { applied: false }.on(Endpoint::GetUser);
        bench.tenant.faults().switch_on(hang);
        let doomed = bench.beside(Plan::default()).await;
        killed(
            async move {
                doomed.lifecycle.recover().await.unwrap();
                std::future::pending::<()>().await;
            },
            bench.tenant.arrived(Endpoint::GetUser, reads + turn),
        )
        .await;
        bench.tenant.faults().clear();
    }
    let next = bench.beside(Plan::default()).await;
    next.lifecycle.recover().await.unwrap();
    until("done", async || {
        next.lifecycle.wait(&id, Duration::from_secs(5)).await.unwrap().outcome == Outcome::Done
    })
    .await;
    assert!(bench.tenant.live_user(user).is_none());
    assert_eq!(bench.calls("DELETE /users/{id}"), 1);
}
