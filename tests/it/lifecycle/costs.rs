//! What a use case costs upstream.

use std::time::Duration;

use futures::future::join_all;
use zia_mcp::{
    lifecycle::{Code, INTERACTIVE, Outcome, ProvisionUser, RestoreUser},
    sandbox::{Endpoint, Fault},
};

use super::{
    answer, answered, ask, found, leaver, newcomer, plain_at, provisioned,
    update::{renamed, somebody, updated},
    yes,
};
use crate::support::{Bench, Plan, local};

/// Calls besides sign-in and what concerns the status.
fn counted(bench: &Bench) -> Vec<String> {
    let aside = [Endpoint::Login, Endpoint::Status, Endpoint::Activate];
    let journal = bench.tenant.journal();
    let calls = journal.into_iter().filter(|e| !aside.contains(&e.endpoint));
    calls.map(|e| format!("{} {}?{}", e.method, e.path, e.query)).collect()
}

/// Every call, in order.
fn all(bench: &Bench) -> Vec<String> {
    bench.tenant.journal().into_iter().map(|e| e.endpoint.to_string()).collect()
}

/// A bench whose index knows every user and every name; what that cost is forgotten.
async fn warm() -> Bench {
    warm_with(Plan::default()).await
}

async fn warm_with(plan: Plan) -> Bench {
    let bench = Bench::with(plan).await;
    found(&bench, "alex").await;
    provisioned(&bench, newcomer("nora.first@example.com")).await.unwrap();
    bench.tenant.clear_journal();
    bench
}

#[tokio::test]
async fn warm_a_search_costs_nothing() {
    let bench = warm().await;
    let user = plain_at(&bench, 0);
    for text in [user.email.as_str(), &user.id.to_string(), "alex", "nobody@example.com", "99999999"] {
        found(&bench, text).await;
    }
    assert_eq!(all(&bench), Vec::<String>::new());
}

#[tokio::test]
async fn warm_a_create_costs_one_call_and_its_activation() {
    let bench = warm().await;
    let report = provisioned(&bench, newcomer("nora.new@example.com")).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done);
    assert_eq!(counted(&bench).len(), 1, "{:#?}", counted(&bench));
    println!("a create: {:?}", all(&bench));
    assert_eq!(all(&bench), ["GET /status", "POST /users", "POST /status/activate", "GET /status"]);
}

#[tokio::test]
async fn warm_a_delete_costs_four_calls_and_its_activation() {
    for by_id in [false, true] {
        let bench = warm().await;
        let user = plain_at(&bench, 0);
        let named = if by_id { user.id.to_string() } else { user.email.clone() };
        let asked = ask(&bench, &named).await;
        assert_eq!(answer(&bench, &asked, yes(&user.email)).await.unwrap().outcome, Outcome::Done);
        let own = counted(&bench);
        assert_eq!(own.len(), 4, "{own:#?}");
        println!("a delete: {:?}", all(&bench));
        let expected = [
            "GET /users/{id}",
            "GET /users/{id}",
            "GET /status",
            "DELETE /users/{id}",
            "GET /users/{id}",
            "POST /status/activate",
            "GET /status",
        ];
        assert_eq!(all(&bench), expected);
    }
}

#[tokio::test]
async fn warm_a_change_costs_four_calls_and_its_activation() {
    for by_id in [false, true] {
        let bench = warm().await;
        let user = somebody(&bench);
        let named = if by_id { user.id.to_string() } else { user.email };
        let report = updated(&bench, renamed(&named, "Another Name")).await.unwrap();
        assert_eq!(report.outcome, Outcome::Done, "{report:?}");
        let expected = [
            "GET /users/{id}",
            "GET /users/{id}",
            "GET /status",
            "PUT /users/{id}",
            "GET /users/{id}",
            "POST /status/activate",
            "GET /status",
        ];
        assert_eq!(all(&bench), expected);
    }
}

#[tokio::test]
async fn warm_a_restore_costs_one_call_and_its_activation() {
    let bench = warm().await;
    let user = somebody(&bench);
    let report = answered(&bench, &user.email, yes(&user.email)).await;
    bench.tenant.clear_journal();
    let capture = report.capture.unwrap().id.to_string();
    let begun = bench.lifecycle.restore(local(), RestoreUser { capture }).await.unwrap();
    let report = bench.lifecycle.wait(&begun.operation, INTERACTIVE).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(all(&bench), ["GET /status", "POST /users", "POST /status/activate", "GET /status"]);
}

#[tokio::test]
async fn warm_what_is_captured_is_what_zia_answers_and_not_what_the_index_holds() {
    let bench = warm().await;
    let user = plain_at(&bench, 0);
    let changed = serde_json::json!({"comments": "moved"});
    bench.tenant.other_admin().change_user(user.id, &changed, true).unwrap();
    ask(&bench, &user.email).await;
    let capture = bench.store.captures(None, 1).await.unwrap().remove(0);
    let (_, raw) = bench.store.open_capture(&capture.id).await.unwrap().unwrap();
    let image: serde_json::Value = serde_json::from_slice(&raw).unwrap();
    assert_eq!((&image["row"]["comments"], &image["by_id"]["comments"]), (&"moved".into(), &"moved".into()));
}

#[tokio::test]
async fn warm_an_encoded_answer_by_id_is_not_trusted_alone() {
    let bench = warm().await;
    bench.tenant.faults().switch_on(Fault::EncodedById);
    let user = plain_at(&bench, 0);
    let report = answered(&bench, &user.email, yes(&user.email)).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(counted(&bench).iter().any(|call| call.contains("/users?")), "{:#?}", counted(&bench));
}

#[tokio::test]
async fn warm_a_user_who_is_gone_is_not_found_although_the_index_knows_them() {
    let bench = warm().await;
    let user = plain_at(&bench, 0);
    bench.tenant.other_admin().delete_user(user.id, true).unwrap();
    let failure = bench.lifecycle.deprovision(local(), leaver(&user.email)).await.unwrap_err();
    assert_eq!(failure.code, Code::NotFound, "{failure:?}");
}

#[tokio::test]
async fn b18_an_address_that_somebody_took_since_the_last_list_is_told_after_one_post() {
    for same in [true, false] {
        let bench = warm().await;
        let beside = bench.elsewhere(Plan::default()).await;
        let theirs = newcomer("nora.taken@example.com");
        let name = if same { theirs.name.clone() } else { "Somebody Else".into() };
        provisioned(&beside, ProvisionUser { name, ..theirs.clone() }).await.unwrap();
        bench.tenant.clear_journal();
        let answer = provisioned(&bench, theirs).await;
        assert_eq!(bench.tenant.journal().iter().filter(|e| e.endpoint == Endpoint::CreateUser).count(), 1);
        match (same, answer) {
            (true, Ok(report)) => assert_eq!(report.outcome, Outcome::AlreadyDone, "{report:?}"),
            (false, Err(failure)) => {
                assert_eq!(failure.code, Code::AlreadyExists);
                assert!(failure.message.contains("differs in name; ZIA created nobody"), "{failure:?}");
            }
            (_, other) => panic!("{same}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn twenty_creates_at_once_on_a_cold_index_share_one_list_and_the_look_behind_it() {
    let bench = Bench::new().await;
    let requests = (0..20).map(|n| newcomer(&format!("nora.{n}@example.com")));
    for report in join_all(requests.map(|request| provisioned(&bench, request))).await {
        assert_eq!(report.unwrap().outcome, Outcome::Done);
    }
    assert_eq!(bench.calls("GET /users"), 2);
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
