//! The same request again: joined by whichever server it reaches, and carried out once.

use std::{collections::HashSet, time::Duration};

use futures::future::join_all;
use zia_mcp::{
    lifecycle::{Code, DeprovisionUsers, Outcome, UpdateUser},
    sandbox::{Endpoint, Fault},
};

use super::{
    leaver, newcomer, plain_at, provisioned, until,
    update::{asking, renamed, somebody},
};
use crate::support::{Bench, Plan, local};

const NORA: &str = "nora.new@example.com";

/// Three servers on one store.
async fn team() -> Vec<Bench> {
    let first = Bench::new().await;
    let (second, third) = (first.beside(Plan::default()).await, first.beside(Plan::default()).await);
    vec![first, second, third]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_asked_of_three_servers_at_once_is_sent_once() {
    let team = team().await;
    // So that all have asked before it is over.
    team[0].tenant.faults().switch_on(Fault::Delay { ms: 1_000 }.on(Endpoint::CreateUser));
    let ask = |nth: usize| provisioned(&team[nth % 3], newcomer(NORA));
    let reports = join_all((0..12).map(ask)).await;
    for report in &reports {
        let report = report.as_ref().unwrap();
        assert!(matches!(report.outcome, Outcome::Done | Outcome::AlreadyDone), "{report:?}");
    }
    assert_eq!(team[0].calls("POST /users"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_asked_of_three_servers_at_once_is_one_question() {
    let team = team().await;
    let email = plain_at(&team[0], 0).email;
    let ask = |nth: usize| team[nth % 3].lifecycle.deprovision(local(), leaver(&email));
    let begun = join_all((0..12).map(ask)).await;
    let ids: HashSet<_> = begun.into_iter().map(|begun| begun.unwrap().operation).collect();
    assert_eq!(ids.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_of_several_asked_of_three_servers_at_once_is_one_operation() {
    let team = team().await;
    let users: Vec<_> = (0..3).map(|at| plain_at(&team[0], at).email).collect();
    let ask = |nth: usize| {
        let request = DeprovisionUsers { users: users.clone(), reason: None };
        team[nth % 3].lifecycle.deprovision_users(local(), request)
    };
    let begun = join_all((0..9).map(ask)).await;
    let ids: HashSet<_> = begun.into_iter().map(|begun| begun.unwrap().operation).collect();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn f25_a_creation_whose_outcome_is_not_known_is_joined_and_not_begun_anew() {
    let mut plan = Plan::default();
    plan.timeouts.write_header = Duration::from_millis(500);
    let bench = Bench::with(plan).await;
    let faults = bench.tenant.faults();
    faults.switch_on(Fault::Hang { applied: true }.on(Endpoint::CreateUser).times(1));
    let begun = bench.lifecycle.provision(local(), newcomer(NORA)).await.unwrap();
    bench.tenant.arrived(Endpoint::CreateUser, 1).await;
    // Whoever reads what became of it learns nothing.
    faults.switch_on(Fault::ServerError { status: 503, applied: false }.on(Endpoint::ListUsers));
    let told = async || bench.lifecycle.report(&begun.operation).await.unwrap().outcome;
    until("unknown", async || told().await == Outcome::Unknown).await;
    // Later than a question would have lapsed, too.
    for minutes in [0, 20] {
        bench.pass(Duration::from_secs(60 * minutes));
        let again = bench.lifecycle.provision(local(), newcomer(NORA)).await.unwrap();
        assert_eq!(again.operation, begun.operation, "after {minutes} minutes");
    }
    assert_eq!(bench.calls("POST /users"), 1);
}

#[tokio::test]
async fn a_dry_run_joins_nothing_and_asks_nobody() {
    let bench = Bench::with(asking()).await;
    let request = renamed(&somebody(&bench).email, "Nova Newname");
    let begun = bench.lifecycle.update(local(), request.clone()).await.unwrap();
    assert!(begun.question.is_some());
    let planned = UpdateUser { dry_run: true, ..request };
    let failure = bench.lifecycle.update(local(), planned).await.unwrap_err();
    assert_eq!((failure.code, failure.operation_id), (Code::Conflict, Some(begun.operation)));
}
