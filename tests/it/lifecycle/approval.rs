//! Who decides, how often and for how long (T5, T7, T15, T23, F31, F33).

use std::time::Duration;

use futures::future::join_all;
use zia_mcp::{
    lifecycle::{Answer, Code, DeprovisionUser, INTERACTIVE, Outcome},
    model::{Actor, OperationId},
    sandbox::Endpoint,
};

use super::{answer, answered, ask, leaver, plain, plain_at, yes};
use crate::support::{Bench, local, remote};

#[tokio::test]
async fn the_same_request_joins_the_open_operation_and_asks_again() {
    let bench = Bench::new().await;
    let (_, email) = plain(&bench);
    let first = ask(&bench, &email).await;
    assert_eq!(ask(&bench, &email.to_uppercase()).await, first);
    assert_eq!(bench.store.captures(None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn equal_requests_at_the_same_time_make_one_operation() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    let asked: Vec<OperationId> = join_all((0..50).map(|_| ask(&bench, &email))).await;
    assert!(asked.iter().all(|id| *id == asked[0]));
    assert_eq!(answer(&bench, &asked[0], yes(&email)).await.unwrap().outcome, Outcome::Done);
    assert!(bench.tenant.live_user(id).is_none());
}

#[tokio::test]
async fn a_second_operation_on_the_user_conflicts_and_its_own_caller_is_told_with_which() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    let first = ask(&bench, &email).await;
    for user in [email, id.to_string()] {
        let other = DeprovisionUser { user, reason: Some("another reason".into()) };
        let mine = bench.lifecycle.deprovision(local(), other.clone()).await.unwrap_err();
        assert_eq!((mine.code, mine.operation_id), (Code::Conflict, Some(first.clone())));
        let theirs = bench.lifecycle.deprovision(remote("ann"), other).await.unwrap_err();
        assert_eq!((theirs.code, theirs.operation_id.clone()), (Code::Conflict, None));
        assert!(!format!("{theirs:?}").contains(first.as_str()));
    }
}

#[tokio::test]
async fn f31_requests_that_differ_at_the_same_time_leave_one_open_operation() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    let request = |n: usize| {
        let user = if n.is_multiple_of(2) { email.clone() } else { id.to_string() };
        DeprovisionUser { user, reason: Some(format!("reason {n}")) }
    };
    let begun = join_all((0..20).map(|n| bench.lifecycle.deprovision(local(), request(n)))).await;
    assert_eq!(begun.iter().filter(|b| b.is_ok()).count(), 1);
    for failure in begun.into_iter().filter_map(Result::err) {
        assert_eq!(failure.code, Code::Conflict, "{failure:?}");
    }
}

#[tokio::test]
async fn t5_f33_a_hundred_answers_at_the_same_time_delete_once() {
    let bench = Bench::new().await;
    let (_, email) = plain(&bench);
    let asked = ask(&bench, &email).await;
    let answers = (0..100).map(|_| bench.lifecycle.answer(local(), asked.clone(), yes(&email)));
    for failure in join_all(answers).await.into_iter().filter_map(Result::err) {
        assert_eq!(failure.code, Code::Conflict, "{failure:?}");
    }
    assert_eq!(bench.lifecycle.wait(&asked, INTERACTIVE).await.unwrap().outcome, Outcome::Done);
    assert_eq!((bench.calls("DELETE /users/{id}"), bench.calls("POST /status/activate")), (1, 1));
}

#[tokio::test]
async fn answering_again_changes_nothing() {
    let bench = Bench::new().await;
    let (_, email) = plain(&bench);
    let asked = ask(&bench, &email).await;
    for with in [yes(&email), yes(&email), Answer::Declined, Answer::Silent] {
        assert_eq!(answer(&bench, &asked, with).await.unwrap().outcome, Outcome::Done);
    }
    assert_eq!(bench.calls("DELETE /users/{id}"), 1);
}

#[tokio::test]
async fn what_was_declined_stays_declined_and_asking_again_is_a_new_operation() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    let first = answered(&bench, &email, Answer::Declined).await;
    assert_eq!(first.outcome, Outcome::Declined);
    let late = answer(&bench, &first.operation_id, yes(&email)).await.unwrap();
    assert_eq!(late.outcome, Outcome::Declined);
    assert!(bench.tenant.user(id).is_some());
    assert_ne!(ask(&bench, &email).await, first.operation_id);
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn the_wrong_text_is_told_and_leaves_the_operation_to_be_decided() {
    let bench = Bench::new().await;
    let (_, email) = plain(&bench);
    let asked = ask(&bench, &email).await;
    let other = plain_at(&bench, 1).email;
    for text in ["yes", "", "ok", &other, &format!("{email}x"), "activate"] {
        let report = answer(&bench, &asked, yes(text)).await.unwrap();
        assert_eq!(report.outcome, Outcome::AwaitingApproval, "{text:?}");
        assert!(report.notes.iter().any(|n| n.contains("did not match")), "{report:?}");
        let how = report.how_to_approve.unwrap();
        assert_eq!(how.cli, format!("zia-mcp approve {asked}"));
    }
    assert_eq!(bench.writes(), 0);
    assert_eq!(answer(&bench, &asked, yes(&email)).await.unwrap().outcome, Outcome::Done);
}

#[tokio::test]
async fn nobodys_decision_in_time_is_an_end() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    let asked = ask(&bench, &email).await;
    bench.pass(Duration::from_secs(15 * 60 - 5));
    assert_eq!(bench.lifecycle.report(&asked).await.unwrap().outcome, Outcome::AwaitingApproval);
    bench.pass(Duration::from_secs(10));
    let report = answer(&bench, &asked, yes(&email)).await.unwrap();
    assert_eq!(report.outcome, Outcome::Expired);
    assert!(report.how_to_approve.is_none());
    assert!(bench.lifecycle.question(&local(), &asked).await.unwrap().is_none());
    assert!(bench.tenant.user(id).is_some());
    assert_eq!(bench.writes(), 0);
    assert_ne!(ask(&bench, &email).await, asked);
}

#[tokio::test]
async fn t3_over_http_a_form_is_not_offered_and_not_accepted() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    let ann = remote("ann");
    let begun = bench.lifecycle.deprovision(ann.clone(), leaver(&email)).await.unwrap();
    assert!(begun.question.is_none());
    let failure = bench.lifecycle.answer(ann, begun.operation.clone(), yes(&email)).await.unwrap_err();
    assert_eq!(failure.code, Code::Forbidden);
    let report = bench.lifecycle.report(&begun.operation).await.unwrap();
    assert_eq!(report.outcome, Outcome::AwaitingApproval);
    assert!(bench.tenant.user(id).is_some());
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn t3_an_operation_begun_at_the_terminal_is_not_answered_over_http() {
    let bench = Bench::new().await;
    let (_, email) = plain(&bench);
    let asked = ask(&bench, &email).await;
    let failure = bench.lifecycle.answer(remote("local"), asked.clone(), yes(&email)).await.unwrap_err();
    assert_eq!(failure.code, Code::Forbidden);
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn t3_an_operation_begun_over_http_is_not_answered_by_a_form_elsewhere() {
    let bench = Bench::new().await;
    let (_, email) = plain(&bench);
    let begun = bench.lifecycle.deprovision(remote("local"), leaver(&email)).await.unwrap();
    // Its tier was fixed where it began, whoever comes along later.
    let _ = bench.lifecycle.answer(local(), begun.operation.clone(), yes(&email)).await;
    let report = bench.lifecycle.wait(&begun.operation, Duration::from_secs(5)).await.unwrap();
    assert_eq!(report.outcome, Outcome::AwaitingApproval, "{report:?}");
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn t15_another_callers_operation_looks_exactly_like_none() {
    let bench = Bench::new().await;
    let (_, email) = plain(&bench);
    let theirs = ask(&bench, &email).await;
    let none = OperationId::random();
    let stranger = Actor { caller: "stranger".into(), ..local() };
    let mut answers = Vec::new();
    for id in [&theirs, &none] {
        let bench = &bench.lifecycle;
        let read = bench.get_operation(&stranger, id.as_str(), Duration::ZERO).await.unwrap_err();
        let answered = bench.answer(stranger.clone(), id.clone(), yes(&email)).await.unwrap_err();
        let question = bench.question(&stranger, id).await.unwrap_err();
        answers.push([read, answered, question]);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0][0].code, Code::NotFound);
    assert!(bench.lifecycle.recent_operations(&stranger, 10).await.unwrap().is_empty());
    assert!(bench.lifecycle.tenant_status(&stranger).await.unwrap().open_operations.is_empty());
    assert_eq!(bench.lifecycle.tenant_status(&local()).await.unwrap().open_operations.len(), 1);
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn t23_of_a_thousand_operations_of_a_caller_twenty_wait_and_the_rest_is_refused() {
    let bench = Bench::new().await;
    let mut first = None;
    for at in 0..20 {
        let asked = ask(&bench, &plain_at(&bench, at).email).await;
        first.get_or_insert(asked);
        bench.pass(Duration::from_secs(1));
    }
    let next = plain_at(&bench, 20).email;
    let failure = bench.lifecycle.deprovision(local(), leaver(&next)).await.unwrap_err();
    assert_eq!((failure.code, failure.retryable), (Code::RateLimited, true));
    let first = first.unwrap();
    let lapses = bench.lifecycle.report(&first).await.unwrap().how_to_approve.unwrap().expires_at;
    assert_eq!(failure.retry_at, Some(lapses));
    // A thousand more are none more, whatever they name.
    let others: Vec<_> = (20..24).map(|at| plain_at(&bench, at).email).collect();
    let flood = (0..1_000).map(|n| {
        let user = others[n % others.len()].clone();
        bench.lifecycle.deprovision(local(), DeprovisionUser { user, reason: Some(format!("flood {n}")) })
    });
    for more in join_all(flood).await {
        assert_eq!(more.unwrap_err().code, Code::RateLimited);
    }
    let status = bench.lifecycle.tenant_status(&local()).await.unwrap();
    assert_eq!(status.open_operations.len(), 20);
    // Others are not held up, a joined one is not counted, and one decided makes room.
    bench.lifecycle.deprovision(remote("ann"), leaver(&next)).await.unwrap();
    ask(&bench, &plain_at(&bench, 0).email).await;
    bench.lifecycle.answer(local(), first, Answer::Declined).await.unwrap();
    ask(&bench, &plain_at(&bench, 21).email).await;
    assert_eq!(bench.tenant.calls(Endpoint::DeleteUser), 0);
}
