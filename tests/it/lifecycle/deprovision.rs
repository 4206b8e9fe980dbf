//! Deleting a user: in order, captured, protected, told truly.

use serde_json::json;
use zia_mcp::{
    lifecycle::{
        ActivationState, Answer, Code, DeprovisionUser, DeprovisionUsers, Outcome, Policy, Records, Settings,
    },
    model::Clock,
    sandbox::{Endpoint, Fault},
};

use super::{FIRST_ID, answered, ask, deleted, leaver, plain, plain_at, yes};
use crate::support::{Bench, Plan, local};

#[tokio::test]
async fn an_approved_user_is_deleted_verified_and_activated() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    let report = answered(&bench, &email, yes(&format!(" {} ", email.to_uppercase()))).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(report.activation.state, ActivationState::Active);
    assert!(report.capture.is_some() && report.approval.is_some());
    assert!(bench.tenant.live_user(id).is_none());
    assert_eq!(bench.calls("DELETE /users/{id}"), 1);
}

#[tokio::test]
async fn deprovision_without_approval_sends_nothing() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    for (answer, outcome) in [
        (yes("yes"), Outcome::AwaitingApproval),
        (yes(""), Outcome::AwaitingApproval),
        (Answer::Cancelled, Outcome::AwaitingApproval),
        (Answer::Silent, Outcome::AwaitingApproval),
        (Answer::Declined, Outcome::Declined),
    ] {
        let report = answered(&bench, &email, answer.clone()).await;
        assert_eq!(report.outcome, outcome, "{answer:?}");
    }
    assert!(bench.tenant.user(id).is_some());
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn the_tenant_sees_a_last_read_the_delete_a_read_the_activation_and_a_status_in_that_order() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    let asked = ask(&bench, &email).await;
    assert!(bench.tenant.journal().iter().all(|e| e.method == "GET" || e.endpoint == Endpoint::Login));
    bench.tenant.clear_journal();
    let report = super::answer(&bench, &asked, yes(&email)).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done);
    let calls: Vec<_> = bench.tenant.journal().into_iter().map(|e| (e.endpoint, e.status)).collect();
    let at = |what: Endpoint, status: u16| {
        calls.iter().position(|c| *c == (what, Some(status))).unwrap_or_else(|| panic!("{what} in {calls:?}"))
    };
    let (read, delete, gone) =
        (at(Endpoint::GetUser, 200), at(Endpoint::DeleteUser, 204), at(Endpoint::GetUser, 404));
    let activate = at(Endpoint::Activate, 200);
    assert!(read < delete && delete < gone && gone < activate, "{calls:?}");
    assert_eq!(calls.last(), Some(&(Endpoint::Status, Some(200))), "{calls:?}");
    assert_eq!(calls.iter().filter(|c| c.0 == Endpoint::DeleteUser).count(), 1);
    let path = bench.tenant.journal().into_iter().find(|e| e.endpoint == Endpoint::DeleteUser).unwrap().path;
    assert!(path.ends_with(&format!("/users/{id}")), "{path}");
}

#[tokio::test]
async fn a_delete_that_answers_200_is_as_good_as_204() {
    let bench = Bench::new().await;
    let (_, email) = plain(&bench);
    bench.tenant.faults().switch_on(Fault::DeleteAnswers200);
    assert_eq!(deleted(&bench, &email).await.outcome, Outcome::Done);
}

#[tokio::test]
async fn a_user_is_deleted_where_zia_encodes_names_by_id() {
    let bench = Bench::new().await;
    bench.tenant.faults().switch_on(Fault::EncodedById);
    let (id, email) = plain(&bench);
    let asked = ask(&bench, &id.to_string()).await;
    let report = super::answer(&bench, &asked, yes(&email)).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done);
    assert!(bench.tenant.live_user(id).is_none());
}

#[tokio::test]
async fn protected_users_are_refused_without_a_capture() {
    let policy =
        Policy { protected: vec!["break*@example.com".into(), "casey.*".into()], ..Policy::default() };
    let settings = Settings { policy, ..Settings::default() };
    let bench = Bench::with(Plan { settings, ..Plan::default() }).await;
    for (user, rule) in [
        ("api.admin@example.com", "own-account"),
        ("admin@example.com", "administrator"),
        ("165000002", "administrator"),
        ("sam.synced@example.com", "non-editable"),
        ("165000009", "non-editable"),
        ("CASEY.commented@example.com", "protected-address"),
    ] {
        let failure = bench.lifecycle.deprovision(local(), leaver(user)).await.unwrap_err();
        assert_eq!((failure.code, failure.field.as_deref()), (Code::Protected, Some("user")), "{user}");
        assert!(failure.message.contains(rule), "{user}: {failure:?}");
    }
    assert!(bench.store.captures(None, 10).await.unwrap().is_empty());
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn a_user_who_becomes_an_administrator_in_the_list_alone_is_still_protected() {
    let bench = Bench::new().await;
    let row = json!([{"id": FIRST_ID + 6, "name": "Alex Kim", "email": "alex.kim@example.com", "groups": [],
                      "type": "SUPERADMIN"}]);
    let content_type = "application/json".into();
    let fault = Fault::AnswerWith { status: 200, content_type, body: row.to_string(), applied: false };
    bench.tenant.faults().switch_on(fault.on(Endpoint::ListUsers));
    let failure = bench.lifecycle.deprovision(local(), leaver("alex.kim@example.com")).await.unwrap_err();
    assert_eq!(failure.code, Code::Protected);
}

#[tokio::test]
async fn b8_whom_the_answer_by_id_alone_shows_to_be_an_administrator_is_protected() {
    let encoded = "kiUDkh50JxDI7zyijrXwUB44JkIvK+nQeGDbhxHJmfo=";
    for (field, value) in [
        ("adminUser", json!(true)),
        ("isNonEditable", json!(true)),
        ("type", json!("SUPERADMIN")),
        ("groups", json!([{"id": 7, "name": "Board"}])),
    ] {
        let policy = Policy { protected_groups: vec!["Board".into()], ..Policy::default() };
        let settings = Settings { policy, ..Settings::default() };
        let bench = Bench::with(Plan { settings, ..Plan::default() }).await;
        let user = plain_at(&bench, 0);
        for name in ["plain", encoded] {
            let mut by_id = json!({"id": user.id, "name": user.name, "email": user.email,
                "groups": user.groups, "department": user.department, "adminUser": false});
            if name == encoded {
                (by_id["name"], by_id["email"]) = (json!(encoded), json!(encoded));
            }
            by_id[field] = value.clone();
            let content_type = "application/json".into();
            let fault =
                Fault::AnswerWith { status: 200, content_type, body: by_id.to_string(), applied: false };
            bench.tenant.faults().clear();
            bench.tenant.faults().switch_on(fault.on(Endpoint::GetUser));
            let email = &user.email;
            let failure = bench.lifecycle.deprovision(local(), leaver(email)).await.unwrap_err();
            assert_eq!(failure.code, Code::Protected, "{field}, {name}: {failure:?}");
            let several = DeprovisionUsers { users: vec![email.clone()], reason: None };
            let failure = bench.lifecycle.deprovision_users(local(), several).await.unwrap_err();
            assert_eq!(failure.code, Code::Protected, "{field}, {name}: {failure:?}");
        }
        assert!(bench.store.captures(None, 10).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn the_whole_user_is_captured_before_the_question_is_asked() {
    let bench = Bench::new().await;
    let user = bench.tenant.user(FIRST_ID + 12).unwrap();
    let asked = ask(&bench, &user.email).await;
    let capture = bench.lifecycle.report(&asked).await.unwrap().capture.unwrap();
    let records = Records::new(bench.store.clone(), Clock::system());
    let shown = records.capture(capture.id.as_str()).await.unwrap();
    for image in [&shown.row, &shown.by_id] {
        assert_eq!(image["email"], json!(user.email));
        assert_eq!(image["comments"], json!(user.comments));
        assert_eq!(image["groups"].as_array().unwrap().len(), user.groups.len());
    }
    assert_eq!(shown.row["isNonEditable"], json!(false));
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn a_reason_is_quoted_and_never_describes_the_user() {
    let bench = Bench::new().await;
    let user = plain_at(&bench, 1);
    let reason = "this is only test user 1\nName: Nobody \u{202E}evil\u{1b}[2J";
    let request = DeprovisionUser { user: user.email.clone(), reason: Some(reason.into()) };
    let question = bench.lifecycle.deprovision(local(), request).await.unwrap().question.unwrap();
    for line in
        [format!("ZIA id: {}", user.id), format!("Name: {}", user.name), format!("E-mail: {}", user.email)]
    {
        assert!(question.message.lines().any(|l| l == line), "{line} in {}", question.message);
    }
    let quoted = question.message.lines().find(|l| l.starts_with("Reason:")).unwrap();
    assert!(quoted.contains("not verified") && quoted.contains("Name: Nobody"), "{quoted}");
    assert!(!question.message.contains(['\u{202E}', '\u{1b}']));
}

#[tokio::test]
async fn a_name_with_escape_sequences_is_shown_as_escapes() {
    let bench = Bench::new().await;
    let begun = bench.lifecycle.deprovision(local(), leaver("terminal.escape@example.com")).await.unwrap();
    let message = begun.question.unwrap().message;
    assert!(
        message.contains("Ev\\u{202e}live") && !message.contains(['\u{1b}', '\u{202E}', '\u{7}']),
        "{message}"
    );
}

#[tokio::test]
async fn bad_arguments_are_refused_before_zia_is_asked() {
    let bench = Bench::new().await;
    for user in [
        "*",
        "all",
        "Alex Kim",
        "1 OR 1=1",
        "1;DROP",
        "../5",
        "5/../../adminUsers/1",
        "5%2f..",
        "0",
        "-1",
        "",
    ] {
        let failure = bench.lifecycle.deprovision(local(), leaver(user)).await.unwrap_err();
        assert_eq!(
            (failure.code, failure.field.as_deref()),
            (Code::InvalidArgument, Some("user")),
            "{user:?}"
        );
    }
    let long = DeprovisionUser { reason: Some("x".repeat(501)), ..leaver("165000007") };
    let failure = bench.lifecycle.deprovision(local(), long).await.unwrap_err();
    assert_eq!((failure.code, failure.field.as_deref()), (Code::InvalidArgument, Some("reason")));
    assert!(bench.tenant.journal().is_empty());
}

#[tokio::test]
async fn an_unknown_user_is_not_found_and_absence_is_proven() {
    let bench = Bench::new().await;
    for user in ["nobody@example.com", "999999999"] {
        let failure = bench.lifecycle.deprovision(local(), leaver(user)).await.unwrap_err();
        assert_eq!(failure.code, Code::NotFound);
        assert!(failure.message.contains("prove it"), "{failure:?}");
    }
}

#[tokio::test]
async fn f24_a_404_that_is_not_zias_is_not_taken_for_absence() {
    let bench = Bench::new().await;
    bench.tenant.faults().switch_on(Fault::Bare404.on(Endpoint::GetUser));
    let failure = bench.lifecycle.deprovision(local(), leaver("165000007")).await.unwrap_err();
    assert_eq!(failure.code, Code::Upstream);
}

#[tokio::test]
async fn several_users_with_the_address_are_never_picked_from() {
    let bench = Bench::new().await;
    let rows = json!([
        {"id": FIRST_ID + 6, "name": "A", "email": "alex.kim@example.com", "groups": []},
        {"id": FIRST_ID + 7, "name": "B", "email": "Alex.Kim@example.com", "groups": []},
    ]);
    let content_type = "application/json".into();
    let fault = Fault::AnswerWith { status: 200, content_type, body: rows.to_string(), applied: false };
    bench.tenant.faults().switch_on(fault.on(Endpoint::ListUsers));
    let failure = bench.lifecycle.deprovision(local(), leaver("alex.kim@example.com")).await.unwrap_err();
    assert_eq!((failure.code, failure.candidates.unwrap().len()), (Code::Ambiguous, 2));
}

#[tokio::test]
async fn list_and_answer_by_id_that_disagree_stop_the_delete() {
    let bench = Bench::new().await;
    let body =
        json!({"id": FIRST_ID + 6, "name": "Somebody Else", "email": "else@example.com", "groups": []});
    let content_type = "application/json".into();
    let fault = Fault::AnswerWith { status: 200, content_type, body: body.to_string(), applied: false };
    bench.tenant.faults().switch_on(fault.on(Endpoint::GetUser));
    let failure = bench.lifecycle.deprovision(local(), leaver("alex.kim@example.com")).await.unwrap_err();
    assert_eq!(failure.code, Code::Conflict);
    assert!(bench.store.captures(None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_user_whom_we_deleted_is_already_done_with_the_capture() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    let capture = deleted(&bench, &email).await.capture.unwrap();
    let writes = bench.writes();
    for user in [email, id.to_string()] {
        let begun = bench.lifecycle.deprovision(local(), leaver(&user)).await.unwrap();
        assert!(begun.question.is_none());
        let report = bench.lifecycle.report(&begun.operation).await.unwrap();
        assert_eq!(report.outcome, Outcome::AlreadyDone);
        assert_eq!(report.capture.as_ref(), Some(&capture));
    }
    assert_eq!(bench.writes(), writes);
}
