//! Approved writes that wait for their turn within ZIA's limits, and what is kept for them.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::json;
use zia_mcp::{
    lifecycle::{Code, Decision, DeprovisionUsers, Outcome},
    model::{Clock, OperationId, Per, Window},
    sandbox::{Endpoint, Fault},
    zia::Limits,
};

use super::{deleted, leaver, newcomer, plain_at, provisioned, until, yes};
use crate::support::{Bench, Plan, killed, local};

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
    is_told(&second, &id).await;
    (first, second, id, two)
}

async fn is_told(bench: &Bench, id: &OperationId) {
    until("the wait is told", async || {
        let report = bench.lifecycle.report(id).await.unwrap();
        report.notes.iter().any(|note| note.contains("call limits are used up"))
    })
    .await;
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
async fn whoever_is_killed_while_it_waits_is_followed_by_one_that_waits_on_and_sends_once() {
    let first = Bench::with(one_delete_an_hour()).await;
    let [one, two] = [0, 1].map(|at| plain_at(&first, at).email);
    assert_eq!(deleted(&first, &one).await.outcome, Outcome::Done);
    let begun = first.lifecycle.deprovision(local(), leaver(&two)).await.unwrap();
    let (id, doomed) = (begun.operation, first.beside(one_delete_an_hour()).await);
    let (asked, email) = (id.clone(), two.clone());
    killed(
        async move {
            // All of it: a store left outside would still be alive.
            let doomed = doomed;
            doomed.lifecycle.answer(local(), asked, yes(&email)).await.unwrap();
            std::future::pending::<()>().await;
        },
        is_told(&first, &id),
    )
    .await;
    assert_eq!(first.calls(DELETE), 1);
    let next = first.beside(one_delete_an_hour()).await;
    until("it is taken up", async || {
        next.lifecycle.recover().await.unwrap();
        next.lifecycle.report(&id).await.unwrap().outcome == Outcome::InProgress
    })
    .await;
    is_told(&next, &id).await;
    assert_eq!(first.calls(DELETE), 1);
    first.pass(61 * MINUTE);
    let report = next.lifecycle.wait(&id, MINUTE).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!((first.calls(DELETE), first.tenant.user_by_email(&two)), (2, None));
}

/// A process meets a limit in the last reading before the write; another one, whose own clock was not
/// told to wait, carries on after the half hour.
async fn limited_reading(
    bench: &Bench,
    id: &OperationId,
    decision: impl Future<Output = ()> + Send + 'static,
) {
    for endpoint in [Endpoint::GetUser, Endpoint::ListUsers] {
        let body = Some(r#"{"message":"Too many requests"}"#.into());
        let limited = Fault::TooManyRequests { header: Some("1800".into()), body };
        bench.tenant.faults().switch_on(limited.on(endpoint));
    }
    killed(decision, is_told(bench, id)).await;
    bench.tenant.faults().clear();
    assert_eq!((bench.calls(DELETE), bench.calls("POST /users/bulkDelete")), (0, 0));
    bench.pass(31 * MINUTE);
    let next = bench.beside(counted(Limits::documented())).await;
    until("it is done", async || {
        next.lifecycle.recover().await.unwrap();
        next.lifecycle.report(id).await.unwrap().outcome == Outcome::Done
    })
    .await;
}

#[tokio::test]
async fn f15_a_limit_that_the_last_reading_meets_is_waited_for_like_that_of_the_write() {
    let bench = Bench::with(counted(Limits::documented())).await;
    let email = plain_at(&bench, 0).email;
    let id = bench.lifecycle.deprovision(local(), leaver(&email)).await.unwrap().operation;
    let (doomed, asked, who) = (bench.beside(counted(Limits::documented())).await, id.clone(), email.clone());
    let decision = async move {
        let doomed = doomed;
        doomed.lifecycle.answer(local(), asked, yes(&who)).await.unwrap();
        std::future::pending::<()>().await;
    };
    limited_reading(&bench, &id, decision).await;
    assert_eq!((bench.calls(DELETE), bench.tenant.user_by_email(&email)), (1, None));
}

#[tokio::test]
async fn f15_a_limit_that_the_last_reading_of_several_meets_is_waited_for_too() {
    let bench = Bench::with(counted(Limits::documented())).await;
    bench.enrolled(&["Olga"]).await;
    let users: Vec<_> = (0..3).map(|at| plain_at(&bench, at).email).collect();
    let request = DeprovisionUsers { users: users.clone(), reason: None };
    let id = bench.lifecycle.deprovision_users(local(), request).await.unwrap().operation;
    let (doomed, asked) = (bench.beside(counted(Limits::documented())).await, id.clone());
    let decision = async move {
        let doomed = doomed;
        let yes = Decision { approve: true, by: "Olga".into(), subject: None, channel: "code".into() };
        doomed.lifecycle.decide(&asked, yes).await.unwrap();
        std::future::pending::<()>().await;
    };
    limited_reading(&bench, &id, decision).await;
    assert_eq!(bench.calls("POST /users/bulkDelete"), 1);
    assert!(users.iter().all(|email| bench.tenant.user_by_email(email).is_none()));
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
