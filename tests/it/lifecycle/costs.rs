//! What a use case costs upstream.

use std::time::Duration;

use futures::future::join_all;
use zia_mcp::{
    lifecycle::{Code, Outcome, ProvisionUser},
    sandbox::{Endpoint, Fault},
};

use super::{answer, answered, ask, found, newcomer, plain_at, provisioned, yes};
use crate::support::{Bench, Plan, local};

/// Calls besides sign-in and what concerns the status.
fn counted(bench: &Bench) -> Vec<String> {
    let aside = [Endpoint::Login, Endpoint::Status, Endpoint::Activate];
    let journal = bench.tenant.journal();
    let calls = journal.into_iter().filter(|e| !aside.contains(&e.endpoint));
    calls.map(|e| format!("{} {}?{}", e.method, e.path, e.query)).collect()
}

#[tokio::test]
async fn a_hundred_calls_sign_in_once() {
    let bench = Bench::new().await;
    let caller = local();
    let calls = (0..100).map(|_| bench.lifecycle.tenant_status(&caller));
    for status in join_all(calls).await {
        status.unwrap();
    }
    found(&bench, "alex").await;
    assert_eq!(bench.tenant.calls(Endpoint::Login), 1);
}

#[tokio::test]
async fn a_session_that_ended_costs_one_more_sign_in_and_no_failure() {
    let bench = Bench::new().await;
    let user = plain_at(&bench, 0);
    let asked = ask(&bench, &user.email).await;
    bench.tenant.expire_sessions();
    assert_eq!(answer(&bench, &asked, yes(&user.email)).await.unwrap().outcome, Outcome::Done);
    assert_eq!(bench.tenant.calls(Endpoint::Login), 2);
}

#[tokio::test]
async fn f13_refused_credentials_are_tried_once_whatever_is_asked() {
    let bench = Bench::with(Plan { password: Some("not-the-password"), ..Plan::default() }).await;
    let caller = local();
    let calls = (0..100).map(|_| bench.lifecycle.tenant_status(&caller));
    for failure in join_all(calls).await {
        assert_eq!(failure.unwrap_err().code, Code::SignInFailed);
    }
    assert_eq!(provisioned(&bench, newcomer("n@example.com")).await.unwrap_err().code, Code::SignInFailed);
    assert_eq!(bench.tenant.calls(Endpoint::Login), 1);
}

#[tokio::test]
async fn a_delete_costs_at_most_six_calls_by_address_and_by_id() {
    for by_id in [false, true] {
        let bench = Bench::new().await;
        let user = plain_at(&bench, 0);
        let named = if by_id { user.id.to_string() } else { user.email.clone() };
        let asked = ask(&bench, &named).await;
        assert_eq!(answer(&bench, &asked, yes(&user.email)).await.unwrap().outcome, Outcome::Done);
        assert!(counted(&bench).len() <= 6, "{:#?}", counted(&bench));
    }
}

#[tokio::test]
async fn the_first_create_lists_users_at_most_twice_and_a_later_one_costs_two_calls() {
    let bench = Bench::new().await;
    provisioned(&bench, newcomer("nora.one@example.com")).await.unwrap();
    assert!(bench.calls("GET /users") <= 2, "{:#?}", counted(&bench));
    found(&bench, "alex.kim@example.com").await;
    provisioned(&bench, newcomer("nora.two@example.com")).await.unwrap();
    bench.tenant.clear_journal();
    let request = ProvisionUser { name: "Nora Three".into(), ..newcomer("nora.three@example.com") };
    assert_eq!(provisioned(&bench, request).await.unwrap().outcome, Outcome::Done);
    assert!(counted(&bench).len() <= 2, "{:#?}", counted(&bench));
}

#[tokio::test]
async fn a_question_that_is_asked_again_costs_nothing() {
    let bench = Bench::new().await;
    let user = plain_at(&bench, 0);
    ask(&bench, &user.email).await;
    bench.tenant.clear_journal();
    ask(&bench, &user.email).await;
    assert_eq!(counted(&bench), Vec::<String>::new());
}

#[tokio::test]
async fn an_operation_read_a_thousand_times_costs_nothing_upstream() {
    let bench = Bench::new().await;
    let user = plain_at(&bench, 0);
    let done = answered(&bench, &user.email, yes(&user.email)).await;
    bench.tenant.clear_journal();
    for _ in 0..1_000 {
        bench.lifecycle.report(&done.operation_id).await.unwrap();
    }
    assert!(bench.tenant.journal().is_empty());
}

#[tokio::test]
async fn f12_a_session_that_ends_before_any_call_of_a_delete_is_no_failure() {
    for endpoint in
        [Endpoint::ListUsers, Endpoint::GetUser, Endpoint::Status, Endpoint::DeleteUser, Endpoint::Activate]
    {
        let bench = Bench::new().await;
        bench.tenant.faults().switch_on(Fault::SessionExpired.on(endpoint).times(1));
        let user = plain_at(&bench, 0);
        let report = answered(&bench, &user.email, yes(&user.email)).await;
        assert_eq!(report.outcome, Outcome::Done, "{endpoint}: {report:?}");
        let applied =
            bench.tenant.journal().iter().filter(|e| e.endpoint == Endpoint::DeleteUser && e.applied).count();
        assert_eq!((applied, bench.tenant.calls(Endpoint::Login)), (1, 2), "{endpoint}");
    }
}

#[tokio::test]
async fn the_session_is_ended_unless_that_would_publish_what_waits() {
    let bench = Bench::new().await;
    bench.lifecycle.sign_out().await;
    assert_eq!(bench.tenant.calls(Endpoint::Logout), 0, "there was no session");
    provisioned(&bench, newcomer("nora.one@example.com")).await.unwrap();
    bench.tenant.other_admin().stage_foreign_change();
    provisioned(&bench, newcomer("nora.two@example.com")).await.unwrap();
    bench.lifecycle.sign_out().await;
    assert_eq!((bench.tenant.calls(Endpoint::Logout), bench.tenant.staged_changes().len()), (0, 2));
    let begun = bench.lifecycle.activate(local()).await.unwrap();
    assert_eq!(answer(&bench, &begun.operation, yes("activate")).await.unwrap().outcome, Outcome::Done);
    bench.lifecycle.sign_out().await;
    assert_eq!(bench.tenant.calls(Endpoint::Logout), 1);
}

#[tokio::test]
async fn a_stop_waits_for_what_is_being_carried_out_and_no_longer_than_asked() {
    let bench = Bench::new().await;
    bench.tenant.faults().switch_on(Fault::Delay { ms: 400 }.on(Endpoint::DeleteUser));
    let user = plain_at(&bench, 0);
    let asked = ask(&bench, &user.email).await;
    bench.lifecycle.drain(Duration::from_secs(5)).await; // a question holds nobody up
    bench.lifecycle.answer(local(), asked.clone(), yes(&user.email)).await.unwrap();
    bench.lifecycle.drain(Duration::from_millis(50)).await;
    assert_eq!(bench.lifecycle.report(&asked).await.unwrap().outcome, Outcome::InProgress);
    bench.lifecycle.drain(Duration::from_secs(10)).await;
    assert_eq!(bench.lifecycle.report(&asked).await.unwrap().outcome, Outcome::Done);
}
