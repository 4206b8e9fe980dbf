//! Publishing staged changes (F28–F30, B28, I5).

use std::time::Duration;

use futures::future::join_all;
use zia_mcp::{
    lifecycle::{ActivationState, INTERACTIVE, Outcome, Report},
    model::Actor,
    sandbox::{Endpoint, Fault},
};

use super::{answer, newcomer, plain, provisioned, until, yes};
use crate::support::{Bench, Plan, local, remote};

const NORA: &str = "nora.new@example.com";

async fn activated(bench: &Bench, actor: Actor) -> Report {
    let begun = bench.lifecycle.activate(actor).await.unwrap();
    bench.lifecycle.wait(&begun.operation, INTERACTIVE).await.unwrap()
}

async fn with(fault: impl Into<zia_mcp::sandbox::FaultRule>) -> Bench {
    let bench = Bench::new().await;
    bench.tenant.faults().switch_on(fault);
    bench
}

#[tokio::test]
async fn with_nothing_waiting_there_is_nothing_to_do() {
    let bench = Bench::new().await;
    for actor in [local(), remote("ann")] {
        let report = activated(&bench, actor).await;
        assert_eq!(
            (report.outcome, report.activation.state),
            (Outcome::AlreadyDone, ActivationState::NotNeeded)
        );
    }
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn others_changes_are_published_only_after_a_person_typed_the_word() {
    let bench = Bench::new().await;
    bench.tenant.other_admin().stage_foreign_change();
    let begun = bench.lifecycle.activate(local()).await.unwrap();
    let message = begun.question.unwrap().message;
    assert!(message.contains("other administrators' work goes live"), "{message}");
    assert!(message.contains(begun.operation.as_str()) && message.contains("the word activate"), "{message}");
    let again = bench.lifecycle.activate(local()).await.unwrap();
    assert_eq!(again.operation, begun.operation);
    for text in ["yes", "", "activate now"] {
        let report = answer(&bench, &begun.operation, yes(text)).await.unwrap();
        assert_eq!(report.outcome, Outcome::AwaitingApproval, "{text:?}");
    }
    assert_eq!(bench.writes(), 0);
    let report = answer(&bench, &begun.operation, yes(" Activate ")).await.unwrap();
    assert_eq!((report.outcome, report.activation.state), (Outcome::Done, ActivationState::Active));
    assert!(bench.tenant.staged_changes().is_empty());
}

#[tokio::test]
async fn over_http_others_changes_wait_for_a_person_out_of_band() {
    let bench = Bench::new().await;
    bench.tenant.other_admin().stage_foreign_change();
    let begun = bench.lifecycle.activate(remote("ann")).await.unwrap();
    assert!(begun.question.is_none());
    assert!(bench.lifecycle.answer(remote("ann"), begun.operation.clone(), yes("activate")).await.is_err());
    let report = bench.lifecycle.report(&begun.operation).await.unwrap();
    assert_eq!(report.outcome, Outcome::AwaitingApproval);
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn f29_an_activation_that_takes_a_while_is_waited_for() {
    let slow = [Fault::ActivationSticks { reads: Some(3) }, Fault::ActivationQueues { reads: Some(3) }];
    let each = slow.map(|fault| async move {
        let bench = with(fault.times(1)).await;
        let report = provisioned(&bench, newcomer(NORA)).await.unwrap();
        assert_eq!((report.outcome, report.activation.state), (Outcome::Done, ActivationState::Active));
        assert_eq!(bench.calls("POST /status/activate"), 1);
    });
    join_all(each).await;
}

/// A write whose activation the tenant took and does not get through with.
async fn stuck(fault: Fault) -> (Bench, Report) {
    let bench = with(fault.times(1)).await;
    let report = provisioned(&bench, newcomer(NORA)).await.unwrap();
    assert_eq!(report.outcome, Outcome::AppliedNotActive, "{report:?}");
    assert!(report.activation.detail.as_ref().unwrap().contains("goes on watching"), "{report:?}");
    (bench, report)
}

#[tokio::test]
async fn f29_a_stuck_activation_is_watched_on_and_closed_when_it_comes_through() {
    let stuck_or_queued = [Fault::ActivationSticks { reads: None }, Fault::ActivationQueues { reads: None }];
    let each = stuck_or_queued.map(|fault| async move {
        let (bench, report) = stuck(fault).await;
        let (lifecycle, id) = (bench.lifecycle.clone(), report.operation_id.to_string());
        let follows =
            tokio::spawn(async move { lifecycle.get_operation(&local(), &id, INTERACTIVE).await.unwrap() });
        bench.tenant.other_admin().activate();
        assert_eq!(follows.await.unwrap().outcome, Outcome::Done, "whoever follows it hears of the end");
        let told = async || bench.lifecycle.report(&report.operation_id).await.unwrap();
        assert_eq!(told().await.activation.state, ActivationState::Active);
        assert_eq!(bench.calls("POST /status/activate"), 1, "watched, not sent again");
    });
    join_all(each).await;
}

#[tokio::test]
async fn f29_an_activation_that_is_stuck_for_a_day_is_given_up_and_told_so() {
    let (bench, report) = stuck(Fault::ActivationQueues { reads: None }).await;
    bench.pass(Duration::from_secs(24 * 3600 + 60));
    // The watch ends at its next look; after that the status is read no more.
    tokio::time::sleep(Duration::from_secs(9)).await;
    let read = bench.calls("GET /status");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.calls("GET /status"), read);
    let told = bench.lifecycle.report(&report.operation_id).await.unwrap();
    assert_eq!(told.outcome, Outcome::AppliedNotActive);
    let detail = told.activation.detail.unwrap();
    assert!(detail.contains("24 hours") && detail.contains("`activate`"), "{detail}");
    // A person may still ask for it.
    assert_eq!(activated(&bench, local()).await.outcome, Outcome::Done);
    assert_eq!(bench.lifecycle.report(&report.operation_id).await.unwrap().outcome, Outcome::Done);
}

#[tokio::test]
async fn a_write_whose_activation_is_not_read_back_as_active_is_never_done() {
    let faults = [
        (Fault::ActivationSticks { reads: None }, ActivationState::Pending),
        (Fault::ActivationQueues { reads: None }, ActivationState::Queued),
        (Fault::ActivationLies, ActivationState::Queued),
        (Fault::EusaUnaccepted, ActivationState::Failed),
        (Fault::ActivationFails { status: 500 }, ActivationState::Failed),
    ];
    let each = faults.map(|(fault, state)| async move {
        let bench = with(fault.clone()).await;
        let began = std::time::Instant::now();
        let report = provisioned(&bench, newcomer(NORA)).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(25), "{fault:?}");
        assert_eq!(report.outcome, Outcome::AppliedNotActive, "{fault:?}: {report:?}");
        assert_eq!(report.activation.state, state, "{fault:?}: {report:?}");
        assert!(report.activation.detail.is_some());
    });
    join_all(each).await;
}

#[tokio::test]
async fn a_refused_activation_is_told_with_zias_code_and_can_be_asked_for_again() {
    let bench = with(Fault::ActivationFails { status: 400 }.times(1)).await;
    let report = provisioned(&bench, newcomer(NORA)).await.unwrap();
    assert_eq!(report.outcome, Outcome::AppliedNotActive, "{report:?}");
    assert_eq!(report.activation.state, ActivationState::Failed, "{report:?}");
    let detail = report.activation.detail.unwrap();
    assert!(detail.contains("UNEXPECTED_ERROR") && detail.contains("`activate`"), "{detail}");
    // What waits is ours alone: nobody has to be asked.
    let published = activated(&bench, local()).await;
    assert_eq!(published.outcome, Outcome::Done, "{published:?}");
    let closed = bench.lifecycle.report(&report.operation_id).await.unwrap();
    assert_eq!((closed.outcome, closed.activation.state), (Outcome::Done, ActivationState::Active));
}

#[tokio::test]
async fn an_activation_by_somebody_else_closes_ours_only_when_it_is_read() {
    let bench = with(Fault::ActivationFails { status: 400 }.times(1)).await;
    let report = provisioned(&bench, newcomer(NORA)).await.unwrap();
    bench.tenant.other_admin().activate();
    let still = bench.lifecycle.report(&report.operation_id).await.unwrap();
    assert_eq!(still.outcome, Outcome::AppliedNotActive);
    let published = activated(&bench, local()).await;
    assert!(matches!(published.outcome, Outcome::Done | Outcome::AlreadyDone), "{published:?}");
    assert_eq!(bench.lifecycle.report(&report.operation_id).await.unwrap().outcome, Outcome::Done);
}

#[tokio::test]
async fn an_activation_that_failed_is_closed_by_the_next_one() {
    let bench = with(Fault::ActivationFails { status: 400 }.times(1)).await;
    bench.tenant.other_admin().stage_foreign_change();
    let failed = bench.lifecycle.activate(local()).await.unwrap().operation;
    let report = answer(&bench, &failed, yes("activate")).await.unwrap();
    assert_eq!(report.outcome, Outcome::AppliedNotActive, "{report:?}");
    let again = bench.lifecycle.activate(local()).await.unwrap().operation;
    assert_eq!(answer(&bench, &again, yes("activate")).await.unwrap().outcome, Outcome::Done);
    assert_eq!(bench.lifecycle.report(&failed).await.unwrap().outcome, Outcome::Done);
    let status = bench.lifecycle.tenant_status(&local()).await.unwrap();
    assert!(status.unactivated_operations.is_empty(), "{status:?}");
}

#[tokio::test]
async fn i5_an_activation_closes_only_what_was_written_before_it_was_sent() {
    // Longer than writes are held off for it.
    let bench = with(Fault::Delay { ms: 12_000 }.on(Endpoint::Activate).times(1)).await;
    bench.tenant.other_admin().stage_foreign_change();
    let before = provisioned(&bench, newcomer("early@example.com")).await.unwrap();
    let begun = bench.lifecycle.activate(local()).await.unwrap();
    let publishing = answer(&bench, &begun.operation, yes("activate"));
    let meanwhile = async {
        bench.tenant.arrived(Endpoint::Activate, 1).await;
        provisioned(&bench, newcomer(NORA)).await.unwrap()
    };
    let (published, meanwhile) = tokio::join!(publishing, meanwhile);
    assert_eq!(published.unwrap().outcome, Outcome::Done);
    for (begun, outcome) in [(before, Outcome::Done), (meanwhile, Outcome::AppliedNotActive)] {
        assert_eq!(bench.lifecycle.report(&begun.operation_id).await.unwrap().outcome, outcome);
    }
    assert_eq!(activated(&bench, local()).await.outcome, Outcome::Done);
}

#[tokio::test]
async fn a_running_activation_of_somebody_else_is_joined_and_not_repeated() {
    let bench = with(Fault::ActivationSticks { reads: Some(5) }.times(1)).await;
    let other = bench.elsewhere(Plan::default()).await;
    let theirs = tokio::spawn(async move { provisioned(&other, newcomer(NORA)).await.unwrap() });
    bench.tenant.arrived(Endpoint::Activate, 1).await;
    until("the activation runs", async || {
        bench.lifecycle.tenant_status(&local()).await.unwrap().activation == "INPROGRESS"
    })
    .await;
    let report = activated(&bench, local()).await;
    assert!(matches!(report.outcome, Outcome::Done | Outcome::AlreadyDone), "{report:?}");
    assert_eq!(bench.calls("POST /status/activate"), 1);
    assert_eq!(theirs.await.unwrap().outcome, Outcome::Done);
}

#[tokio::test]
async fn our_own_running_activation_is_joined_and_not_repeated() {
    let bench = with(Fault::ActivationSticks { reads: Some(4) }.times(1)).await;
    let first = bench.lifecycle.provision(local(), newcomer(NORA)).await.unwrap();
    bench.tenant.arrived(Endpoint::Activate, 1).await;
    let begun = bench.lifecycle.activate(local()).await.unwrap();
    assert!(begun.question.is_none(), "nobody has to be asked about our own change");
    let report = bench.lifecycle.wait(&begun.operation, INTERACTIVE).await.unwrap();
    assert!(matches!(report.outcome, Outcome::Done | Outcome::AlreadyDone), "{report:?}");
    assert_eq!(bench.lifecycle.wait(&first.operation, INTERACTIVE).await.unwrap().outcome, Outcome::Done);
    assert_eq!(bench.calls("POST /status/activate"), 1);
}

#[tokio::test]
async fn b28_beside_an_activation_that_runs_for_long_none_is_sent() {
    let bench = with(Fault::ActivationSticks { reads: None }.times(1)).await;
    let other = bench.elsewhere(Plan::default()).await;
    let theirs = tokio::spawn(async move { provisioned(&other, newcomer(NORA)).await.unwrap() });
    bench.tenant.arrived(Endpoint::Activate, 1).await;
    // Answered only once the caller has waited as long as an answer may take.
    let begun = bench.lifecycle.activate(local()).await.unwrap();
    assert_eq!(bench.lifecycle.report(&begun.operation).await.unwrap().outcome, Outcome::InProgress);
    assert_eq!(bench.calls("POST /status/activate"), 1);
    bench.tenant.other_admin().activate();
    let report = bench.lifecycle.wait(&begun.operation, INTERACTIVE).await.unwrap();
    assert!(matches!(report.outcome, Outcome::Done | Outcome::AlreadyDone), "{report:?}");
    assert_eq!(bench.calls("POST /status/activate"), 1);
    theirs.await.unwrap();
}

#[tokio::test]
async fn f28_a_delete_whose_activation_fails_stays_told_as_deleted() {
    let bench = with(Fault::ActivationFails { status: 400 }).await;
    let (id, email) = plain(&bench);
    let report = super::deleted(&bench, &email).await;
    assert_eq!(report.outcome, Outcome::AppliedNotActive, "{report:?}");
    assert_eq!(report.activation.state, ActivationState::Failed);
    assert!(bench.tenant.user(id).is_none());
    let status = bench.lifecycle.tenant_status(&local()).await.unwrap();
    assert_eq!(status.unactivated_operations.len(), 1);
    assert_eq!(status.activation, "PENDING");
    assert!(status.warnings.is_empty(), "{status:?}");
}

#[tokio::test]
async fn a_lost_reply_to_an_activation_that_happened_is_settled_by_the_status() {
    let bench = with(Fault::ReplyLostAfterApply.on(Endpoint::Activate).times(1)).await;
    let report = provisioned(&bench, newcomer(NORA)).await.unwrap();
    assert_eq!((report.outcome, report.activation.state), (Outcome::Done, ActivationState::Active));
    assert_eq!(bench.calls("POST /status/activate"), 1);
}

#[tokio::test]
async fn k11_a_lost_activation_that_did_not_happen_is_sent_again() {
    let lost = [
        Fault::ReplyLostBeforeApply,
        Fault::HtmlPage { status: 200, applied: false },
        Fault::TruncatedBody { after: Some(0) },
    ];
    let each = lost.map(|fault| async move {
        let bench = with(fault.on(Endpoint::Activate).times(1)).await;
        let report = provisioned(&bench, newcomer(NORA)).await.unwrap();
        assert_eq!((report.outcome, report.activation.state), (Outcome::Done, ActivationState::Active));
        assert!(bench.calls("POST /status/activate") <= 2);
        assert!(bench.tenant.user_by_email(NORA).is_some_and(|u| bench.tenant.live_user(u.id).is_some()));
    });
    join_all(each).await;
}

#[tokio::test]
async fn an_activation_that_is_lost_each_time_is_told_as_not_known() {
    let bench = with(Fault::ReplyLostBeforeApply.on(Endpoint::Activate)).await;
    let report = provisioned(&bench, newcomer(NORA)).await.unwrap();
    assert_eq!(
        (report.outcome, report.activation.state),
        (Outcome::AppliedNotActive, ActivationState::Pending)
    );
    assert!(report.activation.detail.as_ref().unwrap().contains("not known"), "{report:?}");
    assert_eq!(bench.calls("POST /status/activate"), 3, "as often as one operation may");
}
