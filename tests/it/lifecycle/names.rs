//! Groups and departments that others make and rename while their lists are kept.

use std::time::Duration;

use futures::future::join_all;
use zia_mcp::{
    lifecycle::{Code, FindUser, ListNames, Outcome, ProvisionUser, Report, UpdateUser},
    sandbox::{Endpoint, Fault},
};

use super::{
    newcomer, provisioned, query,
    update::{renamed, somebody, updated},
};
use crate::support::{Bench, Plan};

/// A bench that has just read all groups and departments.
async fn warm() -> Bench {
    let bench = Bench::new().await;
    provisioned(&bench, newcomer("nora.first@example.com")).await.unwrap();
    bench.tenant.clear_journal();
    bench
}

fn group_lists(bench: &Bench) -> u64 {
    bench.tenant.calls(Endpoint::ListGroups)
}

fn placed(email: &str, group: &str, department: &str) -> ProvisionUser {
    ProvisionUser { groups: vec![group.into()], department: Some(department.into()), ..newcomer(email) }
}

fn list(text: &str) -> ListNames {
    ListNames { query: Some(text.into()), limit: 20, cursor: None }
}

/// The id of the group that is called so.
fn id_of(bench: &Bench, group: &str) -> u64 {
    let only: Vec<_> = bench.tenant.groups().into_iter().filter(|g| g.name == group).collect();
    let [only] = only.as_slice() else { panic!("{only:?}") };
    only.id
}

fn notes_of<'a>(report: &'a Report, part: &str) -> Vec<&'a String> {
    report.notes.iter().filter(|note| note.contains(part)).collect()
}

#[tokio::test]
async fn what_was_made_after_the_lists_were_read_is_known_by_name_and_by_id() {
    for restarted in [false, true] {
        let mut bench = warm().await;
        if restarted {
            bench.pass(Duration::from_secs(60));
            bench = bench.beside(Plan::default()).await;
        }
        let admin = bench.tenant.other_admin();
        let (group, department) = (admin.create_group("Zeppelin"), admin.create_department("Hangar"));
        let report = provisioned(&bench, placed("nora.new@example.com", "Zeppelin", "Hangar")).await.unwrap();
        assert_eq!(report.outcome, Outcome::Done, "{report:?}");
        let there = bench.tenant.user_by_email("nora.new@example.com").unwrap();
        assert_eq!((there.groups[0].id, there.department.unwrap().id), (group, department));
        let report = provisioned(&bench, placed("nora.id@example.com", &group.to_string(), "Hangar")).await;
        assert_eq!(report.unwrap().outcome, Outcome::Done);
    }
}

#[tokio::test]
async fn a_group_made_meanwhile_is_known_to_a_change_a_list_and_a_search() {
    let bench = warm().await;
    let user = somebody(&bench);
    let group = bench.tenant.other_admin().create_group("Zeppelin");
    let change = UpdateUser { add_groups: vec!["zeppelin".into()], ..renamed(&user.email, &user.name) };
    assert_eq!(updated(&bench, change).await.unwrap().outcome, Outcome::Done);
    let there = bench.tenant.user_by_email(&user.email).unwrap();
    assert!(there.groups.iter().any(|g| g.id == group), "{there:?}");

    let bench = warm().await;
    bench.tenant.other_admin().create_group("Zeppelin");
    assert_eq!(bench.lifecycle.list_groups(list("Zeppelin")).await.unwrap().items.len(), 1);
    let bench = warm().await;
    bench.tenant.other_admin().create_department("Hangar");
    assert_eq!(bench.lifecycle.list_departments(list("hangar")).await.unwrap().items.len(), 1);
    let bench = warm().await;
    bench.tenant.other_admin().create_group("Zeppelin");
    let find = FindUser { group: Some("Zeppelin".into()), ..query("") };
    assert!(bench.lifecycle.find_user(find).await.unwrap().users.is_empty());
}

#[tokio::test]
async fn a_caller_with_nonsense_names_makes_the_list_be_read_once_more_and_is_told_of_when_it_is() {
    let bench = warm().await;
    let before = group_lists(&bench);
    for n in 0..40 {
        let request = placed("nora.new@example.com", &format!("nonsense {n}"), "Finance");
        let failure = provisioned(&bench, request).await.unwrap_err();
        assert_eq!((failure.code, failure.field.as_deref()), (Code::NotFound, Some("groups")));
        assert!(failure.message.contains("no such entry, as read at 20"), "{failure:?}");
        assert!(bench.lifecycle.list_groups(list(&format!("nonsense {n}"))).await.unwrap().items.is_empty());
    }
    assert_eq!(group_lists(&bench) - before, 1);
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn many_who_ask_at_once_for_a_group_made_meanwhile_share_one_list() {
    let bench = warm().await;
    bench.tenant.other_admin().create_group("Zeppelin");
    let planned = |n| ProvisionUser {
        dry_run: true,
        ..placed(&format!("nora.{n}@example.com"), "Zeppelin", "Finance")
    };
    for report in join_all((0..20).map(|n| provisioned(&bench, planned(n)))).await {
        assert_eq!(report.unwrap().outcome, Outcome::Planned);
    }
    assert_eq!(group_lists(&bench), 2);
}

#[tokio::test]
async fn a_list_that_cannot_be_read_again_is_no_proof_of_absence() {
    let bench = warm().await;
    let fault = Fault::ServerError { status: 502, applied: false };
    bench.tenant.faults().switch_on(fault.on(Endpoint::ListGroups));
    let failure =
        provisioned(&bench, placed("nora.new@example.com", "Zeppelin", "Finance")).await.unwrap_err();
    assert_eq!((failure.code, failure.retryable), (Code::Upstream, true), "{failure:?}");
    assert_eq!(bench.lifecycle.list_groups(list("Zeppelin")).await.unwrap_err().code, Code::Upstream);
    // What is known in part is shown as it was read.
    assert!(!bench.lifecycle.list_groups(list("engineer")).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn a_create_in_a_group_that_was_renamed_says_so_and_the_old_name_is_forgotten() {
    let bench = warm().await;
    let (sales, finance) = (id_of(&bench, "Sales"), "Finance");
    let department = bench.tenant.departments().into_iter().find(|d| d.name == finance).unwrap().id;
    bench.tenant.other_admin().rename(sales, "Board").unwrap();
    bench.tenant.other_admin().rename(department, "Treasury").unwrap();
    let report = provisioned(&bench, placed("nora.new@example.com", "Sales", finance)).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done);
    let said = |old: &str, new: &str| format!("asked for as {old} is called {new} in ZIA now");
    assert_eq!(notes_of(&report, &said("Sales", "Board")).len(), 1, "{:?}", report.notes);
    assert_eq!(notes_of(&report, &said("Finance", "Treasury")).len(), 1, "{:?}", report.notes);
    assert_eq!(bench.tenant.user_by_email("nora.new@example.com").unwrap().groups[0].id, sales);
    for (server, email) in [
        (bench.beside(Plan::default()).await, "nora.beside@example.com"),
        (bench.beside(Plan::default()).await, "nora.again@example.com"),
    ] {
        let failure = provisioned(&server, placed(email, "Sales", "Treasury")).await.unwrap_err();
        assert_eq!((failure.code, failure.field.as_deref()), (Code::NotFound, Some("groups")));
        let report = provisioned(&server, placed(email, "Board", "Treasury")).await.unwrap();
        assert!(notes_of(&report, "asked for as").is_empty(), "{:?}", report.notes);
    }
    let failure =
        provisioned(&bench, placed("nora.more@example.com", "Sales", "Treasury")).await.unwrap_err();
    assert_eq!(failure.code, Code::NotFound);
}

#[tokio::test]
async fn a_create_whose_reply_is_lost_says_of_a_renamed_group_what_reading_shows() {
    let bench = warm().await;
    bench.tenant.other_admin().rename(id_of(&bench, "Sales"), "Board").unwrap();
    bench.tenant.faults().switch_on(Fault::ReplyLostAfterApply.on(Endpoint::CreateUser).times(1));
    let report = provisioned(&bench, placed("nora.new@example.com", "Sales", "Finance")).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(notes_of(&report, "asked for as Sales is called Board").len(), 1, "{:?}", report.notes);
}

#[tokio::test]
async fn a_change_into_a_group_that_was_renamed_says_so_once() {
    let bench = warm().await;
    let user = somebody(&bench);
    let group = bench.tenant.groups().into_iter().rfind(|g| !user.groups.contains(g)).unwrap();
    bench.tenant.other_admin().rename(group.id, "Board").unwrap();
    let change = UpdateUser { add_groups: vec![group.name.clone()], ..renamed(&user.email, &user.name) };
    let report = updated(&bench, change).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    let said = format!("the group asked for as {} is called Board in ZIA now", group.name);
    assert_eq!(notes_of(&report, &said).len(), 1, "{:?}", report.notes);
    let shown = bench.lifecycle.list_groups(list("Board")).await.unwrap().items;
    assert_eq!(shown.len(), 1);
    assert_eq!(bench.lifecycle.report(&report.operation_id).await.unwrap().notes, report.notes);
}
