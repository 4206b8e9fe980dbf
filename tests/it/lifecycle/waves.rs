//! One activation for many writes (I5, F28–F30).

use std::time::Duration;

use futures::future::join_all;
use zia_mcp::{
    lifecycle::{Code, INTERACTIVE, Outcome, ProvisionUser, Report},
    model::OperationId,
    sandbox::{Endpoint, Fault, JournalEntry},
    store::{Store, Which},
};

use super::{answer, ask, newcomer, plain_at, provisioned, until, yes};
use crate::support::{Bench, Plan, killed, local};

fn joiner(nth: usize) -> ProvisionUser {
    ProvisionUser { name: format!("Joiner {nth}"), ..newcomer(&format!("joiner.{nth}@example.com")) }
}

/// Asks for a user, and when `done` is told looks whether it is so (I5).
async fn joins(bench: &Bench, nth: usize) -> Report {
    let begun = loop {
        match bench.lifecycle.provision(local(), joiner(nth)).await {
            Ok(begun) => break begun,
            // A crowd on a busy machine: the same call again joins what it began.
            Err(failure) => assert_eq!(failure.code, Code::StoreUnavailable, "{failure:?}"),
        }
    };
    let report = loop {
        match bench.lifecycle.wait(&begun.operation, INTERACTIVE).await {
            Ok(report) if matches!(report.outcome, Outcome::AppliedNotActive | Outcome::InProgress) => {}
            Ok(report) => break report,
            Err(failure) => assert_eq!(failure.code, Code::StoreUnavailable, "{failure:?}"),
        }
    };
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    is_live(bench, &joiner(nth).email);
    report
}

/// Whether a user's creation was followed by an activation and that by a status of `ACTIVE`.
fn is_live(bench: &Bench, email: &str) {
    let user = bench.tenant.user_by_email(email).unwrap();
    assert!(bench.tenant.staged_changes().iter().all(|c| c.user_id != Some(user.id)), "{email} is staged");
    let journal = bench.tenant.journal();
    let created = |e: &&JournalEntry| e.body.as_ref().is_some_and(|body| body["email"] == email);
    let created = journal.iter().find(created).unwrap().seq;
    let then = |endpoint: Endpoint, after: u64| {
        journal
            .iter()
            .find(|e| e.endpoint == endpoint && e.seq > after && e.status == Some(200))
            .map(|e| e.seq)
    };
    let activated = then(Endpoint::Activate, created).unwrap();
    assert!(then(Endpoint::Status, activated).is_some(), "{email}: nobody read the status");
}

fn creations(bench: &Bench) -> (usize, usize) {
    let journal = bench.tenant.journal();
    let sent = journal.iter().filter(|e| e.endpoint == Endpoint::CreateUser);
    (sent.clone().count(), sent.filter(|e| e.applied).count())
}

/// Activations that were sent before anybody had read what the one before came to.
fn overlapping(bench: &Bench) -> usize {
    let mut journal = bench.tenant.journal();
    journal.retain(|e| matches!(e.endpoint, Endpoint::Activate | Endpoint::Status));
    journal.windows(2).filter(|pair| pair.iter().all(|e| e.endpoint == Endpoint::Activate)).count()
}

async fn open(store: &Store) -> usize {
    store.operations(None, Which::Unactivated, 1_000).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_joiners_at_once_are_a_hundred_creations_and_at_most_three_activations() {
    let bench = Bench::new().await;
    let all = join_all((0..100).map(|nth| joins(&bench, nth))).await;
    assert_eq!(all.len(), 100);
    assert_eq!(creations(&bench), (100, 100));
    let activations = bench.calls("POST /status/activate");
    assert!((1..=3).contains(&activations), "{activations} activations: {:?}", bench.tenant.counters());
    assert_eq!(open(&bench.store).await, 0);
    assert!(bench.tenant.staged_changes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn three_servers_on_one_store_share_their_activations() {
    let first = Bench::new().await;
    let (second, third) = (first.beside(Plan::default()).await, first.beside(Plan::default()).await);
    let servers = [&first, &second, &third];
    join_all((0..30).map(|nth| joins(servers[nth % 3], nth))).await;
    assert_eq!(creations(&first), (30, 30));
    let activations = first.calls("POST /status/activate");
    assert!((1..=4).contains(&activations), "{activations} activations");
    assert_eq!((overlapping(&first), open(&first.store).await), (0, 0));
}

#[tokio::test]
async fn leavers_and_joiners_share_an_activation() {
    let bench = Bench::new().await;
    let users: Vec<_> = (0..10).map(|at| plain_at(&bench, at)).collect();
    let mut asked = Vec::new();
    for user in &users {
        asked.push(ask(&bench, &user.email).await);
    }
    let leave = |(id, at): (&OperationId, usize)| {
        let (bench, id, email) = (&bench, id.clone(), users[at].email.clone());
        async move { assert_eq!(answer(bench, &id, yes(&email)).await.unwrap().outcome, Outcome::Done) }
    };
    let leaving = join_all(asked.iter().zip(0..).map(leave));
    tokio::join!(leaving, join_all((0..10).map(|nth| joins(&bench, nth))));
    let activations = bench.calls("POST /status/activate");
    assert!((1..=3).contains(&activations), "{activations} activations");
}

#[tokio::test]
async fn k11_an_activation_that_was_answered_is_read_and_not_repeated_by_the_next_server() {
    let bench = Bench::new().await;
    // Holds the reading up until the server is killed.
    bench.tenant.faults().switch_on(Fault::Hang { applied: false }.on(Endpoint::Status).after(1));
    let doomed = bench.beside(Plan::default()).await;
    killed(
        async move {
            let doomed = doomed;
            for nth in 0..3 {
                doomed.lifecycle.provision(local(), joiner(nth)).await.unwrap();
            }
            std::future::pending::<()>().await;
        },
        async { until("the status is read", async || bench.calls("GET /status") >= 2).await },
    )
    .await;
    bench.tenant.faults().clear();
    let before = (bench.calls("POST /status/activate"), creations(&bench).1);
    let waiting = bench.store.operations(None, Which::Unactivated, 10).await.unwrap();
    assert!(before.0 == 1 && !waiting.is_empty(), "{before:?} {waiting:?}");
    let next = bench.beside(Plan::default()).await;
    next.lifecycle.recover().await.unwrap();
    until("closed", async || open(&bench.store).await == 0).await;
    assert_eq!(bench.calls("POST /status/activate"), 1);
    for operation in waiting {
        let report = next.lifecycle.report(&operation.id).await.unwrap();
        assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    }
}

#[tokio::test]
async fn a_wave_that_fails_is_told_to_all_that_it_covers_and_sent_once() {
    let bench = Bench::new().await;
    bench.tenant.faults().switch_on(Fault::ActivationFails { status: 400 });
    bench.tenant.faults().switch_on(Fault::Delay { ms: 300 }.on(Endpoint::CreateUser));
    let all = join_all((0..8).map(|nth| provisioned(&bench, joiner(nth)))).await;
    assert!(all.into_iter().all(|r| r.unwrap().outcome == Outcome::AppliedNotActive));
    let activations = bench.calls("POST /status/activate");
    assert!(activations <= 2, "{activations} activations");
    bench.tenant.faults().clear();
    let begun = bench.lifecycle.activate(local()).await.unwrap();
    assert_eq!(bench.lifecycle.wait(&begun.operation, INTERACTIVE).await.unwrap().outcome, Outcome::Done);
    assert_eq!((open(&bench.store).await, bench.calls("POST /status/activate")), (0, activations + 1));
}

#[tokio::test]
async fn f15_with_the_hours_activations_used_up_what_is_applied_says_when_it_is_activated() {
    let plan = Plan { limits: zia_mcp::zia::Limits::documented(), ..Plan::default() };
    let bench = Bench::with(plan).await;
    let hour = Fault::TooManyRequests { header: Some("3000".into()), body: None };
    bench.tenant.faults().switch_on(hour.on(Endpoint::Activate));
    let begun = bench.lifecycle.provision(local(), joiner(1)).await.unwrap();
    bench.tenant.arrived(Endpoint::Activate, 1).await;
    until("it waits", async || {
        let report = bench.lifecycle.wait(&begun.operation, Duration::ZERO).await.unwrap();
        let detail = report.activation.detail.unwrap_or_default();
        report.outcome == Outcome::AppliedNotActive && detail.contains("takes no more activations until")
    })
    .await;
    // The next one waits with it, and asks ZIA nothing.
    let next = bench.lifecycle.provision(local(), joiner(2)).await.unwrap();
    until("it waits too", async || {
        let report = bench.lifecycle.wait(&next.operation, Duration::ZERO).await.unwrap();
        report.outcome == Outcome::AppliedNotActive
    })
    .await;
    assert_eq!(bench.calls("POST /status/activate"), 1);
}

#[tokio::test]
async fn f30_what_is_written_while_others_changes_wait_is_held_back_in_a_crowd_too() {
    let bench = Bench::new().await;
    bench.tenant.other_admin().stage_foreign_change();
    let all = join_all((0..5).map(|nth| provisioned(&bench, joiner(nth)))).await;
    assert!(all.into_iter().all(|r| r.unwrap().outcome == Outcome::AppliedNotActive));
    assert_eq!(bench.calls("POST /status/activate"), 0);
}

#[tokio::test]
async fn a_person_who_asks_to_activate_does_not_wait_for_company() {
    let bench = Bench::new().await;
    bench.tenant.faults().switch_on(Fault::Hang { applied: false }.on(Endpoint::CreateUser).after(1));
    let first = bench.lifecycle.provision(local(), joiner(1)).await.unwrap();
    let second = bench.lifecycle.provision(local(), joiner(2)).await.unwrap();
    bench.tenant.arrived(Endpoint::CreateUser, 2).await;
    let begun = bench.lifecycle.activate(local()).await.unwrap();
    bench.lifecycle.wait(&begun.operation, INTERACTIVE).await.unwrap();
    let report = bench.lifecycle.wait(&first.operation, INTERACTIVE).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    let hangs = bench.lifecycle.wait(&second.operation, Duration::ZERO).await.unwrap();
    assert_eq!(hangs.outcome, Outcome::InProgress);
}
