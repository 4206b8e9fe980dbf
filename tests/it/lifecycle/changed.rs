//! A user who is not the one that the person approved any more (T8, I3).

use serde_json::{Value, json};
use zia_mcp::{
    lifecycle::Outcome,
    sandbox::{Endpoint, Fault},
};

use super::{FIRST_ID, answer, ask, plain_at, yes};
use crate::support::Bench;

async fn outcome_after(bench: &Bench, id: u64, change: &Value) -> Outcome {
    let email = bench.tenant.user(id).unwrap().email;
    let asked = ask(bench, &email).await;
    bench.tenant.other_admin().change_user(id, change, false).unwrap();
    answer(bench, &asked, yes(&email)).await.unwrap().outcome
}

#[tokio::test]
async fn a_change_of_any_field_after_the_approval_stops_the_delete() {
    let bench = Bench::new().await;
    let (group, department) = (bench.tenant.groups()[9].id, bench.tenant.departments()[9].id);
    for (at, change) in [
        json!({"name": "Another Name"}),
        json!({"email": "another.address@example.com"}),
        json!({"groups": [{"id": group}]}),
        json!({"groups": []}),
        json!({"department": {"id": department}}),
        json!({"department": null}),
        json!({"comments": "needed for the audit"}),
        json!({"tempAuthEmail": "temp@example.com"}),
    ]
    .into_iter()
    .enumerate()
    {
        // The n-th who has a department, so that emptying it is a change.
        let users = bench.tenant.users();
        let fit = |u: &&zia_mcp::sandbox::SandboxUser| {
            u.department.is_some() && !u.admin_user && !u.non_editable && u.id > FIRST_ID + 30
        };
        let id = users.iter().filter(fit).nth(at).unwrap().id;
        assert_eq!(outcome_after(&bench, id, &change).await, Outcome::Changed, "{change}");
        assert!(bench.tenant.user(id).is_some());
    }
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn a_change_shows_where_zia_encodes_names_by_id_too() {
    let bench = Bench::new().await;
    bench.tenant.faults().switch_on(Fault::EncodedById);
    let id = plain_at(&bench, 0).id;
    assert_eq!(outcome_after(&bench, id, &json!({"name": "Another Name"})).await, Outcome::Changed);
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn a_user_who_was_deleted_and_made_anew_is_another_user() {
    let bench = Bench::new().await;
    let user = plain_at(&bench, 0);
    let asked = ask(&bench, &user.email).await;
    let admin = bench.tenant.other_admin();
    admin.delete_user(user.id, false).unwrap();
    let body = json!({"name": user.name, "email": user.email, "groups": [{"id": user.groups[0].id}]});
    let anew = admin.create_user(&body, false).unwrap();
    let report = answer(&bench, &asked, yes(&user.email)).await.unwrap();
    assert_eq!(report.outcome, Outcome::Changed, "{report:?}");
    assert!(bench.tenant.live_user(anew.id).is_some());
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn a_user_who_is_gone_meanwhile_is_already_done_and_nothing_is_sent() {
    let bench = Bench::new().await;
    let user = plain_at(&bench, 0);
    let asked = ask(&bench, &user.email).await;
    bench.tenant.other_admin().delete_user(user.id, false).unwrap();
    let report = answer(&bench, &asked, yes(&user.email)).await.unwrap();
    assert_eq!(report.outcome, Outcome::AlreadyDone, "{report:?}");
    assert!(report.notes.iter().any(|n| n.contains("gone already")), "{report:?}");
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn f24_a_404_of_a_proxy_at_the_last_read_is_neither_gone_nor_changed() {
    let bench = Bench::new().await;
    let user = plain_at(&bench, 0);
    let asked = ask(&bench, &user.email).await;
    bench.tenant.faults().switch_on(Fault::Bare404.on(Endpoint::GetUser));
    let failure = answer(&bench, &asked, yes(&user.email)).await.unwrap_err();
    assert_eq!(failure.code, zia_mcp::lifecycle::Code::Upstream);
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn after_a_change_asking_again_shows_the_user_as_they_are_now() {
    let bench = Bench::new().await;
    let user = plain_at(&bench, 0);
    outcome_after(&bench, user.id, &json!({"name": "Another Name"})).await;
    let begun =
        bench.lifecycle.deprovision(crate::support::local(), super::leaver(&user.email)).await.unwrap();
    assert!(begun.question.unwrap().message.contains("Name: Another Name"));
    let report = answer(&bench, &begun.operation, yes(&user.email)).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done);
}

/// Every moment of a delete at which another administrator can act: a call, how many of its kind
/// are spared, and whether they act after it.
fn moments() -> Vec<(Endpoint, u32, bool)> {
    let calls =
        [(Endpoint::GetUser, 3), (Endpoint::Status, 3), (Endpoint::DeleteUser, 1), (Endpoint::Activate, 1)];
    let spared = |(endpoint, many): (Endpoint, u32)| (0..many).map(move |n| (endpoint, n));
    let both = |(endpoint, n)| [false, true].map(|after| (endpoint, n, after));
    calls.into_iter().flat_map(spared).flat_map(both).collect()
}

#[tokio::test]
async fn t8_whenever_another_administrator_changes_the_user_the_truth_is_told() {
    for (endpoint, spared, after) in moments() {
        let bench = Bench::new().await;
        let user = plain_at(&bench, 0);
        let asked = ask(&bench, &user.email).await;
        let meddles = Fault::OtherAdminChanges { user: Some(user.id), after };
        bench.tenant.faults().switch_on(meddles.on(endpoint).after(spared).times(1));
        let report = answer(&bench, &asked, yes(&user.email)).await.unwrap();
        let there = bench.tenant.user(user.id).is_some();
        let about = format!("{endpoint:?} {spared} {after}: {report:?}");
        match report.outcome {
            Outcome::Done => assert!(!there, "{about}"),
            Outcome::Changed => assert!(there && bench.calls("DELETE /users/{id}") == 0, "{about}"),
            _ => panic!("{about}"),
        }
    }
}

#[tokio::test]
async fn f24_whenever_another_administrator_deletes_the_user_the_truth_is_told() {
    for (endpoint, spared, after) in moments() {
        let bench = Bench::new().await;
        let user = plain_at(&bench, 0);
        let asked = ask(&bench, &user.email).await;
        let meddles = Fault::OtherAdminDeletes { user: Some(user.id), after };
        bench.tenant.faults().switch_on(meddles.on(endpoint).after(spared).times(1));
        let report = answer(&bench, &asked, yes(&user.email)).await.unwrap();
        let ours = bench.tenant.journal().iter().any(|e| e.applied && e.endpoint == Endpoint::DeleteUser);
        let about = format!("{endpoint:?} {spared} {after}: {report:?}");
        let told = if ours { Outcome::Done } else { Outcome::AlreadyDone };
        assert_eq!(report.outcome, told, "{about}");
        assert!(bench.tenant.user(user.id).is_none(), "{about}");
    }
}

#[tokio::test]
async fn f50_a_user_who_is_made_anew_by_a_directory_is_another_user_and_stays() {
    let bench = Bench::new().await;
    let user = plain_at(&bench, 0);
    bench.tenant.faults().switch_on(Fault::RecreatedAfterDelete);
    let asked = ask(&bench, &user.email).await;
    let report = answer(&bench, &asked, yes(&user.email)).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    let anew = bench.tenant.user_by_email(&user.email).unwrap();
    assert!(anew.id != user.id && bench.tenant.user(user.id).is_none());
    assert_eq!(bench.calls("DELETE /users/{id}"), 1);
}
