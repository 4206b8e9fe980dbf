//! What became of users, by whom.

use serde_json::json;
use zia_mcp::lifecycle::{
    ChangeKind::{self, Created, Deleted, Updated},
    ChangedBy::{self, Elsewhere, ZiaMcp},
    Code, ListUserChanges, UpdateUser, UserChanges,
};

use super::*;

async fn changes(bench: &Bench, since: Option<&str>) -> UserChanges {
    let list = ListUserChanges { since: since.map(str::to_owned), limit: 100 };
    bench.lifecycle.list_user_changes(list).await.unwrap()
}

fn told(changes: &UserChanges) -> Vec<(ChangeKind, u64, Vec<String>, ChangedBy)> {
    let id = |c: &zia_mcp::lifecycle::UserChange| u64::try_from(c.user_id.get()).unwrap();
    let all = changes.changes.iter();
    all.map(|c| (c.kind, id(c), c.fields.clone().unwrap_or_default(), c.by)).collect()
}

fn fields(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

fn update(user: &str, comments: &str) -> UpdateUser {
    UpdateUser {
        user: user.into(),
        name: None,
        department: None,
        add_groups: vec![],
        remove_groups: vec![],
        comments: Some(comments.into()),
        dry_run: false,
    }
}

#[tokio::test]
async fn f35_the_first_whole_list_is_no_change_and_the_next_one_tells_each_change_once() {
    let bench = bench(333).await;
    filled(&bench).await;
    let first = changes(&bench, None).await;
    assert_eq!(told(&first), []);
    let (changes_name, leaves) = (plain_at(&bench, 10), plain_at(&bench, 20));
    let admin = bench.tenant.other_admin();
    admin.change_user(changes_name.id, &json!({"name": "Renamed", "comments": "new"}), false).unwrap();
    admin.delete_user(leaves.id, false).unwrap();
    let body =
        json!({"name": "Elsewhere", "email": "else@example.com", "groups": [], "password": "Aa1!aaaaaaaa"});
    let comes = admin.create_user(&body, false).unwrap();
    assert_eq!(told(&changes(&bench, None).await), [], "nobody looked");
    swept_again(&bench).await;
    let second = changes(&bench, Some(&first.cursor)).await;
    let mut all = told(&second);
    all.sort_by_key(|(_, id, ..)| *id);
    let mut expected = vec![
        (Updated, changes_name.id, fields(&["name", "comments"]), Elsewhere),
        (Deleted, leaves.id, vec![], Elsewhere),
        (Created, comes.id, vec![], Elsewhere),
    ];
    expected.sort_by_key(|(_, id, ..)| *id);
    assert_eq!(all, expected);
    assert_eq!(found(&bench, &leaves.email).await.matched, Match::None);
    swept_again(&bench).await;
    assert_eq!(told(&changes(&bench, Some(&second.cursor)).await), []);
}

#[tokio::test]
async fn our_own_writes_are_told_as_ours_at_once_and_never_again() {
    let bench = bench(150).await;
    filled(&bench).await;
    let start = changes(&bench, None).await.cursor;
    let (changed, leaves) = (plain_at(&bench, 10), plain_at(&bench, 20));
    provisioned(&bench, newcomer("nora.new@example.com")).await.unwrap();
    let comes = bench.tenant.user_by_email("nora.new@example.com").unwrap().id;
    let begun = bench.lifecycle.update(local(), update(&changed.email, "moves")).await.unwrap();
    bench.lifecycle.wait(&begun.operation, zia_mcp::lifecycle::INTERACTIVE).await.unwrap();
    deleted(&bench, &leaves.email).await;
    let ours = changes(&bench, Some(&start)).await;
    let expected = [
        (Created, comes, vec![], ZiaMcp),
        (Updated, changed.id, fields(&["comments"]), ZiaMcp),
        (Deleted, leaves.id, vec![], ZiaMcp),
    ];
    assert_eq!(told(&ours), expected);
    swept_again(&bench).await;
    assert_eq!(told(&changes(&bench, Some(&ours.cursor)).await), []);
    assert_eq!(told(&changes(&bench, None).await), expected);
}

#[tokio::test]
async fn f35_who_is_missing_from_a_list_that_shifted_is_not_told_as_deleted() {
    let bench = bench(333).await;
    filled(&bench).await;
    bench.tenant.faults().switch_on(Fault::PageShift { rows: -5 }.on(Endpoint::ListUsers));
    bench.tenant.clear_journal();
    swept_again(&bench).await;
    assert!(bench.tenant.calls(Endpoint::GetUser) >= 5);
    assert_eq!(told(&changes(&bench, None).await), []);
    assert_eq!(bench.lifecycle.tenant_status(&local()).await.unwrap().index.users, 333);
}

#[tokio::test]
async fn f24_a_404_that_is_not_zias_deletes_nobody() {
    let bench = bench(333).await;
    filled(&bench).await;
    bench.tenant.faults().switch_on(Fault::PageShift { rows: -5 }.on(Endpoint::ListUsers));
    bench.tenant.faults().switch_on(Fault::Bare404.on(Endpoint::GetUser));
    swept_again(&bench).await;
    assert_eq!(told(&changes(&bench, None).await), []);
    assert_eq!(bench.lifecycle.tenant_status(&local()).await.unwrap().index.users, 333);
}

#[tokio::test]
async fn no_more_than_a_hundred_missing_users_are_looked_up_after_one_list() {
    let bench = Bench::with(paged(333)).await;
    filled(&bench).await;
    let leave: Vec<_> = (0..130).map(|n| plain_at(&bench, n).id).collect();
    for id in leave {
        bench.tenant.other_admin().delete_user(id, false).unwrap();
    }
    bench.tenant.clear_journal();
    swept_again(&bench).await;
    assert_eq!(bench.tenant.calls(Endpoint::GetUser), 100);
    swept_again(&bench).await;
    assert_eq!(bench.tenant.calls(Endpoint::GetUser), 130);
    let (first, rest) = (changes(&bench, None).await, bench.lifecycle.tenant_status(&local()).await.unwrap());
    let second = changes(&bench, Some(&first.cursor)).await;
    assert_eq!((first.changes.len() + second.changes.len(), rest.index.users), (130, 203));
}

#[tokio::test]
async fn a_look_up_that_passes_tells_a_change_that_the_next_list_does_not_tell_again() {
    let bench = bench(150).await;
    filled(&bench).await;
    let user = plain_at(&bench, 10);
    bench.tenant.other_admin().change_user(user.id, &json!({"comments": "x"}), false).unwrap();
    bench.lifecycle.find_user(FindUser { fresh: true, ..query(&user.email) }).await.unwrap();
    let expected = [(Updated, user.id, fields(&["comments"]), Elsewhere)];
    assert_eq!(told(&changes(&bench, None).await), expected);
    swept_again(&bench).await;
    assert_eq!(told(&changes(&bench, None).await), expected);
}

#[tokio::test]
async fn a_cursor_outlives_the_process_and_is_refused_once_its_changes_are_forgotten() {
    let bench = bench(150).await;
    filled(&bench).await;
    let start = changes(&bench, None).await.cursor;
    provisioned(&bench, newcomer("nora.new@example.com")).await.unwrap();
    let next = bench.beside(paged(150)).await;
    let one = changes(&next, Some(&start)).await;
    assert_eq!(one.changes.len(), 1);
    assert_eq!(changes(&next, Some(&one.cursor)).await.changes.len(), 0);
    for junk in ["junk", "", &one.cursor[1..]] {
        let list = ListUserChanges { since: Some(junk.to_owned()), limit: 10 };
        let failure = bench.lifecycle.list_user_changes(list).await.unwrap_err();
        assert_eq!((failure.code, failure.field.as_deref()), (Code::InvalidArgument, Some("since")));
    }
    bench.pass(Duration::from_hours(24 * 91));
    swept_again(&bench).await;
    let old = ListUserChanges { since: Some(start), limit: 10 };
    let failure = bench.lifecycle.list_user_changes(old).await.unwrap_err();
    assert_eq!((failure.code, failure.field.as_deref()), (Code::InvalidArgument, Some("since")));
    assert!(failure.next.contains("without since"), "{failure:?}");
    assert_eq!(changes(&bench, Some(&one.cursor)).await.changes.len(), 0);
    assert_eq!(changes(&bench, None).await.changes.len(), 0);
}

#[tokio::test]
async fn whoever_follows_changes_hears_of_each() {
    let bench = bench(150).await;
    filled(&bench).await;
    let mut heard = bench.lifecycle.user_changes();
    heard.mark_unchanged();
    provisioned(&bench, newcomer("nora.new@example.com")).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), heard.changed()).await.unwrap().unwrap();
    // Another process on the store hears of it, too.
    let next = bench.beside(paged(150)).await;
    let mut there = next.lifecycle.user_changes();
    let _filler = filler(&next);
    tokio::time::timeout(Duration::from_secs(10), there.changed()).await.unwrap().unwrap();
}
