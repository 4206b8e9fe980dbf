//! Rights that were there at the approval and are gone at the send (T8, T22, T36, T37).

use std::time::Duration;

use serde_json::json;
use zia_mcp::{
    lifecycle::{
        Authority, CallerRule, Code, Decided, Decision, DeprovisionUsers, INTERACTIVE, Lifecycle, Outcome,
        Policy, Report, RestoreUser, Settings, Tier,
    },
    model::{Actor, OperationId, Rights, Scope, Source, State},
};

use super::{ask, leaver, newcomer, plain, plain_at, query};
use crate::support::{Bench, Plan, local, remote};

fn yes(by: &str) -> Decision {
    Decision { approve: true, by: by.into(), subject: None, channel: "code".into() }
}

async fn under(policy: Policy) -> Bench {
    let settings = Settings { policy, ..Plan::default().settings };
    Bench::with(Plan { settings, ..Plan::default() }).await
}

/// A deletion asked for over HTTP.
async fn waiting(bench: &Bench, by: Actor) -> (OperationId, String) {
    let (_, email) = plain(bench);
    let begun = bench.lifecycle.deprovision(by, leaver(&email)).await.unwrap();
    (begun.operation, email)
}

/// Approves as another process does, with its own rules; no server has taken it up yet.
async fn approved_elsewhere(bench: &Bench, id: &OperationId, by: &str, policy: &Policy) -> Decided {
    bench.lifecycle.records().decide(id, yes(by), policy).await.unwrap()
}

/// Lets a server take up what was approved, and waits for its end.
async fn carried_out(lifecycle: &Lifecycle, id: &OperationId) -> Report {
    lifecycle.recover().await.unwrap();
    lifecycle.wait(id, INTERACTIVE).await.unwrap()
}

fn assert_denied(bench: &Bench, report: &Report, said: &str) {
    assert_eq!((report.outcome, bench.writes()), (Outcome::Failed, 0), "{report:?}");
    assert!(report.notes.iter().any(|n| n.contains(said)), "{report:?}");
}

#[tokio::test]
async fn t22_t37_an_approver_removed_between_approval_and_send_approved_nothing() {
    let bench = Bench::new().await;
    bench.enrolled(&["Olga"]).await;
    let (id, email) = waiting(&bench, remote("bot")).await;
    assert_eq!(approved_elsewhere(&bench, &id, "olga", &Policy::default()).await, Decided::Approved);
    assert!(bench.store.remove_approver("OLGA").await.unwrap());
    assert_denied(&bench, &carried_out(&bench.lifecycle, &id).await, "no approver any more");
    assert!(bench.tenant.user_by_email(&email).is_some());
}

#[tokio::test]
async fn t22_t37_an_approver_enrolled_anew_has_not_approved_what_was_before() {
    let bench = Bench::new().await;
    bench.enrolled(&["Olga"]).await;
    let (id, _) = waiting(&bench, remote("bot")).await;
    approved_elsewhere(&bench, &id, "Olga", &Policy::default()).await;
    bench.pass(Duration::from_secs(1));
    bench.store.remove_approver("Olga").await.unwrap();
    bench.enrolled(&["Olga"]).await;
    assert_denied(&bench, &carried_out(&bench.lifecycle, &id).await, "no approver any more");
}

#[tokio::test]
async fn t22_t37_the_first_of_two_who_is_removed_counts_no_more() {
    let bench = under(Policy { deprovision: Tier::TwoPeople, ..Policy::default() }).await;
    bench.enrolled(&["Olga", "Max", "Ida"]).await;
    let (id, _) = waiting(&bench, remote("bot")).await;
    assert_eq!(bench.lifecycle.decide(&id, yes("Olga")).await.unwrap(), Decided::OneOfTwo);
    bench.store.remove_approver("Olga").await.unwrap();
    assert_eq!(bench.lifecycle.decide(&id, yes("Max")).await.unwrap(), Decided::OneOfTwo);
    assert_eq!(bench.writes(), 0);
    assert_eq!(bench.lifecycle.decide(&id, yes("Ida")).await.unwrap(), Decided::Approved);
    let report = bench.lifecycle.wait(&id, INTERACTIVE).await.unwrap();
    assert_eq!((report.outcome, report.approval.unwrap().by.as_str()), (Outcome::Done, "Max and Ida"));
}

#[tokio::test]
async fn t22_t37_either_of_two_removed_before_the_send_stops_several_users() {
    for gone in ["Olga", "Max"] {
        let policy = Policy { deprovision_several: Tier::TwoPeople, ..Policy::default() };
        let bench = under(policy.clone()).await;
        bench.enrolled(&["Olga", "Max"]).await;
        let users = (0..3).map(|at| plain_at(&bench, at).email).collect();
        let request = DeprovisionUsers { users, reason: None };
        let id = bench.lifecycle.deprovision_users(local(), request).await.unwrap().operation;
        approved_elsewhere(&bench, &id, "Olga", &policy).await;
        assert_eq!(approved_elsewhere(&bench, &id, "Max", &policy).await, Decided::Approved);
        bench.store.remove_approver(gone).await.unwrap();
        bench.lifecycle.recover().await.unwrap();
        let report = bench.lifecycle.wait(&id, INTERACTIVE).await.unwrap();
        assert_eq!((report.outcome, bench.writes()), (Outcome::Failed, 0), "{report:?}");
        let items = report.items.unwrap();
        assert!(
            items.iter().all(|i| i.error.as_ref().is_some_and(|e| e.code == Code::Forbidden)),
            "{items:?}"
        );
    }
}

#[tokio::test]
async fn t22_linked_names_are_one_person_for_asking_and_for_both_approvals() {
    let link = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let same_person = vec![link(&["jane", "local", "jane-bot"]), link(&["olga", "olga-phone"])];
    let policy = Policy { same_person, deprovision: Tier::TwoPeople, ..Policy::default() };
    let bench = under(policy).await;
    bench.enrolled(&["Jane", "Olga", "olga-phone", "Max"]).await;
    for by in [local(), remote("Jane-Bot"), remote("jane")] {
        let (id, _) = waiting(&bench, by).await;
        for requester in ["Jane", "jane-bot", "LOCAL"] {
            assert_eq!(bench.lifecycle.decide(&id, yes(requester)).await.unwrap_err().code, Code::Forbidden);
        }
        assert_eq!(bench.lifecycle.decide(&id, yes("Olga")).await.unwrap(), Decided::OneOfTwo);
        assert_eq!(bench.lifecycle.decide(&id, yes("olga-phone")).await.unwrap_err().code, Code::Forbidden);
        let no = Decision { approve: false, ..yes("Max") };
        assert_eq!(bench.lifecycle.decide(&id, no).await.unwrap(), Decided::Rejected);
        bench.pass(Duration::from_secs(601));
    }
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn t22_a_process_with_weaker_rules_cannot_approve_for_a_server_with_stronger_ones() {
    let link = vec![vec!["jane".to_owned(), "bot".to_owned()]];
    for (policy, by) in [(Policy { same_person: link, ..Policy::default() }, "Jane")] {
        let bench = under(policy).await;
        bench.enrolled(&["Olga", "Jane"]).await;
        let (id, _) = waiting(&bench, remote("bot")).await;
        // As `zia-mcp approve` does that was started without the server's settings file.
        assert_eq!(approved_elsewhere(&bench, &id, by, &Policy::default()).await, Decided::Approved);
        assert_denied(&bench, &carried_out(&bench.lifecycle, &id).await, "another approval");
    }
}

#[tokio::test]
async fn t14_t37_a_right_that_was_taken_away_before_the_send_is_gone() {
    let bench = Bench::new().await;
    bench.enrolled(&["Olga"]).await;
    let (id, _) = waiting(&bench, remote("bot")).await;
    approved_elsewhere(&bench, &id, "Olga", &Policy::default()).await;
    // The next server is started with a rule for this caller.
    let departments = Some(vec!["Nowhere".to_owned()]);
    let rule = CallerRule { caller: "bot".into(), departments, ..CallerRule::default() };
    let settings =
        Settings { policy: Policy { callers: vec![rule], ..Policy::default() }, ..Plan::default().settings };
    let strict = bench.beside(Plan { settings, ..Plan::default() }).await;
    assert_denied(&bench, &carried_out(&strict.lifecycle, &id).await, "policy.callers of `bot`");
}

#[tokio::test]
async fn t8_t14_a_user_who_moved_out_of_the_callers_departments_is_not_touched() {
    let plain_bench = Bench::new().await;
    let user = plain_at(&plain_bench, 0);
    let home = user.department.clone().unwrap();
    let rule = CallerRule {
        caller: "bot".into(),
        departments: Some(vec![home.name.clone()]),
        ..CallerRule::default()
    };
    let bench = under(Policy { callers: vec![rule], ..Policy::default() }).await;
    bench.enrolled(&["Olga"]).await;
    let (id, _) = waiting(&bench, remote("bot")).await;
    let away = bench.tenant.departments().into_iter().find(|d| d.id != home.id).unwrap();
    let moved = json!({"department": {"id": away.id}});
    bench.tenant.other_admin().change_user(user.id, &moved, false).unwrap();
    bench.lifecycle.decide(&id, yes("Olga")).await.unwrap();
    let report = bench.lifecycle.wait(&id, INTERACTIVE).await.unwrap();
    assert_eq!((report.outcome, bench.calls("DELETE /users/{id}")), (Outcome::Changed, 0), "{report:?}");
}

#[tokio::test]
async fn t36_of_two_users_who_look_alike_none_is_chosen_and_the_approver_is_warned() {
    let bench = Bench::new().await;
    // Both are found, and neither is a match that a model may act on.
    let found = bench.lifecycle.find_user(query("lex.payne")).await.unwrap();
    assert_eq!(found.users.len(), 2, "{found:?}");
    assert_eq!(found.matched, zia_mcp::lifecycle::Match::Partial);
    assert!(bench.lifecycle.deprovision(local(), leaver("Alex Payne")).await.is_err());
    for (address, flagged) in [("alex.payne@example.com", false), ("\u{430}lex.payne@example.com", true)] {
        let id = ask(&bench, address).await;
        let question = bench.lifecycle.question(&local(), &id).await.unwrap().unwrap().message;
        let waiting = bench.lifecycle.records().waiting(id.as_str()).await.unwrap().lines.join("\n");
        for screen in [question, waiting] {
            assert_eq!(
                screen.contains("Flag: the address holds letters that look like others"),
                flagged,
                "{screen}"
            );
            assert_eq!(screen.contains("<U+0430>lex.payne@example.com"), flagged, "{screen}");
        }
        bench.lifecycle.answer(local(), id, zia_mcp::lifecycle::Answer::Declined).await.unwrap();
    }
    let users = vec!["alex.payne@example.com".to_owned(), "\u{430}lex.payne@example.com".to_owned()];
    let request = DeprovisionUsers { users, reason: None };
    let id = bench.lifecycle.deprovision_users(local(), request).await.unwrap().operation;
    let lines = bench.lifecycle.records().waiting(id.as_str()).await.unwrap().lines;
    let flagged: Vec<_> = lines.iter().filter(|l| l.contains("LOOKS LIKE ANOTHER ADDRESS")).collect();
    assert!(flagged.len() == 1 && flagged[0].contains("<U+0430>"), "{lines:?}");
    // And on the page, beside the one of them, and by name above the list.
    let sight = bench.lifecycle.records().sight(&id, &Policy::default()).await.unwrap();
    let marked: Vec<_> = sight.users.iter().filter(|u| !u.flags.is_empty()).collect();
    assert!(marked.len() == 1 && marked[0].flags[0].contains("<U+0430>"), "{:?}", sight.users);
    assert!(sight.cautions.iter().any(|c| c.contains(&marked[0].email)), "{:?}", sight.cautions);
    // A new one of them is not made without a person either.
    let new = zia_mcp::lifecycle::ProvisionUser {
        name: "\u{410}lex Kim".into(),
        ..newcomer("\u{430}lex.kim@example.com")
    };
    let begun = bench.lifecycle.provision(local(), new).await.unwrap();
    let shown = begun.question.unwrap().message;
    assert!(shown.contains("Flag: the address") && shown.contains("Flag: the name"), "{shown}");
    let sight = bench.lifecycle.records().sight(&begun.operation, &Policy::default()).await.unwrap();
    assert_eq!(sight.users[0].flags.len(), 2, "{:?}", sight.users);
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn t22_what_was_asked_for_under_stricter_rules_is_decided_under_no_weaker_ones() {
    let bench = under(Policy { deprovision: Tier::TwoPeople, ..Policy::default() }).await;
    bench.enrolled(&["Olga", "Max"]).await;
    let (id, _) = waiting(&bench, remote("bot")).await;
    let lax = Policy::default();
    assert_eq!(approved_elsewhere(&bench, &id, "Olga", &lax).await, Decided::OneOfTwo);
    let beside = bench.beside(Plan::default()).await;
    beside.lifecycle.recover().await.unwrap();
    assert_eq!(bench.writes(), 0);
    assert_eq!(approved_elsewhere(&bench, &id, "Max", &lax).await, Decided::Approved);
    assert_eq!(carried_out(&beside.lifecycle, &id).await.outcome, Outcome::Done);
}

#[tokio::test]
async fn t22_a_threshold_that_was_lowered_since_counts_at_the_decision() {
    let bench = Bench::new().await;
    bench.enrolled(&["Olga"]).await;
    let users = (0..3).map(|at| plain_at(&bench, at).email).collect();
    let request = DeprovisionUsers { users, reason: None };
    let id = bench.lifecycle.deprovision_users(local(), request).await.unwrap().operation;
    let lowered = Policy { two_person_threshold: Some(2), ..Policy::default() };
    assert_eq!(approved_elsewhere(&bench, &id, "Olga", &lowered).await, Decided::OneOfTwo);
}

fn by_a_named_token() -> Actor {
    let scopes = [Scope::UsersDelete].into_iter().collect();
    let rights = Rights { scopes, source: Source::Named, workload: true };
    Actor { rights, ..remote("chatops") }
}

#[tokio::test]
async fn t37_a_server_that_knows_no_such_callers_leaves_their_operations_to_one_that_does() {
    let bench = Bench::new().await;
    bench.enrolled(&["Olga"]).await;
    let (id, _) = waiting(&bench, by_a_named_token()).await;
    approved_elsewhere(&bench, &id, "Olga", &Policy::default()).await;
    assert!(!bench.lifecycle.has_unclaimed().await.unwrap());
    bench.lifecycle.recover().await.unwrap();
    assert_eq!(bench.store.operation(&id).await.unwrap().unwrap().state, State::Approved);

    let tokens = [("chatops".to_owned(), by_a_named_token().rights.scopes)].into();
    let authority = Authority { tokens, ..Authority::default() };
    let settings = Settings { authority, ..Plan::default().settings };
    let knowing = bench.beside(Plan { settings, ..Plan::default() }).await;
    assert!(knowing.lifecycle.has_unclaimed().await.unwrap());
    assert_eq!(carried_out(&knowing.lifecycle, &id).await.outcome, Outcome::Done);
}

#[tokio::test]
async fn t37_what_no_server_knows_the_caller_of_is_ended_by_any_when_its_time_is_over() {
    let bench = Bench::new().await;
    bench.enrolled(&["Olga"]).await;
    let (id, _) = waiting(&bench, by_a_named_token()).await;
    approved_elsewhere(&bench, &id, "Olga", &Policy::default()).await;
    bench.pass(Duration::from_secs(20 * 60));
    let report = carried_out(&bench.lifecycle, &id).await;
    assert_eq!((report.outcome, bench.writes()), (Outcome::Expired, 0), "{report:?}");
}

#[tokio::test]
async fn b8_a_protected_address_is_neither_made_nor_restored() {
    let bench = Bench::new().await;
    let (_, email) = plain(&bench);
    super::deleted(&bench, &email).await;
    let writes = bench.writes();
    let policy = Policy { protected: vec![email.clone(), "breakglass*".into()], ..Policy::default() };
    let strict = bench
        .beside(Plan { settings: Settings { policy, ..Plan::default().settings }, ..Plan::default() })
        .await;
    let restore = RestoreUser { capture: email };
    let refused = [
        strict.lifecycle.restore(local(), restore).await.map(|_| ()).unwrap_err(),
        strict
            .lifecycle
            .provision(local(), newcomer("breakglass-2@example.com"))
            .await
            .map(|_| ())
            .unwrap_err(),
    ];
    assert!(refused.iter().all(|f| f.code == Code::Protected), "{refused:?}");
    assert_eq!(bench.writes(), writes);
}
