//! Changing users: nothing but what was named.

use serde_json::json;
use zia_mcp::{
    lifecycle::{Code, Failure, INTERACTIVE, Outcome, Policy, Report, Settings, Subject, Tier, UpdateUser},
    sandbox::{Endpoint, Fault, SandboxUser},
};

use super::{FIRST_ID, plain_at};
use crate::support::{Bench, Plan, local, remote};

pub(super) fn of(user: &str) -> UpdateUser {
    UpdateUser {
        user: user.into(),
        name: None,
        department: None,
        add_groups: vec![],
        remove_groups: vec![],
        comments: None,
        dry_run: false,
    }
}

pub(super) fn renamed(user: &str, name: &str) -> UpdateUser {
    UpdateUser { name: Some(name.into()), ..of(user) }
}

/// Asks for a change and waits as long as a call does.
pub(super) async fn updated(bench: &Bench, request: UpdateUser) -> Result<Report, Failure> {
    let begun = bench.lifecycle.update(local(), request).await?;
    bench.lifecycle.wait(&begun.operation, INTERACTIVE).await
}

async fn refused(bench: &Bench, request: UpdateUser) -> (Code, Option<String>) {
    let failure = updated(bench, request).await.unwrap_err();
    (failure.code, failure.field)
}

/// Somebody with a department and one group, to whom a change shows.
pub(super) fn somebody(bench: &Bench) -> SandboxUser {
    let users = bench.tenant.users();
    let fit = |u: &SandboxUser| {
        u.id > FIRST_ID + 30
            && u.department.is_some()
            && u.groups.len() == 1
            && !u.admin_user
            && !u.non_editable
            && !u.disabled
    };
    users.into_iter().find(fit).unwrap()
}

#[tokio::test]
async fn a_dry_run_tells_every_change_and_sends_nothing() {
    let bench = Bench::new().await;
    let user = bench.tenant.user_by_email("casey.commented@example.com").unwrap();
    let held = user.groups[0].name.clone();
    let request = UpdateUser {
        department: Some("Legal".into()),
        add_groups: vec!["Sales Berlin".into(), held.clone()],
        comments: Some(String::new()),
        dry_run: true,
        ..renamed(&user.email, "Casey Quiet")
    };
    let report = updated(&bench, request).await.unwrap();
    assert_eq!(report.outcome, Outcome::Planned);
    let changes = report.changes.unwrap();
    let fields: Vec<_> = changes.iter().map(|c| c.field.as_str()).collect();
    assert_eq!(fields, ["name", "department", "groups", "comments"]);
    assert_eq!((&changes[0].from, &changes[0].to), (&json!(user.name), &json!("Casey Quiet")));
    assert_eq!((&changes[3].from, &changes[3].to), (&json!(user.comments), &json!(null)));
    assert!(report.notes.iter().any(|n| n.contains(&held) && n.contains("already")), "{:?}", report.notes);
    assert!(report.capture.is_none() && bench.store.captures(None, 10).await.unwrap().is_empty());
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn nothing_that_differs_is_already_done_without_a_capture() {
    let bench = Bench::new().await;
    let user = somebody(&bench);
    for request in [
        renamed(&user.email, &user.name),
        UpdateUser { department: Some(user.department.as_ref().unwrap().name.clone()), ..of(&user.email) },
        UpdateUser { add_groups: vec![user.groups[0].id.to_string()], ..of(&user.id.to_string()) },
        UpdateUser { remove_groups: vec!["Contractors".into()], ..of(&user.email) },
        UpdateUser { comments: Some(user.comments.clone().unwrap_or_default()), ..of(&user.email) },
    ] {
        let report = updated(&bench, request.clone()).await.unwrap();
        assert_eq!(report.outcome, Outcome::AlreadyDone, "{request:?}");
    }
    assert!(bench.store.captures(None, 10).await.unwrap().is_empty());
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn bad_requests_are_refused_by_field_before_zia_is_asked() {
    let bench = Bench::new().await;
    let email = plain_at(&bench, 0).email;
    let department = |name: &str| UpdateUser { department: Some(name.into()), ..of(&email) };
    let many = |count: i64| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
    for (request, code, field) in [
        (of(&email), Code::InvalidArgument, None),
        (renamed("*", "x"), Code::InvalidArgument, Some("user")),
        (renamed("Alex Kim", "x"), Code::InvalidArgument, Some("user")),
        (renamed(&email, "  "), Code::InvalidArgument, Some("name")),
        (renamed(&email, "Eve\u{202E}lyn"), Code::InvalidArgument, Some("name")),
        (renamed(&email, &"x".repeat(128)), Code::InvalidArgument, Some("name")),
        (
            renamed(&email, "kiUDkh50JxDI7zyijrXwUB44JkIvK+nQeGDbhxHJmfo="),
            Code::InvalidArgument,
            Some("name"),
        ),
        (department(""), Code::InvalidArgument, Some("department")),
        (
            UpdateUser { comments: Some("x".repeat(10_241)), ..of(&email) },
            Code::InvalidArgument,
            Some("comments"),
        ),
        (UpdateUser { add_groups: many(128), ..of(&email) }, Code::LimitExceeded, Some("add_groups")),
        (UpdateUser { remove_groups: many(1_000), ..of(&email) }, Code::LimitExceeded, Some("remove_groups")),
    ] {
        assert_eq!(refused(&bench, request.clone()).await, (code, field.map(String::from)), "{request:?}");
    }
    assert!(bench.tenant.journal().is_empty());
}

#[tokio::test]
async fn groups_and_departments_that_do_not_resolve_are_refused_with_candidates() {
    let bench = Bench::new().await;
    let grace = "grace.manygroups@example.com";
    let user = somebody(&bench);
    let add = |name: &str| UpdateUser { add_groups: vec![name.into()], ..of(&user.email) };
    let remove = |user: &str, name: &str| UpdateUser { remove_groups: vec![name.into()], ..of(user) };
    for (request, code, field) in [
        (add("Enginering"), Code::NotFound, "add_groups"),
        (add("Contractors"), Code::Ambiguous, "add_groups"),
        (remove(&user.email, "Enginering"), Code::NotFound, "remove_groups"),
        // Two of her own are called so.
        (remove(grace, "Contractors"), Code::Ambiguous, "remove_groups"),
        (UpdateUser { department: Some("Finanse".into()), ..of(&user.email) }, Code::NotFound, "department"),
    ] {
        let failure = updated(&bench, request.clone()).await.unwrap_err();
        assert_eq!((failure.code, failure.field.as_deref()), (code, Some(field)), "{request:?}");
        assert!(failure.candidates.is_some_and(|c| !c.is_empty()), "{request:?}");
    }
    let held = user.groups[0].name.clone();
    let both = UpdateUser { add_groups: vec![held.to_uppercase()], ..remove(&user.email, &held) };
    for request in [remove(&user.email, &held), both] {
        let failure = updated(&bench, request).await.unwrap_err();
        assert_eq!((failure.code, failure.field.as_deref()), (Code::InvalidArgument, Some("remove_groups")));
        assert!(failure.message.contains(&held), "{failure:?}");
    }
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn protected_users_are_not_changed() {
    let policy = Policy { protected: vec!["casey.*".into()], ..Policy::default() };
    let settings = Settings { policy, ..Settings::default() };
    let bench = Bench::with(Plan { settings, ..Plan::default() }).await;
    for user in
        ["api.admin@example.com", "165000002", "sam.synced@example.com", "casey.commented@example.com"]
    {
        assert_eq!(
            refused(&bench, renamed(user, "x")).await,
            (Code::Protected, Some("user".into())),
            "{user}"
        );
    }
    assert!(bench.store.captures(None, 10).await.unwrap().is_empty());
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn an_encoded_name_is_never_written_back() {
    let bench = Bench::new().await;
    bench.tenant.faults().switch_on(Fault::EncodedById);
    let user = somebody(&bench);
    for who in [user.email.clone(), user.id.to_string()] {
        let failure = updated(&bench, renamed(&who, "New Name")).await.unwrap_err();
        assert_eq!((failure.code, failure.field.as_deref()), (Code::Conflict, Some("user")));
        assert!(failure.message.contains("encoded"), "{failure:?}");
    }
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn a_name_that_looks_encoded_is_replaced_but_not_written_again() {
    let bench = Bench::new().await;
    let email = "blob.name@example.com";
    let comments = UpdateUser { comments: Some("c".into()), ..of(email) };
    assert_eq!(refused(&bench, comments.clone()).await, (Code::Conflict, Some("name".into())));
    let planned = UpdateUser { name: Some("Bob Name".into()), dry_run: true, ..comments };
    assert_eq!(updated(&bench, planned).await.unwrap().outcome, Outcome::Planned);
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn readings_that_disagree_or_cannot_be_kept_stop_the_change() {
    let bench = Bench::new().await;
    let user = somebody(&bench);
    let whole = json!({"id": user.id, "name": user.name, "email": user.email, "groups": user.groups,
                       "department": user.department, "comments": user.comments, "adminUser": false});
    let with = |field: &str, value: serde_json::Value| {
        let mut body = whole.clone();
        body[field] = value;
        body
    };
    for body in [
        with("name", json!("Somebody Else")),
        with("email", json!("else@example.com")),
        with("groups", json!([])),
        with("groups", json!([{"id": user.groups[0].id, "name": user.groups[0].name}, {"name": "no id"}])),
        with("department", json!("IT")),
        with("comments", json!(["a", "b"])),
        with("tempAuthEmail", json!(5)),
    ] {
        let content_type = "application/json".into();
        let fault = Fault::AnswerWith { status: 200, content_type, body: body.to_string(), applied: false };
        bench.tenant.faults().clear();
        bench.tenant.faults().switch_on(fault.on(Endpoint::GetUser));
        assert_eq!(refused(&bench, renamed(&user.email, "New Name")).await.0, Code::Conflict, "{body}");
    }
    assert!(bench.store.captures(None, 10).await.unwrap().is_empty());
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn an_unknown_user_is_not_found_and_absence_is_proven() {
    let bench = Bench::new().await;
    for user in ["nobody@example.com", "999999999"] {
        assert_eq!(refused(&bench, renamed(user, "x")).await, (Code::NotFound, Some("user".into())));
    }
}

pub(super) fn asking() -> Plan {
    let policy = Policy { update: Tier::Client, ..Policy::default() };
    let plan = Plan::default();
    Plan { settings: Settings { policy, ..plan.settings.clone() }, ..plan }
}

#[tokio::test]
async fn a_raised_tier_asks_with_the_changes_and_sends_nothing() {
    let bench = Bench::with(asking()).await;
    let user = somebody(&bench);
    let request = UpdateUser {
        add_groups: vec!["Sales Berlin".into()],
        remove_groups: vec![user.groups[0].id.to_string()],
        ..renamed(&user.email, "New \u{200C}Name")
    };
    let begun = bench.lifecycle.update(local(), request.clone()).await.unwrap();
    let question = begun.question.unwrap().message;
    let (old, new) = (&user.groups[0], "Sales Berlin");
    for line in [
        format!("ZIA id: {}", user.id),
        format!("E-mail: {}", user.email),
        format!("Change name: from \u{201C}{}\u{201D} to \u{201C}New \\u{{200c}}Name\u{201D}", user.name),
        format!("Take out of groups: \u{201C}{}\u{201D} (id {})", old.name, old.id),
    ] {
        assert!(question.lines().any(|l| l == line), "{line} in {question}");
    }
    assert!(question.contains(&format!("Add to groups: \u{201C}{new}")), "{question}");
    let report = bench.lifecycle.report(&begun.operation).await.unwrap();
    assert_eq!(report.outcome, Outcome::AwaitingApproval);
    assert!(report.capture.is_some());

    let joined = bench.lifecycle.update(local(), request.clone()).await.unwrap();
    assert_eq!(joined.operation, begun.operation);
    let other = updated(&bench, renamed(&user.id.to_string(), "Another")).await.unwrap_err();
    assert_eq!((other.code, other.operation_id), (Code::Conflict, Some(begun.operation.clone())));
    let stranger = bench.lifecycle.update(remote("ann"), request).await.unwrap_err();
    assert_eq!((stranger.code, stranger.operation_id), (Code::Conflict, None));
    let delete = bench.lifecycle.deprovision(local(), super::leaver(&user.email)).await.unwrap_err();
    assert_eq!((delete.code, delete.operation_id), (Code::Conflict, Some(begun.operation)));
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn a_change_told_to_another_user_is_of_that_user_alone() {
    let bench = Bench::with(asking()).await;
    let user = somebody(&bench);
    let begun = bench.lifecycle.update(local(), renamed(&user.id.to_string(), "New Name")).await.unwrap();
    let Some(Subject::User(told)) = bench.lifecycle.report(&begun.operation).await.unwrap().user else {
        panic!()
    };
    assert_eq!((told.id.get(), told.name), (i64::try_from(user.id).unwrap(), user.name));
}
