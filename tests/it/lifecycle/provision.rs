//! Creating a user.

use futures::future::join_all;
use zia_mcp::{
    lifecycle::{ActivationState, Code, Outcome, Policy, ProvisionUser, Settings, Subject, Tier},
    sandbox::{Endpoint, Fault},
};

use super::{answer, newcomer, provisioned, yes};
use crate::support::{Bench, Plan, local, remote};

const NORA: &str = "nora.new@example.com";

#[tokio::test]
async fn a_new_user_is_created_activated_and_told() {
    let bench = Bench::new().await;
    let report = provisioned(&bench, newcomer(NORA)).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(report.activation.state, ActivationState::Active);
    let user = bench.tenant.user_by_email(NORA).unwrap();
    assert!(bench.tenant.live_user(user.id).is_some() && bench.tenant.staged_changes().is_empty());
    let Some(Subject::User(told)) = report.user else { panic!("{report:?}") };
    assert_eq!((told.id.get(), told.name.as_str()), (i64::try_from(user.id).unwrap(), "Nora Newcomer"));
    assert_eq!(user.groups.iter().map(|g| g.name.as_str()).collect::<Vec<_>>(), ["Engineering", "Sales"]);
    assert_eq!(user.department.unwrap().name, "Finance");
    let fields: Vec<_> = report.changes.unwrap().into_iter().map(|c| c.field).collect();
    assert_eq!(fields, ["name", "email", "department", "groups"]);
    assert_eq!(report.initial_password.unwrap().delivery, "discarded");
    assert_eq!((bench.calls("POST /users"), bench.calls("POST /status/activate")), (1, 1));
}

#[tokio::test]
async fn a_user_who_is_there_as_asked_is_already_done() {
    let bench = Bench::new().await;
    provisioned(&bench, newcomer(NORA)).await.unwrap();
    let writes = bench.writes();
    let again = ProvisionUser {
        groups: vec!["Sales".into(), "Engineering".into()],
        ..newcomer("Nora.NEW@example.com")
    };
    let report = provisioned(&bench, again).await.unwrap();
    assert_eq!((report.outcome, report.activation.state), (Outcome::AlreadyDone, ActivationState::NotNeeded));
    assert!(report.initial_password.is_none());
    assert_eq!(bench.writes(), writes);
}

#[tokio::test]
async fn an_address_of_a_user_who_differs_is_refused_by_the_differing_fields() {
    let bench = Bench::new().await;
    let there = provisioned(&bench, newcomer(NORA)).await.unwrap();
    let writes = bench.writes();
    let base = newcomer(NORA);
    for (request, differs, same) in [
        (ProvisionUser { name: "Other Name".into(), ..base.clone() }, "name", ["department", "groups"]),
        (ProvisionUser { department: None, ..base.clone() }, "department", ["groups", " name"]),
        (ProvisionUser { groups: vec!["Sales".into()], ..base.clone() }, "groups", ["department", " name"]),
    ] {
        let failure = provisioned(&bench, request).await.unwrap_err();
        assert_eq!((failure.code, failure.field.as_deref()), (Code::AlreadyExists, Some("email")));
        let fields = failure.message.split_once("differs in").unwrap().1;
        assert!(fields.contains(differs) && same.iter().all(|s| !fields.contains(s)), "{fields}");
        let Some(Subject::User(user)) = &there.user else { panic!() };
        assert_eq!(failure.candidates.unwrap()[0].id, user.id.get());
    }
    assert_eq!(bench.writes(), writes);
}

#[tokio::test]
async fn a_dry_run_says_what_would_happen_and_sends_nothing() {
    let bench = Bench::new().await;
    let report = provisioned(&bench, ProvisionUser { dry_run: true, ..newcomer(NORA) }).await.unwrap();
    assert_eq!((report.outcome, report.changes.unwrap().len()), (Outcome::Planned, 4));
    assert_eq!(bench.writes(), 0);
    assert!(bench.tenant.user_by_email(NORA).is_none());
    // The plan is not the thing: asked for in earnest, it is done.
    assert_eq!(provisioned(&bench, newcomer(NORA)).await.unwrap().outcome, Outcome::Done);
}

#[tokio::test]
async fn unknown_and_ambiguous_names_are_refused_with_candidates() {
    let bench = Bench::new().await;
    let groups = |name: &str| ProvisionUser { groups: vec!["Sales".into(), name.into()], ..newcomer(NORA) };
    let department = |name: &str| ProvisionUser { department: Some(name.into()), ..newcomer(NORA) };
    for (request, code, field) in [
        (groups("Enginering"), Code::NotFound, "groups"),
        (groups("Contractors"), Code::Ambiguous, "groups"),
        (groups("999999"), Code::NotFound, "groups"),
        (department("Finanse"), Code::NotFound, "department"),
    ] {
        let failure = provisioned(&bench, request.clone()).await.unwrap_err();
        assert_eq!((failure.code, failure.field.as_deref()), (code, Some(field)), "{request:?}");
        let candidates = failure.candidates.map_or(0, |c| c.len());
        let unlike_anything = request.groups.iter().any(|g| g == "999999");
        assert!(candidates <= 10 && (candidates > 0 || unlike_anything), "{request:?}");
    }
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn groups_and_department_are_taken_by_id_too() {
    let bench = Bench::new().await;
    let contractors = bench.tenant.groups().into_iter().rfind(|g| g.name == "Contractors").unwrap();
    let department = bench.tenant.departments().into_iter().find(|d| d.name == "Legal").unwrap();
    let request = ProvisionUser {
        groups: vec![contractors.id.to_string()],
        department: Some(department.id.to_string()),
        ..newcomer(NORA)
    };
    assert_eq!(provisioned(&bench, request).await.unwrap().outcome, Outcome::Done);
    let user = bench.tenant.user_by_email(NORA).unwrap();
    assert_eq!((user.groups, user.department), (vec![contractors], Some(department)));
}

#[tokio::test]
async fn f36_b16_b17_bad_texts_are_refused_by_field_before_zia_is_asked() {
    let bench = Bench::new().await;
    let name = |name: &str| ProvisionUser { name: name.into(), ..newcomer(NORA) };
    for (request, field) in [
        (name(""), "name"),
        (name(&"x".repeat(128)), "name"),
        (name("Eve\u{202E}lyn"), "name"),
        (newcomer("x@y@example.com"), "email"),
        (newcomer("a@b"), "email"),
        (newcomer("nora\r\n@example.com"), "email"),
        (newcomer(&format!("{}@example.com", "n".repeat(255))), "email"),
        (ProvisionUser { groups: vec![], ..newcomer(NORA) }, "groups"),
        (ProvisionUser { comments: Some("x".repeat(10_241)), ..newcomer(NORA) }, "comments"),
    ] {
        let failure = provisioned(&bench, request).await.unwrap_err();
        assert_eq!((failure.code, failure.field.as_deref()), (Code::InvalidArgument, Some(field)));
    }
    for (request, named) in [
        (name("a\0b"), "U+0000"),
        (name("Eve\u{202E}lyn"), "U+202E"),
        (name("\u{E0041}dam"), "U+E0041"),
        (name("a\u{1b}[2Jb"), "U+001B"),
        (newcomer("no\u{202E}ra@example.com"), "U+202E"),
        (newcomer("nora\0@example.com"), "U+0000"),
        (ProvisionUser { comments: Some("x\u{200B}y".into()), ..newcomer(NORA) }, "U+200B"),
    ] {
        let failure = provisioned(&bench, request).await.unwrap_err();
        assert_eq!(failure.code, Code::InvalidArgument);
        assert!(failure.message.contains(named), "{failure:?}");
    }
    let many = ProvisionUser { groups: (0..1_000).map(|n| n.to_string()).collect(), ..newcomer(NORA) };
    assert_eq!(provisioned(&bench, many).await.unwrap_err().code, Code::LimitExceeded);
    assert!(bench.tenant.journal().is_empty());
}

#[tokio::test]
async fn a_name_of_127_emoji_arrives_whole() {
    let bench = Bench::new().await;
    let name = "😀".repeat(127);
    let report = provisioned(&bench, ProvisionUser { name: name.clone(), ..newcomer(NORA) }).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done);
    assert_eq!(bench.tenant.user_by_email(NORA).unwrap().name, name);
}

#[tokio::test]
async fn equal_requests_at_the_same_time_create_one_user() {
    let bench = Bench::new().await;
    // Held back, so that the first is still under way when the last one asks.
    bench.tenant.faults().switch_on(Fault::Delay { ms: 2_000 }.on(Endpoint::CreateUser));
    let all = join_all((0..20).map(|_| bench.lifecycle.provision(local(), newcomer(NORA)))).await;
    let operations: Vec<_> = all.into_iter().map(|begun| begun.unwrap().operation).collect();
    for id in &operations {
        let report = bench.lifecycle.wait(id, zia_mcp::lifecycle::INTERACTIVE).await.unwrap();
        assert!(matches!(report.outcome, Outcome::Done | Outcome::AlreadyDone), "{report:?}");
    }
    assert_eq!(bench.calls("POST /users"), 1);
    assert!(operations.iter().all(|id| *id == operations[0]), "{operations:?}");
}

#[tokio::test]
async fn different_requests_for_one_address_at_the_same_time_create_one_user() {
    let bench = Bench::new().await;
    let named = |n: usize| ProvisionUser { name: format!("Nora {n}"), ..newcomer(NORA) };
    let all = join_all((0..5).map(|n| provisioned(&bench, named(n)))).await;
    let done = all.iter().filter(|r| r.as_ref().is_ok_and(|r| r.outcome == Outcome::Done)).count();
    assert_eq!(done, 1, "{all:?}");
    for failure in all.into_iter().filter_map(Result::err) {
        assert!(matches!(failure.code, Code::AlreadyExists | Code::Conflict), "{failure:?}");
    }
    assert!(bench.tenant.user_by_email(NORA).is_some());
}

#[tokio::test]
async fn ten_new_users_at_once_are_published_together() {
    let bench = Bench::new().await;
    let emails: Vec<_> = (0..10).map(|n| format!("nora{n}@example.com")).collect();
    for report in join_all(emails.iter().map(|e| provisioned(&bench, newcomer(e)))).await {
        assert_eq!(report.unwrap().outcome, Outcome::Done);
    }
    assert_eq!(bench.calls("POST /users"), 10);
    assert!(bench.calls("POST /status/activate") <= 5, "{}", bench.calls("POST /status/activate"));
    assert!(bench.tenant.staged_changes().is_empty());
}

#[tokio::test]
async fn a_raised_tier_asks_a_person_first() {
    let policy = Policy { provision: Tier::Client, ..Policy::default() };
    let settings = Settings { policy, ..Settings::default() };
    let bench = Bench::with(Plan { settings, ..Plan::default() }).await;
    let begun = bench.lifecycle.provision(local(), newcomer(NORA)).await.unwrap();
    let question = begun.question.unwrap();
    for shown in ["Nora Newcomer", NORA, "Finance", "Engineering, Sales", begun.operation.as_str()] {
        assert!(question.message.contains(shown), "{shown} in {}", question.message);
    }
    assert_eq!(bench.writes(), 0);
    assert_eq!(answer(&bench, &begun.operation, yes("ok")).await.unwrap().outcome, Outcome::AwaitingApproval);
    assert_eq!(bench.writes(), 0);
    assert_eq!(answer(&bench, &begun.operation, yes(NORA)).await.unwrap().outcome, Outcome::Done);
    // Over HTTP a form in the client is no proof.
    let http = bench.lifecycle.provision(remote("ann"), newcomer("other@example.com")).await.unwrap();
    assert!(http.question.is_none());
    assert_eq!(bench.calls("POST /users"), 1);
}

#[tokio::test]
async fn an_address_of_mixed_scripts_needs_a_person() {
    let bench = Bench::new().await;
    let begun = bench.lifecycle.provision(local(), newcomer("nor\u{430}.new@example.com")).await.unwrap();
    let report = bench.lifecycle.report(&begun.operation).await.unwrap();
    assert_eq!(report.outcome, Outcome::AwaitingApproval);
    assert_eq!(bench.tenant.calls(Endpoint::CreateUser), 0);
}
