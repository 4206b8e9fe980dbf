//! Several users deleted as one operation (contract §3, guardrails B1–B10, T24, F27, F31).

mod costs;

use std::time::Duration;

use serde_json::json;
use zia_mcp::{
    lifecycle::{
        Code, Decided, Decision, DeprovisionUsers, Failure, INTERACTIVE, Item, Outcome, Policy, Report,
        Settings,
    },
    model::{Actor, OperationId},
    sandbox::{Endpoint, Fault, SandboxUser},
};

use super::{FIRST_ID, answer, ask, deleted, plain_at, until, yes};
use crate::support::{Bench, Plan, killed, local, remote};

fn request(users: &[String]) -> DeprovisionUsers {
    DeprovisionUsers { users: users.to_vec(), reason: Some("the site closes".into()) }
}

/// The addresses of so many plain users.
fn plain(bench: &Bench, count: usize) -> Vec<String> {
    plain_users(bench, count).into_iter().map(|u| u.email).collect()
}

fn plain_users(bench: &Bench, count: usize) -> Vec<SandboxUser> {
    let fit =
        |u: &SandboxUser| !u.admin_user && !u.non_editable && u.email.contains('@') && u.id > FIRST_ID + 30;
    let users: Vec<_> = bench.tenant.users().into_iter().filter(fit).take(count).collect();
    assert_eq!(users.len(), count);
    users
}

async fn begin(bench: &Bench, users: &[String]) -> Result<OperationId, Failure> {
    begin_as(bench, local(), users).await
}

async fn begin_as(bench: &Bench, actor: Actor, users: &[String]) -> Result<OperationId, Failure> {
    bench.enrolled(&["Olga", "Max"]).await;
    let begun = bench.lifecycle.deprovision_users(actor, request(users)).await?;
    assert!(begun.question.is_none(), "no form in a client decides on several users");
    Ok(begun.operation)
}

fn approval() -> Decision {
    Decision { approve: true, by: "Olga".into(), subject: None, channel: "code".into() }
}

async fn approve(bench: &Bench, id: &OperationId) -> Report {
    bench.lifecycle.decide(id, approval()).await.unwrap();
    let mut report = bench.lifecycle.wait(id, INTERACTIVE).await.unwrap();
    while report.outcome == Outcome::InProgress {
        // Hundreds of users take their time on a busy machine.
        report = bench.lifecycle.wait(id, INTERACTIVE).await.unwrap();
    }
    report
}

async fn all_deleted(bench: &Bench, users: &[String]) -> Report {
    let id = begin(bench, users).await.unwrap();
    approve(bench, &id).await
}

fn items(report: &Report) -> &[Item] {
    report.items.as_deref().unwrap()
}

fn outcomes(report: &Report) -> Vec<Outcome> {
    items(report).iter().map(|i| i.outcome.unwrap_or(Outcome::Failed)).collect()
}

fn there(bench: &Bench, email: &str) -> bool {
    bench.tenant.user_by_email(email).is_some()
}

#[tokio::test]
async fn several_users_are_captured_decided_on_deleted_verified_and_activated_as_one() {
    let bench = Bench::new().await;
    let users = plain(&bench, 5);
    let id = begin(&bench, &users).await.unwrap();
    let waiting = bench.lifecycle.report(&id).await.unwrap();
    assert_eq!((waiting.outcome, bench.writes()), (Outcome::AwaitingApproval, 0));
    assert_eq!(outcomes(&waiting), [Outcome::AwaitingApproval; 5]);
    assert_eq!(bench.store.captures(None, 10).await.unwrap().len(), 5);
    let report = approve(&bench, &id).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(outcomes(&report), [Outcome::Done; 5]);
    assert_eq!(report.counts.as_ref().unwrap()["done"], 5);
    assert!(users.iter().all(|u| !there(&bench, u)) && bench.tenant.staged_changes().is_empty());
    assert_eq!((bench.calls("POST /users/bulkDelete"), bench.calls("POST /status/activate")), (1, 1));
    assert_eq!(bench.calls("DELETE /users/{id}"), 0);
}

#[tokio::test]
async fn without_approval_nothing_is_sent_and_a_rejection_ends_it() {
    let bench = Bench::new().await;
    let users = plain(&bench, 3);
    let id = begin(&bench, &users).await.unwrap();
    bench.lifecycle.recover().await.unwrap();
    let no = Decision { approve: false, ..approval() };
    bench.lifecycle.decide(&id, no).await.unwrap();
    assert_eq!(bench.lifecycle.report(&id).await.unwrap().outcome, Outcome::Declined);
    assert_eq!(bench.lifecycle.decide(&id, approval()).await.unwrap_err().code, Code::NotFound);
    assert_eq!(bench.writes(), 0);
    // After a while the users are free for another operation.
    let failure = bench.lifecycle.deprovision(local(), super::leaver(&users[0])).await.unwrap_err();
    assert!(failure.code == Code::Conflict && failure.retry_at.is_some(), "{failure:?}");
    bench.pass(Duration::from_secs(10 * 60 + 1));
    assert_eq!(deleted(&bench, &users[0]).await.outcome, Outcome::Done);
}

#[tokio::test]
async fn b1_b2_b3_b5_bad_lists_are_refused_whole_and_capture_nobody() {
    let bench = Bench::new().await;
    let user = plain_users(&bench, 1).remove(0);
    let many: Vec<_> = (1..=501).map(|n| n.to_string()).collect();
    for (users, code, named) in [
        (vec![], Code::InvalidArgument, "at least 1"),
        (many, Code::LimitExceeded, "500"),
        (vec![user.email.clone(), user.id.to_string()], Code::InvalidArgument, "same user"),
        (vec![user.email.clone(), user.email.to_uppercase()], Code::InvalidArgument, "same user"),
        (vec!["*".into()], Code::InvalidArgument, "user 1"),
        (vec![user.email.clone(), "1 OR 1=1".into()], Code::InvalidArgument, "user 2"),
        (vec!["../5".into()], Code::InvalidArgument, "user 1"),
        (vec!["5/../../adminUsers/1".into()], Code::InvalidArgument, "user 1"),
    ] {
        let failure = begin(&bench, &users).await.unwrap_err();
        assert_eq!(failure.code, code, "{failure:?}");
        assert_eq!(failure.field.as_deref(), Some("users"));
        assert!(failure.message.contains(named), "{failure:?}");
    }
    assert!(bench.store.captures(None, 10).await.unwrap().is_empty());
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn t24_a_protected_user_or_too_many_for_the_day_refuse_the_whole_call() {
    let policy = Policy { max_deletes_per_day: 4, ..Policy::default() };
    let settings = Settings { policy, ..Plan::default().settings };
    let bench = Bench::with(Plan { settings, ..Plan::default() }).await;
    let mut users = plain(&bench, 5);
    assert_eq!(begin(&bench, &users).await.unwrap_err().code, Code::LimitExceeded);
    let admin = bench.tenant.users().into_iter().find(|u| u.admin_user).unwrap();
    let with_admin = [&users[..2], std::slice::from_ref(&admin.email)].concat();
    let failure = begin(&bench, &with_admin).await.unwrap_err();
    assert_eq!(failure.code, Code::Protected);
    assert!(failure.message.contains(&admin.email), "{failure:?}");
    assert!(bench.store.captures(None, 10).await.unwrap().is_empty());
    let last = users.split_off(3);
    assert_eq!(all_deleted(&bench, &users).await.outcome, Outcome::Done);
    assert_eq!(begin(&bench, &last).await.unwrap_err().code, Code::LimitExceeded);
    let one = zia_mcp::lifecycle::DeprovisionUser { user: last[0].clone(), reason: None };
    assert!(bench.lifecycle.deprovision(local(), one.clone()).await.is_ok());
    bench.pass(Duration::from_secs(25 * 3600));
    assert!(bench.lifecycle.deprovision(local(), one).await.is_ok());
}

#[tokio::test]
async fn who_is_not_there_is_told_and_the_rest_goes_on_and_a_second_call_touches_only_what_is_left() {
    let bench = Bench::new().await;
    let users = plain(&bench, 4);
    assert_eq!(deleted(&bench, &users[0]).await.outcome, Outcome::Done);
    let asked = [&users[..], &["nobody@example.com".to_owned()]].concat();
    let report = all_deleted(&bench, &asked).await;
    assert_eq!(report.outcome, Outcome::Partial, "{report:?}");
    assert_eq!(items(&report)[0].outcome, Some(Outcome::AlreadyDone));
    assert!(items(&report)[1..4].iter().all(|i| i.outcome == Some(Outcome::Done) && i.capture.is_some()));
    let missing = items(&report)[4].error.as_ref().unwrap();
    assert_eq!((missing.code, &items(&report)[4].user), (Code::NotFound, &"nobody@example.com".to_owned()));
    let before = bench.writes();
    let again = begin(&bench, &users).await.unwrap();
    let report = bench.lifecycle.report(&again).await.unwrap();
    assert_eq!((report.outcome, bench.writes()), (Outcome::AlreadyDone, before), "{report:?}");
    // By the other way, too.
    let one = bench.lifecycle.deprovision(local(), super::leaver(&users[2])).await.unwrap();
    assert_eq!(bench.lifecycle.report(&one.operation).await.unwrap().outcome, Outcome::AlreadyDone);
}

#[tokio::test]
async fn f27_users_whom_zia_leaves_out_are_sent_again_and_told_if_they_stay() {
    for silent in [false, true] {
        let bench = Bench::new().await;
        let users = plain(&bench, 6);
        bench.tenant.faults().switch_on(Fault::BulkDeleteDrops { users: 2 }.times(1));
        if silent {
            bench.tenant.faults().switch_on(Fault::BulkDeleteAnswers204);
        }
        let report = all_deleted(&bench, &users).await;
        assert_eq!(report.outcome, Outcome::Done, "{report:?}");
        assert!(users.iter().all(|u| !there(&bench, u)));
        assert_eq!(bench.calls("POST /users/bulkDelete"), 2);
        let bodies: Vec<_> =
            bench.tenant.journal().into_iter().filter(|e| e.endpoint == Endpoint::BulkDelete).collect();
        assert_eq!(bodies[1].body.as_ref().unwrap()["ids"].as_array().unwrap().len(), 2);
    }
    let bench = Bench::new().await;
    let users = plain(&bench, 5);
    bench.tenant.faults().switch_on(Fault::BulkDeleteDrops { users: 1 });
    let id = begin(&bench, &users).await.unwrap();
    bench.lifecycle.decide(&id, approval()).await.unwrap();
    // It is partial already while the others are still being activated.
    until("ended", async || {
        let report = bench.lifecycle.report(&id).await.unwrap();
        report.outcome == Outcome::Partial && report.counts.unwrap().contains_key("done")
    })
    .await;
    let report = bench.lifecycle.report(&id).await.unwrap();
    assert_eq!(report.outcome, Outcome::Partial);
    let failed: Vec<_> = items(&report).iter().filter(|i| i.error.is_some()).collect();
    assert_eq!((failed.len(), report.counts.as_ref().unwrap()["done"]), (1, 4), "{report:?}");
    assert!(there(&bench, &failed[0].user));
    assert_eq!(bench.calls("POST /users/bulkDelete"), 3);
}

#[tokio::test]
async fn f21_f22_a_lost_reply_is_settled_user_by_user() {
    for (fault, calls) in [(Fault::ReplyLostAfterApply, 1), (Fault::ReplyLostBeforeApply, 2)] {
        let bench = Bench::new().await;
        let users = plain(&bench, 4);
        bench.tenant.faults().switch_on(fault.clone().on(Endpoint::BulkDelete).times(1));
        let report = all_deleted(&bench, &users).await;
        assert_eq!(report.outcome, Outcome::Done, "{fault:?} {report:?}");
        assert!(users.iter().all(|u| !there(&bench, u)));
        assert_eq!(bench.calls("POST /users/bulkDelete"), calls, "{fault:?}");
    }
}

#[tokio::test]
async fn i10_a_second_send_that_is_refused_tells_nothing_of_the_first() {
    let bench = Bench::new().await;
    let users = plain(&bench, 2);
    let faults = bench.tenant.faults();
    // The first takes effect, unheard, and is not shown until after the second.
    faults.switch_on(Fault::ReplyLostAfterApply.on(Endpoint::BulkDelete).times(1));
    faults.switch_on(Fault::ReadAfterWriteLag { reads: 6 }.on(Endpoint::BulkDelete).times(1));
    let (body, content_type) =
        (r#"{"code":"SCOPE_LIMITED","message":"no"}"#.into(), "application/json".into());
    let refusal = Fault::AnswerWith { status: 403, content_type, body, applied: false };
    faults.switch_on(refusal.on(Endpoint::BulkDelete).after(1).times(1));
    let report = all_deleted(&bench, &users).await;
    assert_eq!(bench.calls("POST /users/bulkDelete"), 2);
    assert!(users.iter().all(|u| !there(&bench, u)));
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
}

#[tokio::test]
async fn f23_users_who_are_still_shown_for_a_while_are_waited_for() {
    let bench = Bench::new().await;
    let users = plain(&bench, 3);
    bench.tenant.faults().switch_on(Fault::ReadAfterWriteLag { reads: 2 }.on(Endpoint::BulkDelete));
    assert_eq!(all_deleted(&bench, &users).await.outcome, Outcome::Done);
    assert_eq!(bench.calls("POST /users/bulkDelete"), 1);
}

#[tokio::test]
async fn t8_who_changed_or_went_after_the_approval_is_left_out() {
    let bench = Bench::new().await;
    let users = plain_users(&bench, 4);
    let emails: Vec<_> = users.iter().map(|u| u.email.clone()).collect();
    let id = begin(&bench, &emails).await.unwrap();
    let admin = bench.tenant.other_admin();
    admin.change_user(users[1].id, &json!({"comments": "promoted"}), false).unwrap();
    admin.delete_user(users[2].id, false).unwrap();
    let report = approve(&bench, &id).await;
    assert_eq!(report.outcome, Outcome::Partial, "{report:?}");
    let expected = [Outcome::Done, Outcome::Changed, Outcome::AlreadyDone, Outcome::Done];
    assert_eq!(outcomes(&report), expected, "{report:?}");
    assert!(bench.tenant.user(users[1].id).is_some());
}

#[tokio::test]
async fn f31_one_open_operation_holds_each_of_its_users() {
    let bench = Bench::new().await;
    let users = plain(&bench, 3);
    let single = ask(&bench, &users[0]).await;
    assert_eq!(begin(&bench, &users).await.unwrap_err().code, Code::Conflict);
    assert_eq!(
        answer(&bench, &single, zia_mcp::lifecycle::Answer::Declined).await.unwrap().outcome,
        Outcome::Declined
    );
    let id = begin(&bench, &users).await.unwrap();
    let failure = bench.lifecycle.deprovision(local(), super::leaver(&users[1])).await.unwrap_err();
    assert_eq!((failure.code, failure.operation_id), (Code::Conflict, Some(id.clone())));
    let other = begin_as(&bench, remote("another"), &users).await.unwrap_err();
    assert_eq!((other.code, other.operation_id), (Code::Conflict, None));
    // The same call joins, whatever the order.
    let reversed: Vec<_> = users.iter().rev().cloned().collect();
    assert_eq!(begin(&bench, &reversed).await.unwrap(), id);
}

#[tokio::test]
async fn k7_killed_in_the_bulk_delete_the_next_server_finds_out_about_each() {
    for applied in [true, false] {
        let bench = Bench::new().await;
        let users = plain(&bench, 4);
        bench.tenant.faults().switch_on(Fault::Hang { applied }.on(Endpoint::BulkDelete));
        let id = begin(&bench, &users).await.unwrap();
        let (doomed, theirs) = (bench.beside(Plan::default()).await, id.clone());
        killed(
            async move {
                // All of it: a store left outside would still be alive.
                let doomed = doomed;
                doomed.lifecycle.decide(&theirs, approval()).await.unwrap();
                std::future::pending::<()>().await;
            },
            bench.tenant.arrived(Endpoint::BulkDelete, 1),
        )
        .await;
        bench.tenant.faults().clear();
        let next = bench.beside(Plan::default()).await;
        next.lifecycle.recover().await.unwrap();
        until("done", async || next.lifecycle.wait(&id, INTERACTIVE).await.unwrap().outcome == Outcome::Done)
            .await;
        assert!(users.iter().all(|u| !there(&bench, u)));
        assert_eq!(bench.calls("POST /users/bulkDelete"), if applied { 1 } else { 2 });
    }
}

#[tokio::test]
async fn k4_an_approved_one_whose_time_is_over_sends_nothing() {
    let bench = Bench::new().await;
    let users = plain(&bench, 3);
    let id = begin(&bench, &users).await.unwrap();
    let (doomed, theirs) = (bench.beside(Plan::default()).await, id.clone());
    bench.tenant.faults().switch_on(Fault::Hang { applied: false }.on(Endpoint::GetUser));
    let read = bench.calls("GET /users/{id}");
    killed(
        async move {
            // All of it: a store left outside would still be alive.
            let doomed = doomed;
            doomed.lifecycle.decide(&theirs, approval()).await.unwrap();
            std::future::pending::<()>().await;
        },
        bench.tenant.arrived(Endpoint::GetUser, read + 1),
    )
    .await;
    bench.tenant.faults().clear();
    bench.pass(Duration::from_secs(16 * 60));
    let next = bench.beside(Plan::default()).await;
    next.lifecycle.recover().await.unwrap();
    until("ended", async || next.lifecycle.report(&id).await.unwrap().outcome == Outcome::Failed).await;
    assert!(users.iter().all(|u| there(&bench, u)));
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn t22_t24_over_http_more_than_twenty_five_need_two_people() {
    let bench = Bench::new().await;
    let users = plain(&bench, 26);
    let id = begin_as(&bench, remote("bot"), &users).await.unwrap();
    assert_eq!(bench.lifecycle.decide(&id, approval()).await.unwrap(), Decided::OneOfTwo);
    assert_eq!(bench.lifecycle.decide(&id, approval()).await.unwrap_err().code, Code::Forbidden);
    for own in ["bot", "Bot"] {
        let requester = Decision { by: own.into(), ..approval() };
        assert_eq!(bench.lifecycle.decide(&id, requester).await.unwrap_err().code, Code::Forbidden);
    }
    let waiting = bench.lifecycle.report(&id).await.unwrap();
    assert_eq!((waiting.outcome, waiting.approval, bench.writes()), (Outcome::AwaitingApproval, None, 0));
    let second = Decision { by: "Max".into(), ..approval() };
    assert_eq!(bench.lifecycle.decide(&id, second).await.unwrap(), Decided::Approved);
    let report = bench.lifecycle.wait(&id, INTERACTIVE).await.unwrap();
    assert_eq!((report.outcome, report.approval.unwrap().by.as_str()), (Outcome::Done, "Olga and Max"));
}

#[tokio::test]
async fn k2_a_delete_whose_server_stopped_before_the_capture_is_begun_anew() {
    let bench = Bench::new().await;
    let user = plain_at(&bench, 0);
    // The capture is never written: as after a kill between the two.
    bench
        .raw_sql(
            "CREATE TRIGGER cut BEFORE INSERT ON captures BEGIN SELECT RAISE(ABORT, 'x'); END; \
                   CREATE TRIGGER kept BEFORE UPDATE ON operations BEGIN SELECT RAISE(ABORT, 'x'); END",
        )
        .await;
    assert!(bench.lifecycle.deprovision(local(), super::leaver(&user.email)).await.is_err());
    assert!(begin(&bench, &plain(&bench, 3)[1..]).await.is_err());
    bench.raw_sql("DROP TRIGGER cut; DROP TRIGGER kept").await;
    let asked = ask(&bench, &user.email).await;
    assert_eq!(answer(&bench, &asked, yes(&user.email)).await.unwrap().outcome, Outcome::Done);
    assert_eq!(all_deleted(&bench, &plain(&bench, 2)).await.outcome, Outcome::Done);
}
