//! First passwords that are handed to a person: the right one, once, or a word that it is lost.

use secrecy::ExposeSecret as _;
use zia_mcp::{
    lifecycle::{
        Code, Failure, FirstPassword, INTERACTIVE, Outcome, ProvisionUser, Report, RestoreUser, Settings,
    },
    model::OperationId,
    sandbox::{Endpoint, Fault, FaultRule},
};

use super::{answer, ask, newcomer, plain, provisioned, until, yes};
use crate::support::{Bench, Plan, killed, local};

const NORA: &str = "nora.new@example.com";

/// The plain plan, with passwords handed off and little patience for answers.
fn plan() -> Plan {
    let mut plan = Plan::default();
    plan.timeouts.write_header = std::time::Duration::from_millis(500);
    Plan { settings: Settings { handoff: true, ..plan.settings }, ..plan }
}

async fn taken(bench: &Bench, id: &OperationId) -> Result<FirstPassword, Failure> {
    bench.lifecycle.records().take_password(id, None, "test").await
}

/// Checks that the one who asks is shown what the user signs in with, once.
async fn hands_off(bench: &Bench, report: &Report, email: &str) {
    let told = report.initial_password.as_ref().unwrap();
    let how = told.how.as_ref().unwrap();
    assert_eq!(told.delivery, "handoff");
    assert!(how.contains(&format!("zia-mcp password {}", report.operation_id)), "{how}");
    assert!(how.contains("once") && how.contains("24 hours"), "{how}");
    let first = taken(bench, &report.operation_id).await.unwrap();
    let id = bench.tenant.user_by_email(email).unwrap().id;
    assert_eq!(first.user, email);
    assert_eq!(Some(first.password.expose_secret()), bench.tenant.password_of(id).as_deref());
    let again = taken(bench, &report.operation_id).await.unwrap_err();
    assert_eq!(again.code, Code::NotFound);
    let later = bench.lifecycle.report(&report.operation_id).await.unwrap().initial_password.unwrap();
    assert!(later.how.unwrap().contains("kept no longer"));
}

async fn created_with(fault: Fault) -> (Bench, Report) {
    let bench = Bench::with(plan()).await;
    bench.tenant.faults().switch_on(fault.on(Endpoint::CreateUser).times(1));
    let report = provisioned(&bench, newcomer(NORA)).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    (bench, report)
}

#[tokio::test]
async fn a_provisioned_and_a_restored_users_password_is_handed_off() {
    let bench = Bench::with(plan()).await;
    let report = provisioned(&bench, newcomer(NORA)).await.unwrap();
    assert!(report.notes.iter().all(|note| !note.contains("password")), "{report:?}");
    hands_off(&bench, &report, NORA).await;
    let (_, email) = plain(&bench);
    let gone = ask(&bench, &email).await;
    answer(&bench, &gone, yes(&email)).await.unwrap();
    let back = bench.lifecycle.restore(local(), RestoreUser { capture: email.clone() }).await.unwrap();
    let report = bench.lifecycle.wait(&back.operation, INTERACTIVE).await.unwrap();
    hands_off(&bench, &report, &email).await;
}

#[tokio::test]
async fn without_the_setting_nothing_is_kept() {
    let bench = Bench::new().await;
    let report = provisioned(&bench, newcomer(NORA)).await.unwrap();
    assert_eq!(report.initial_password.unwrap().delivery, "discarded");
    assert!(taken(&bench, &report.operation_id).await.unwrap_err().message.contains("keeps no password"));
}

#[tokio::test]
async fn a_dry_run_tells_the_handoff_and_keeps_nothing() {
    let bench = Bench::with(plan()).await;
    let report = provisioned(&bench, ProvisionUser { dry_run: true, ..newcomer(NORA) }).await.unwrap();
    let told = report.initial_password.unwrap();
    assert_eq!((report.outcome, told.delivery.as_str()), (Outcome::Planned, "handoff"));
    assert!(told.how.unwrap().contains("would be"));
    assert!(taken(&bench, &report.operation_id).await.is_err());
}

#[tokio::test]
async fn f25_a_create_that_is_sent_again_carries_the_password_that_is_handed_off() {
    let (bench, report) = created_with(Fault::ReplyLostBeforeApply).await;
    assert_eq!(bench.calls("POST /users"), 2);
    hands_off(&bench, &report, NORA).await;
}

#[tokio::test]
async fn f25_a_user_who_is_adopted_has_the_password_and_the_doubt_is_told() {
    let (bench, report) = created_with(Fault::ReplyLostAfterApply).await;
    assert_eq!(bench.calls("POST /users"), 1);
    assert!(report.notes.iter().any(|n| n.contains("somebody else created")), "{report:?}");
    hands_off(&bench, &report, NORA).await;
}

#[tokio::test]
async fn a_create_that_is_refused_keeps_no_password_and_tells_of_none() {
    let bench = Bench::with(plan()).await;
    let request = newcomer("nora@unregistered.example.org");
    let report = provisioned(&bench, request).await.unwrap();
    assert_eq!(report.outcome, Outcome::Failed, "{report:?}");
    assert!(report.initial_password.is_none());
    assert!(taken(&bench, &report.operation_id).await.unwrap_err().message.contains("keeps no password"));
}

/// Lets a server of its own provision, and kills it once the create has arrived; what the next one says.
async fn killed_at_the_create(fault: FaultRule) -> (Bench, Report) {
    let bench = Bench::with(plan()).await;
    bench.tenant.faults().switch_on(fault);
    let doomed = bench.beside(plan()).await;
    let (tell, told) = tokio::sync::oneshot::channel();
    killed(
        async move {
            let doomed = doomed;
            let begun = doomed.lifecycle.provision(local(), newcomer(NORA)).await.unwrap();
            let _ = tell.send(begun.operation);
            std::future::pending::<()>().await;
        },
        bench.tenant.arrived(Endpoint::CreateUser, 1),
    )
    .await;
    bench.tenant.faults().clear();
    let id = told.await.unwrap();
    let early = taken(&bench, &id).await.unwrap_err();
    assert!(early.message.contains("not known to be created"), "{early:?}");
    let next = bench.beside(plan()).await;
    next.lifecycle.recover().await.unwrap();
    until("done", async || next.lifecycle.report(&id).await.unwrap().outcome == Outcome::Done).await;
    let report = next.lifecycle.report(&id).await.unwrap();
    (next, report)
}

#[tokio::test]
async fn k6_killed_after_the_create_left_the_next_server_hands_its_password_off() {
    for applied in [true, false] {
        let (bench, report) = killed_at_the_create(Fault::Hang { applied }.on(Endpoint::CreateUser)).await;
        hands_off(&bench, &report, NORA).await;
    }
}

#[tokio::test]
async fn a_password_whose_row_is_gone_is_told_as_lost() {
    let bench = Bench::with(plan()).await;
    bench.tenant.faults().switch_on(Fault::Delay { ms: 1_000 }.on(Endpoint::CreateUser).times(1));
    let begun = bench.lifecycle.provision(local(), newcomer(NORA)).await.unwrap();
    bench.tenant.arrived(Endpoint::CreateUser, 1).await;
    bench.raw_sql("DELETE FROM passwords").await;
    let report = bench.lifecycle.wait(&begun.operation, INTERACTIVE).await.unwrap();
    let told = report.initial_password.unwrap();
    assert_eq!((report.outcome, told.delivery.as_str()), (Outcome::Done, "discarded"));
    assert!(told.how.unwrap().contains("lost"));
}
