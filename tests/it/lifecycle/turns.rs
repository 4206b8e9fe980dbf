//! Approved writes that wait for their turn within ZIA's limits, and what is kept for them.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::json;
use zia_mcp::{
    lifecycle::{Code, Outcome},
    model::{Clock, OperationId, Per, Window},
    zia::Limits,
};

use super::{deleted, leaver, newcomer, plain_at, provisioned, until, yes};
use crate::support::{Bench, Plan, local};

const DELETE: &str = "DELETE /users/{id}";
const MINUTE: Duration = Duration::from_secs(60);

fn counted(limits: Limits) -> Plan {
    Plan { limits, counted: true, ..Plan::default() }
}

fn one_delete_an_hour() -> Plan {
    counted(Limits::documented().with(DELETE, Window { limit: 1, per: Per::Hour }).unwrap())
}

/// Another process with the hour's delete used up by a first one, and a deletion that a person approved.
async fn waiting() -> (Bench, Bench, OperationId, String) {
    let first = Bench::with(one_delete_an_hour()).await;
    let [one, two] = [0, 1].map(|at| plain_at(&first, at).email);
    assert_eq!(deleted(&first, &one).await.outcome, Outcome::Done);
    let second = first.beside(one_delete_an_hour()).await;
    let begun = second.lifecycle.deprovision(local(), leaver(&two)).await.unwrap();
    second.lifecycle.answer(local(), begun.operation.clone(), yes(&two)).await.unwrap();
    let id = begun.operation;
    until("the wait is told", async || {
        let report = second.lifecycle.report(&id).await.unwrap();
        report.notes.iter().any(|note| note.contains("call limits are used up"))
    })
    .await;
    (first, second, id, two)
}

#[tokio::test]
async fn an_approved_write_waits_for_its_turn_longer_than_its_time_and_tells_when() {
    let (_first, bench, id, email) = waiting().await;
    let report = bench.lifecycle.report(&id).await.unwrap();
    assert_eq!(report.outcome, Outcome::InProgress, "{report:?}");
    assert_eq!(bench.calls(DELETE), 1);
    // Past the quarter of an hour that an approval is good for, and not yet the turn.
    bench.pass(30 * MINUTE);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(bench.calls(DELETE), 1);
    bench.pass(31 * MINUTE);
    let report = bench.lifecycle.wait(&id, MINUTE).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(!report.notes.iter().any(|note| note.contains("used up")), "{report:?}");
    assert_eq!(bench.calls(DELETE), 2);
    assert!(bench.tenant.user_by_email(&email).is_none());
}

#[tokio::test]
async fn whoever_waited_is_checked_again_right_before_the_send() {
    let (first, bench, id, email) = waiting().await;
    let user = first.tenant.user_by_email(&email).unwrap();
    let other = bench.tenant.other_admin();
    other.change_user(user.id, &json!({ "name": "Somebody Else" }), false).unwrap();
    bench.pass(61 * MINUTE);
    let report = bench.lifecycle.wait(&id, MINUTE).await.unwrap();
    assert_eq!(report.outcome, Outcome::Changed, "{report:?}");
    assert_eq!(bench.calls(DELETE), 1);
}

#[tokio::test]
async fn reading_never_starves_finishing() {
    let limits = Limits::documented().with("GET /status", Window { limit: 10, per: Per::Hour }).unwrap();
    let bench = Bench::with(counted(limits)).await;
    let mut read = 0;
    let refused = loop {
        match bench.lifecycle.tenant_status(&local()).await {
            Ok(_) => read += 1,
            Err(failure) => break failure,
        }
    };
    assert_eq!((read, refused.code), (8, Code::RateLimited));
    let wait = refused.retry_at.unwrap().duration_since(Clock::system().now());
    assert!(wait > SignedDuration::from_mins(55), "{wait:?}");
    let report = provisioned(&bench, newcomer("nora@example.com")).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
}

#[tokio::test]
async fn the_status_tells_what_every_process_used() {
    let first = Bench::with(counted(Limits::documented())).await;
    deleted(&first, &plain_at(&first, 0).email).await;
    let used = |name: &str| first.calls(name);
    let next = first.beside(counted(Limits::documented())).await;
    for line in next.lifecycle.budget().await.into_iter().filter(|line| line.per == "hour") {
        assert_eq!(u64::from(line.limit - line.remaining), used(&line.endpoint), "{line:?}");
    }
    assert!(used("GET /users") > 0 && used(DELETE) == 1);
}

#[tokio::test]
async fn who_waits_in_the_call_is_told_when_to_come_back() {
    let limits = Limits::documented().with("POST /users", Window { limit: 1, per: Per::Hour }).unwrap();
    let bench = Bench::with(counted(limits.clone())).await;
    provisioned(&bench, newcomer("one@example.com")).await.unwrap();
    let other = bench.beside(counted(limits)).await;
    let begun = other.lifecycle.provision(local(), newcomer("two@example.com")).await.unwrap();
    let report = other.lifecycle.wait(&begun.operation, Duration::from_secs(3)).await.unwrap();
    assert_eq!(report.outcome, Outcome::InProgress);
    assert!(report.notes.iter().any(|note| note.contains("get_operation")), "{report:?}");
    bench.pass(61 * MINUTE);
    let report = other.lifecycle.wait(&begun.operation, MINUTE).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
}
