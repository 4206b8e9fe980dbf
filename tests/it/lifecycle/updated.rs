//! Changes carried out: written whole, read back, settled when the reply is lost (F26).

use serde_json::{Value, json};
use zia_mcp::{
    lifecycle::{ActivationState, Code, INTERACTIVE, Outcome, Records, Report, Subject, UpdateUser},
    model::Clock,
    sandbox::{Endpoint, Fault, SandboxUser},
};

use super::{
    FIRST_ID, answer, plain_at,
    update::{asking, of, renamed, somebody, updated},
    yes,
};
use crate::support::{Bench, Plan, local};

const NEW: &str = "Nova Newname";

fn user(bench: &Bench, id: u64) -> SandboxUser {
    bench.tenant.user(id).unwrap()
}

/// Every writable field and the flags, as they were before but for some.
fn but_for(before: &SandboxUser, after: &SandboxUser, changed: &[&str]) {
    let (mut before, mut after) = (json!(before), json!(after));
    for field in changed {
        assert_ne!(before[*field], after[*field], "{field}");
        (before[*field], after[*field]) = (Value::Null, Value::Null);
    }
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_change_is_written_read_back_activated_and_told() {
    let bench = Bench::new().await;
    let before = somebody(&bench);
    let request = UpdateUser {
        department: Some("Design".into()),
        add_groups: vec!["Sales Berlin".into()],
        remove_groups: vec![before.groups[0].name.clone()],
        comments: Some("moved".into()),
        ..renamed(&before.email.to_uppercase(), NEW)
    };
    let report = updated(&bench, request.clone()).await.unwrap();
    assert_eq!(
        (report.outcome, report.activation.state),
        (Outcome::Done, ActivationState::Active),
        "{report:?}"
    );
    let after = user(&bench, before.id);
    but_for(&before, &after, &["name", "department", "groups", "comments"]);
    assert_eq!((after.name.as_str(), after.department.as_ref().unwrap().name.as_str()), (NEW, "Design"));
    assert_eq!(after.groups.iter().map(|g| g.name.as_str()).collect::<Vec<_>>(), ["Sales Berlin"]);
    assert_eq!(json!(bench.tenant.live_user(before.id).unwrap()), json!(after));
    let Some(Subject::User(told)) = report.user else { panic!() };
    assert_eq!(
        (told.name.as_str(), told.email.as_str(), told.comments.as_deref()),
        (NEW, &*before.email, Some("moved"))
    );
    assert_eq!(report.changes.unwrap().len(), 4);
    let capture = report.capture.unwrap();
    let shown =
        Records::new(bench.store.clone(), Clock::system()).capture(capture.id.as_str()).await.unwrap();
    assert_eq!(shown.by_id["name"], json!(before.name));
    assert_eq!((bench.calls("PUT /users/{id}"), bench.calls("POST /status/activate")), (1, 1));
    // Asked once more, there is nothing left to do.
    let again = UpdateUser { remove_groups: vec![before.groups[0].id.to_string()], ..request };
    assert_eq!(updated(&bench, again).await.unwrap().outcome, Outcome::AlreadyDone);
    assert_eq!(bench.calls("PUT /users/{id}"), 1);
}

#[tokio::test]
async fn f26_what_was_not_named_stays_for_every_seeded_user() {
    let bench = Bench::new().await;
    let group = bench.tenant.groups().into_iter().find(|g| g.name == "Operations Osaka").unwrap();
    let users = bench.tenant.users().into_iter();
    let users: Vec<_> = users
        .filter(|u| {
            !u.admin_user
                && !u.non_editable
                && !u.groups.contains(&group)
                && u.email != "blob.name@example.com"
        })
        .collect();
    assert!(users.len() > 40);
    for before in users {
        let temporary = json!({"tempAuthEmail": format!("t{}@example.com", before.id)});
        bench.tenant.other_admin().change_user(before.id, &temporary, false).unwrap();
        let add = UpdateUser { add_groups: vec![group.id.to_string()], ..of(&before.id.to_string()) };
        let report = updated(&bench, add).await.unwrap();
        assert_eq!(report.outcome, Outcome::Done, "{before:?}: {report:?}");
        assert!(!report.notes.iter().any(|n| n.contains("shows another")), "{report:?}");
        let mut after = user(&bench, before.id);
        after.groups.retain(|g| *g != group);
        but_for(&before, &after, &[]);
    }
}

#[tokio::test]
async fn the_temporary_address_is_written_as_it_was_read() {
    let bench = Bench::new().await;
    let before = somebody(&bench);
    let set = json!({"tempAuthEmail": "temporary@example.com"});
    bench.tenant.other_admin().change_user(before.id, &set, false).unwrap();
    assert_eq!(updated(&bench, renamed(&before.email, NEW)).await.unwrap().outcome, Outcome::Done);
    let capture = updated(&bench, renamed(&before.email, &before.name)).await.unwrap().capture.unwrap().id;
    let shown = Records::new(bench.store.clone(), Clock::system()).capture(capture.as_str()).await.unwrap();
    assert_eq!((&shown.by_id["tempAuthEmail"], &shown.by_id["name"]), (&set["tempAuthEmail"], &json!(NEW)));
}

#[tokio::test]
async fn a_name_that_looks_encoded_is_repaired_by_a_new_one() {
    let bench = Bench::new().await;
    let before = bench.tenant.user_by_email("blob.name@example.com").unwrap();
    assert_eq!(updated(&bench, renamed(&before.email, NEW)).await.unwrap().outcome, Outcome::Done);
    but_for(&before, &user(&bench, before.id), &["name"]);
}

#[tokio::test]
async fn f26_fields_that_zia_adds_are_kept_as_they_came_and_neither_sent_nor_in_the_way() {
    let bench = Bench::new().await;
    let before = somebody(&bench);
    let body = json!({"id": before.id, "name": before.name, "email": before.email, "groups": before.groups,
                      "department": before.department, "adminUser": false, "riskScore": {"of": [1, 2.5e0]},
                      "zz": "caf\u{e9} \u{1F680}"});
    // The tenant refuses a body with a field that it does not document.
    bench.tenant.faults().switch_on(answers(&body).on(Endpoint::GetUser).times(2));
    let report = updated(&bench, renamed(&before.email, NEW)).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done);
    but_for(&before, &user(&bench, before.id), &["name"]);
    let capture = report.capture.unwrap().id;
    let (_, raw) = bench.store.open_capture(&capture).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&raw).into_owned();
    assert!(text.contains(&body.to_string()), "{text}");
}

fn answers(body: &Value) -> Fault {
    let content_type = "application/json".into();
    Fault::AnswerWith { status: 200, content_type, body: body.to_string(), applied: false }
}

#[tokio::test]
async fn a_field_that_changed_unasked_is_told() {
    let bench = Bench::new().await;
    let before = somebody(&bench);
    let body = json!({"id": before.id, "name": NEW, "email": before.email, "groups": before.groups,
                      "department": before.department, "adminUser": false, "disabled": true});
    // After the plan's reading and the one right before the send comes the one that verifies.
    bench.tenant.faults().switch_on(answers(&body).on(Endpoint::GetUser).after(2));
    let report = updated(&bench, renamed(&before.email, NEW)).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done);
    assert!(report.notes.iter().any(|n| n.contains("disabled")), "{:?}", report.notes);
}

#[tokio::test]
async fn f26_a_field_that_zia_answered_to_have_written_and_shows_as_before_is_not_told_as_done() {
    let bench = Bench::new().await;
    let before = somebody(&bench);
    let shown = json!({"id": before.id, "name": NEW, "email": before.email, "groups": before.groups,
                       "department": before.department, "adminUser": false});
    bench.tenant.faults().switch_on(answers(&shown).on(Endpoint::GetUser).after(2));
    let request = UpdateUser { department: Some("Design".into()), ..renamed(&before.email, NEW) };
    assert_ne!(before.department.as_ref().map(|d| d.name.as_str()), Some("Design"));
    let report = updated(&bench, request).await.unwrap();
    // What took effect is published all the same.
    assert_eq!((report.outcome, report.activation.state), (Outcome::Failed, ActivationState::Active));
    let changed: Vec<_> = report.changes.iter().flatten().map(|c| c.field.as_str()).collect();
    assert_eq!(changed, ["name"]);
    assert!(report.notes.iter().any(|n| n.starts_with("not done") && n.contains("department")), "{report:?}");
    assert_eq!(bench.calls("PUT /users/{id}"), 1);
}

#[tokio::test]
async fn a_text_that_zia_spells_its_own_way_is_told_and_done() {
    let bench = Bench::new().await;
    let before = somebody(&bench);
    let shown = json!({"id": before.id, "name": NEW.to_uppercase(), "email": before.email, "groups": before.groups,
                       "department": before.department, "adminUser": false});
    bench.tenant.faults().switch_on(answers(&shown).on(Endpoint::GetUser).after(2));
    let report = updated(&bench, renamed(&before.email, NEW)).await.unwrap();
    assert_eq!((report.outcome, report.changes.unwrap().len()), (Outcome::Done, 1));
    assert!(report.notes.iter().any(|n| n.contains("another name")), "{:?}", report.notes);
}

async fn with_lost_reply(fault: Fault) -> (Bench, SandboxUser, Report) {
    let bench = Bench::new().await;
    let before = somebody(&bench);
    bench.tenant.faults().switch_on(fault.on(Endpoint::ReplaceUser).times(1));
    let report = updated(&bench, renamed(&before.email, NEW)).await.unwrap();
    (bench, before, report)
}

#[tokio::test]
async fn f26_a_lost_reply_to_a_change_that_took_effect_is_done_without_a_second_put() {
    for fault in [
        Fault::ReplyLostAfterApply,
        Fault::ServerError { status: 500, applied: true },
        Fault::HtmlPage { status: 200, applied: true },
        Fault::TruncatedBody { after: Some(10) },
    ] {
        let (bench, before, report) = with_lost_reply(fault.clone()).await;
        assert_eq!(report.outcome, Outcome::Done, "{fault:?}: {report:?}");
        assert_eq!(bench.calls("PUT /users/{id}"), 1, "{fault:?}");
        but_for(&before, &user(&bench, before.id), &["name"]);
    }
}

#[tokio::test]
async fn f26_a_lost_reply_to_a_change_without_effect_is_sent_once_more() {
    for fault in [Fault::ReplyLostBeforeApply, Fault::ServerError { status: 502, applied: false }] {
        let (bench, before, report) = with_lost_reply(fault.clone()).await;
        assert_eq!(report.outcome, Outcome::Done, "{fault:?}: {report:?}");
        assert_eq!(bench.calls("PUT /users/{id}"), 2, "{fault:?}");
        but_for(&before, &user(&bench, before.id), &["name"]);
    }
}

#[tokio::test]
async fn f26_a_lost_reply_and_another_administrators_change_are_a_conflict_with_the_fields() {
    let bench = Bench::new().await;
    let before = somebody(&bench);
    bench.tenant.faults().switch_on(Fault::ReplyLostBeforeApply.on(Endpoint::ReplaceUser).times(1));
    // Held back, so that somebody is quicker than the reading that follows.
    bench.tenant.faults().switch_on(Fault::Delay { ms: 300 }.on(Endpoint::GetUser).after(2));
    let begun = bench.lifecycle.update(local(), renamed(&before.email, NEW)).await.unwrap();
    super::until("the PUT", async || bench.calls("PUT /users/{id}") > 0).await;
    bench.tenant.other_admin().change_user(before.id, &json!({"comments": "mine"}), false).unwrap();
    let failure = bench.lifecycle.wait(&begun.operation, INTERACTIVE).await.unwrap_err();
    assert_eq!((failure.code, failure.operation_id), (Code::Conflict, Some(begun.operation)));
    for field in ["name", "comments"] {
        assert!(failure.message.contains(field), "{}", failure.message);
    }
    assert_eq!(bench.calls("PUT /users/{id}"), 1);
    but_for(&before, &user(&bench, before.id), &["comments"]);
}

#[tokio::test]
async fn a_reading_from_before_the_write_is_waited_out() {
    let bench = Bench::new().await;
    let before = somebody(&bench);
    bench.tenant.faults().switch_on(Fault::ReadAfterWriteLag { reads: 2 }.on(Endpoint::ReplaceUser));
    let report = updated(&bench, renamed(&before.email, NEW)).await.unwrap();
    assert_eq!((report.outcome, bench.calls("PUT /users/{id}")), (Outcome::Done, 1), "{report:?}");
}

#[tokio::test]
async fn a_put_that_zia_refuses_failed_and_nothing_is_activated() {
    let bench = Bench::new().await;
    let before = somebody(&bench);
    let body = json!({"code": "INVALID_INPUT_ARGUMENT", "message": "no"}).to_string();
    let fault =
        Fault::AnswerWith { status: 400, content_type: "application/json".into(), body, applied: false };
    bench.tenant.faults().switch_on(fault.on(Endpoint::ReplaceUser));
    let report = updated(&bench, renamed(&before.email, NEW)).await.unwrap();
    assert_eq!(report.outcome, Outcome::Failed, "{report:?}");
    assert!(report.notes.iter().any(|n| n.contains("INVALID_INPUT_ARGUMENT")), "{:?}", report.notes);
    assert_eq!(bench.calls("POST /status/activate"), 0);
}

#[tokio::test]
async fn an_approved_change_is_carried_out_and_a_changed_user_is_left_alone() {
    let bench = Bench::with(asking()).await;
    let before = somebody(&bench);
    let begun = bench.lifecycle.update(local(), renamed(&before.email, NEW)).await.unwrap();
    let typed = answer(&bench, &begun.operation, yes("ok")).await.unwrap();
    assert_eq!((typed.outcome, bench.writes()), (Outcome::AwaitingApproval, 0));
    assert_eq!(answer(&bench, &begun.operation, yes(&before.email)).await.unwrap().outcome, Outcome::Done);
    but_for(&before, &user(&bench, before.id), &["name"]);

    let other = plain_at(&bench, 5);
    let begun = bench.lifecycle.update(local(), renamed(&other.email, NEW)).await.unwrap();
    bench.tenant.other_admin().change_user(other.id, &json!({"comments": "theirs"}), false).unwrap();
    let report = answer(&bench, &begun.operation, yes(&other.email)).await.unwrap();
    assert_eq!((report.outcome, bench.calls("PUT /users/{id}")), (Outcome::Changed, 1));
    but_for(&other, &user(&bench, other.id), &["comments"]);
}

#[tokio::test]
async fn equal_changes_at_once_are_one_and_another_one_waits_its_turn() {
    let bench = Bench::new().await;
    let before = somebody(&bench);
    bench.tenant.faults().switch_on(Fault::Delay { ms: 1_000 }.on(Endpoint::ReplaceUser));
    let request = renamed(&before.email, NEW);
    let begun = bench.lifecycle.update(local(), request.clone()).await.unwrap();
    let joined = bench.lifecycle.update(local(), request).await.unwrap();
    assert_eq!(joined.operation, begun.operation);
    let report = bench.lifecycle.report(&begun.operation).await.unwrap();
    assert!(report.outcome == Outcome::InProgress && report.capture.is_some(), "{report:?}");
    let other = updated(&bench, renamed(&before.id.to_string(), "Another")).await.unwrap_err();
    assert_eq!((other.code, other.operation_id.as_ref()), (Code::Conflict, Some(&begun.operation)));
    assert_eq!(bench.lifecycle.wait(&begun.operation, INTERACTIVE).await.unwrap().outcome, Outcome::Done);
    assert_eq!(bench.calls("PUT /users/{id}"), 1);
    but_for(&before, &user(&bench, before.id), &["name"]);
}

#[tokio::test]
async fn on_a_pending_tenant_a_change_is_applied_and_left_unpublished() {
    let bench = Bench::new().await;
    bench.tenant.other_admin().stage_foreign_change();
    let before = somebody(&bench);
    let report = updated(&bench, renamed(&before.email, NEW)).await.unwrap();
    assert_eq!(report.outcome, Outcome::AppliedNotActive);
    assert!(report.notes.iter().any(|n| n.contains("other administrators")), "{:?}", report.notes);
    assert_eq!(bench.calls("POST /status/activate"), 0);
    assert_eq!(bench.tenant.live_user(before.id).unwrap().name, before.name);
}

#[tokio::test]
async fn a_change_costs_at_most_six_calls_by_address_and_by_id() {
    for by_id in [false, true] {
        let bench = Bench::with(Plan::of_users(60)).await;
        let before = bench.tenant.user(FIRST_ID + 2).unwrap();
        let who = if by_id { before.id.to_string() } else { before.email };
        assert_eq!(updated(&bench, renamed(&who, NEW)).await.unwrap().outcome, Outcome::Done);
        let aside = [Endpoint::Login, Endpoint::Status, Endpoint::Activate];
        let calls = bench.tenant.journal().into_iter().filter(|e| !aside.contains(&e.endpoint)).count();
        assert!(calls <= 6, "{calls}");
    }
}
