//! Creating deleted users again from their captures.

use serde_json::json;
use zia_mcp::{
    lifecycle::{
        Answer, Code, Failure, INTERACTIVE, Outcome, Policy, Records, Report, RestoreUser, Settings, Subject,
        Tier,
    },
    model::Clock,
    sandbox::{Endpoint, Fault, SandboxUser},
};

use super::{
    FIRST_ID, answer, answered, deleted, found, leaver, plain_at, provisioned, until, update::somebody, yes,
};
use crate::support::{Bench, Plan, local, remote};

fn from(capture: &str) -> RestoreUser {
    RestoreUser { capture: capture.into() }
}

/// Restores and waits as long as a call does.
async fn restored(bench: &Bench, capture: &str) -> Result<Report, Failure> {
    let begun = bench.lifecycle.restore(local(), from(capture)).await?;
    bench.lifecycle.wait(&begun.operation, INTERACTIVE).await
}

/// Deletes a user and names the capture.
async fn captured(bench: &Bench, email: &str) -> String {
    deleted(bench, email).await.capture.unwrap().id.to_string()
}

/// What has to be the same again.
fn kept(user: &SandboxUser) -> impl PartialEq + std::fmt::Debug {
    let mut groups = user.groups.clone();
    groups.sort_by_key(|g| g.id);
    (user.name.clone(), user.email.clone(), user.department.clone(), groups, user.comments.clone())
}

fn may_go(user: &SandboxUser) -> bool {
    !user.admin_user && !user.non_editable && !user.groups.is_empty()
}

#[tokio::test]
async fn f36_a_user_with_half_a_surrogate_pair_is_captured_shown_exported_and_restored() {
    let bench = Bench::new().await;
    let user = plain_at(&bench, 0);
    let text = |name: &str| format!(r#""{name}":"a\ud800b""#);
    let groups = json!(user.groups).to_string();
    let body = format!(
        r#"{{"id":{},"name":"Ada","email":"{}","groups":{groups},"comments":"a\ud800b",{}}}"#,
        user.id,
        user.email,
        text("newField")
    );
    let answer = |body: String| Fault::AnswerWith {
        status: 200,
        content_type: "application/json".into(),
        body,
        applied: false,
    };
    bench.tenant.faults().switch_on(answer(body.clone()).on(Endpoint::GetUser).times(2));
    bench.tenant.faults().switch_on(answer(format!("[{body}]")).on(Endpoint::ListUsers).times(1));
    let gone = deleted(&bench, &user.email).await;
    assert_eq!(gone.outcome, Outcome::Done, "{gone:?}");
    bench.tenant.faults().clear();
    let id = gone.capture.unwrap().id;
    let records = Records::new(bench.store.clone(), Clock::system());
    let shown = records.capture(id.as_str()).await.unwrap();
    assert_eq!(
        (&shown.row["comments"], &shown.by_id["newField"]),
        (&json!("a\u{FFFD}b"), &json!("a\u{FFFD}b"))
    );
    let line = records.export_line(&id).await.unwrap().unwrap();
    assert_eq!(line.matches(r"a\ud800b").count(), 4, "as ZIA sent it: {}", *line);
    let back = restored(&bench, &user.email).await.unwrap();
    assert_eq!(back.outcome, Outcome::Done, "{back:?}");
    assert!(back.notes.iter().any(|n| n.contains("U+FFFD")), "{:?}", back.notes);
    assert_eq!(bench.tenant.user_by_email(&user.email).unwrap().name, "Ada");
}

#[tokio::test]
async fn every_seeded_user_comes_back_equal_and_live() {
    let bench = Bench::with(Plan::of_users(120)).await;
    let users: Vec<_> = bench.tenant.users().into_iter().filter(may_go).collect();
    assert!(users.len() > 80);
    for user in &users {
        let gone = deleted(&bench, &user.email).await;
        assert_eq!(gone.outcome, Outcome::Done, "{user:?}: {gone:?}");
        assert!(bench.tenant.user(user.id).is_none());
        let back = restored(&bench, &user.email).await.unwrap();
        assert_eq!(back.outcome, Outcome::Done, "{user:?}: {back:?}");
    }
    assert!(bench.tenant.staged_changes().is_empty());
    for user in &users {
        let again = bench.tenant.user_by_email(&user.email).unwrap();
        assert_eq!(kept(&again), kept(user));
        assert_ne!(again.id, user.id);
        assert!(bench.tenant.live_user(again.id).is_some());
    }
}

#[tokio::test]
async fn the_temporary_address_comes_back_too() {
    let bench = Bench::new().await;
    let user = plain_at(&bench, 0);
    let set = json!({"tempAuthEmail": "temporary@example.com"});
    bench.tenant.other_admin().change_user(user.id, &set, false).unwrap();
    let capture = captured(&bench, &user.email).await;
    restored(&bench, &capture).await.unwrap();
    let again = bench.lifecycle.deprovision(local(), leaver(&user.email)).await.unwrap().operation;
    let again = bench.lifecycle.report(&again).await.unwrap().capture.unwrap().id;
    let shown = Records::new(bench.store.clone(), Clock::system()).capture(again.as_str()).await.unwrap();
    assert_eq!(shown.by_id["tempAuthEmail"], set["tempAuthEmail"]);
}

#[tokio::test]
async fn what_cannot_come_back_is_told_by_name() {
    let bench = Bench::new().await;
    let dora = bench.tenant.user_by_email("dora.disabled@example.com").unwrap();
    let capture = captured(&bench, &dora.email).await;
    let report = restored(&bench, &capture).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done);
    assert_eq!(report.capture.unwrap().id.as_str(), capture);
    assert_eq!(report.initial_password.unwrap().delivery, "discarded");
    let old = format!("id {}", dora.id);
    for said in [&old, "referred to", "password", "disabled"] {
        assert!(report.notes.iter().any(|n| n.contains(said)), "{said}: {:?}", report.notes);
    }
    let Some(Subject::User(user)) = report.user else { panic!() };
    assert_ne!(user.id.get(), i64::try_from(dora.id).unwrap());
}

#[tokio::test]
async fn restore_asked_twice_posts_once() {
    let bench = Bench::new().await;
    let user = plain_at(&bench, 0);
    let capture = captured(&bench, &user.email).await;
    bench.tenant.faults().switch_on(Fault::Delay { ms: 500 }.on(Endpoint::CreateUser));
    let (first, second) = tokio::join!(restored(&bench, &capture), restored(&bench, &capture));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!((first.outcome, &first.operation_id), (Outcome::Done, &second.operation_id));
    for again in [&capture, &user.email, &user.email.to_uppercase()] {
        let report = restored(&bench, again).await.unwrap();
        assert_eq!(report.outcome, Outcome::AlreadyDone, "{again}");
        assert!(report.initial_password.is_none() && report.changes.is_none());
    }
    assert_eq!(bench.calls("POST /users"), 1);
}

#[tokio::test]
async fn b18_whoever_was_made_as_captured_meanwhile_is_told_as_there() {
    let bench = Bench::new().await;
    let user = somebody(&bench);
    let capture = captured(&bench, &user.email).await;
    let (groups, department) = (&user.groups, &user.department);
    let body = json!({"name": user.name, "email": user.email, "groups": groups, "department": department});
    let other = bench.tenant.other_admin().create_user(&body, true).unwrap();
    let report = restored(&bench, &capture).await.unwrap();
    assert_eq!(report.outcome, Outcome::AlreadyDone, "{report:?}");
    assert!(bench.tenant.user(other.id).is_some() && report.initial_password.is_none());
}

#[tokio::test]
async fn b18_a_taken_address_is_refused_with_who_has_it() {
    let bench = Bench::new().await;
    let user = plain_at(&bench, 0);
    let capture = captured(&bench, &user.email).await;
    let body = json!({"name": "Somebody Else", "email": user.email, "groups": [{"id": user.groups[0].id}]});
    let other = bench.tenant.other_admin().create_user(&body, false).unwrap();
    // The index proves as of its last list that the address was free, so that ZIA itself refuses once.
    let writes = bench.writes() + 1;
    for asked in [&capture, &user.email] {
        let failure = restored(&bench, asked).await.unwrap_err();
        assert_eq!((failure.code, failure.field.as_deref()), (Code::AlreadyExists, Some("capture")));
        assert_eq!(failure.candidates.unwrap()[0].id, i64::try_from(other.id).unwrap());
        until("the index knows who has it", async || !found(&bench, &user.email).await.users.is_empty())
            .await;
    }
    assert_eq!(bench.writes(), writes);
}

#[tokio::test]
async fn a_capture_of_a_user_who_was_not_deleted_is_not_found() {
    let bench = Bench::new().await;
    let user = plain_at(&bench, 0);
    let declined = answered(&bench, &user.email, Answer::Declined).await;
    let asked = bench.lifecycle.deprovision(local(), leaver(&plain_at(&bench, 1).email)).await.unwrap();
    let waiting = bench.lifecycle.report(&asked.operation).await.unwrap();
    for capture in [
        declined.capture.unwrap().id.as_str(),
        waiting.capture.unwrap().id.as_str(),
        &user.email,
        &plain_at(&bench, 1).email,
        "cap_0123456789abcdef0123456789abcdef",
        "never.seen@example.com",
    ] {
        let failure = restored(&bench, capture).await.unwrap_err();
        assert_eq!((failure.code, failure.field.as_deref()), (Code::NotFound, Some("capture")), "{capture}");
    }
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn another_tenants_capture_is_not_found() {
    let bench = Bench::new().await;
    let user = plain_at(&bench, 0);
    let capture = captured(&bench, &user.email).await;
    bench.raw_sql("UPDATE captures SET tenant = 'zsapi.other.net/2'").await;
    // Whoever moves rows between tenants gets nothing out of them; nor does whoever asks there.
    for asked in [&capture, &user.email] {
        let code = restored(&bench, asked).await.unwrap_err().code;
        assert!(matches!(code, Code::NotFound | Code::StoreUnavailable), "{asked}: {code:?}");
    }
    assert_eq!(bench.calls("POST /users"), 0);
}

#[tokio::test]
async fn neither_a_name_nor_a_pattern_is_a_capture() {
    let bench = Bench::new().await;
    for asked in
        ["", "Alex Kim", "cap_1", "CAP_0123456789abcdef0123456789abcdef", "*@example.com", "165000007"]
    {
        let failure = restored(&bench, asked).await.unwrap_err();
        assert_eq!(
            (failure.code, failure.field.as_deref()),
            (Code::InvalidArgument, Some("capture")),
            "{asked}"
        );
    }
    assert!(bench.tenant.journal().is_empty());
}

#[tokio::test]
async fn a_user_without_a_group_is_refused_since_zia_creates_none() {
    let bench = Bench::new().await;
    let gone = deleted(&bench, "nobody.nogroup@example.com").await;
    assert!(gone.notes.iter().any(|n| n.contains("restore_user cannot")), "{:?}", gone.notes);
    let failure = restored(&bench, "nobody.nogroup@example.com").await.unwrap_err();
    assert_eq!((failure.code, failure.field.as_deref()), (Code::Conflict, Some("capture")));
    assert_eq!(bench.calls("POST /users"), 0);
}

#[tokio::test]
async fn a_user_is_restored_where_zia_encodes_names_by_id() {
    let bench = Bench::new().await;
    bench.tenant.faults().switch_on(Fault::EncodedById);
    let user = bench.tenant.user(FIRST_ID + 2).unwrap();
    let capture = captured(&bench, &user.email).await;
    assert_eq!(restored(&bench, &capture).await.unwrap().outcome, Outcome::Done);
    assert_eq!(kept(&bench.tenant.user_by_email(&user.email).unwrap()), kept(&user));
}

#[tokio::test]
async fn a_restored_user_can_be_deleted_and_restored_again() {
    let bench = Bench::new().await;
    let user = plain_at(&bench, 0);
    let first = captured(&bench, &user.email).await;
    restored(&bench, &first).await.unwrap();
    let second = captured(&bench, &user.email).await;
    assert_ne!(first, second);
    let report = restored(&bench, &user.email).await.unwrap();
    assert_eq!((report.outcome, report.capture.unwrap().id.to_string()), (Outcome::Done, second));
    assert_eq!(kept(&bench.tenant.user_by_email(&user.email).unwrap()), kept(&user));
    // Deleted, made again, and there: nothing says "deleted already".
    let asked = bench.lifecycle.deprovision(local(), leaver(&user.email)).await.unwrap();
    assert!(asked.question.is_some());
}

#[tokio::test]
async fn a_lost_reply_to_the_create_is_settled_by_reading() {
    let bench = Bench::new().await;
    let user = plain_at(&bench, 0);
    let capture = captured(&bench, &user.email).await;
    bench.tenant.faults().switch_on(Fault::ReplyLostAfterApply.on(Endpoint::CreateUser).times(1));
    assert_eq!(restored(&bench, &capture).await.unwrap().outcome, Outcome::Done);
    assert_eq!(bench.calls("POST /users"), 1);
    assert_eq!(kept(&bench.tenant.user_by_email(&user.email).unwrap()), kept(&user));
}

#[tokio::test]
async fn a_colleague_can_restore_whom_another_deleted() {
    let bench = Bench::new().await;
    let user = plain_at(&bench, 0);
    let capture = captured(&bench, &user.email).await;
    let begun = bench.lifecycle.restore(remote("ann"), from(&capture)).await.unwrap();
    assert_eq!(bench.lifecycle.wait(&begun.operation, INTERACTIVE).await.unwrap().outcome, Outcome::Done);
}

#[tokio::test]
async fn a_raised_tier_asks_a_person_first() {
    let policy = Policy { restore: Tier::Client, ..Policy::default() };
    let bench =
        Bench::with(Plan { settings: Settings { policy, ..Settings::default() }, ..Plan::default() }).await;
    let user = plain_at(&bench, 0);
    let capture = captured(&bench, &user.email).await;
    let begun = bench.lifecycle.restore(local(), from(&user.email)).await.unwrap();
    let question = begun.question.unwrap();
    for shown in ["again", &capture, &user.name, &user.email, &user.groups[0].name] {
        assert!(question.message.contains(shown), "{shown} in {}", question.message);
    }
    assert_eq!(bench.calls("POST /users"), 0);
    let report = answer(&bench, &begun.operation, yes(&user.email)).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done);
}

#[tokio::test]
async fn a_deleted_user_who_was_provisioned_anew_is_not_made_twice() {
    let bench = Bench::new().await;
    let user = plain_at(&bench, 0);
    let capture = captured(&bench, &user.email).await;
    provisioned(&bench, super::newcomer(&user.email)).await.unwrap();
    assert_eq!(restored(&bench, &capture).await.unwrap_err().code, Code::AlreadyExists);
    assert_eq!(bench.calls("POST /users"), 1);
}

#[tokio::test]
async fn what_was_renamed_or_made_anew_is_found_and_what_is_gone_is_told() {
    let bench = Bench::new().await;
    let user = bench.tenant.user_by_email("grace.manygroups@example.com").unwrap();
    let capture = captured(&bench, &user.email).await;
    let [renamed, anew, gone @ ..] = user.groups.as_slice() else { panic!() };
    let other_admin = bench.tenant.other_admin();
    other_admin.rename(renamed.id, "Renamed").unwrap();
    let again = other_admin.create_group(&anew.name);
    other_admin.delete_unit(anew.id).unwrap();
    let department = user.department.clone().unwrap();
    for unit in gone.iter().chain([&department]) {
        other_admin.delete_unit(unit.id).unwrap();
    }
    let report = restored(&bench, &capture).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    let back = bench.tenant.user_by_email(&user.email).unwrap();
    let mut ids: Vec<_> = back.groups.iter().map(|g| g.id).collect();
    ids.sort_unstable();
    let mut wanted = [renamed.id, again];
    wanted.sort_unstable();
    assert_eq!((ids.as_slice(), back.department), (wanted.as_slice(), None));
    let (gone, department) = (&gone[0], department.name);
    for said in [
        format!("(id {}) is now called Renamed", renamed.id),
        format!("(id {}) is there no more; the one of the same name has the id {again}", anew.id),
        format!("{} (id {}) is there no more: the user is restored without it", gone.name, gone.id),
        format!("the department {department}"),
    ] {
        assert!(report.notes.iter().any(|n| n.contains(&said)), "{said}: {:?}", report.notes);
    }
}

#[tokio::test]
async fn a_user_none_of_whose_groups_is_left_is_not_restored() {
    let bench = Bench::new().await;
    let user = plain_at(&bench, 0);
    let capture = captured(&bench, &user.email).await;
    for group in &user.groups {
        bench.tenant.other_admin().delete_unit(group.id).unwrap();
    }
    let failure = restored(&bench, &capture).await.unwrap_err();
    assert_eq!((failure.code, failure.field.as_deref()), (Code::Conflict, Some("capture")));
    assert!(failure.message.contains("any more") && failure.next.contains("provision_user"), "{failure:?}");
    assert_eq!(bench.calls("POST /users"), 0);
}
