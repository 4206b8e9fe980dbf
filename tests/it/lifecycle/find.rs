//! Finding users, groups and departments.

use std::collections::BTreeSet;

use serde_json::json;
use zia_mcp::{
    lifecycle::{Code, FindUser, ListNames, Match, Source},
    sandbox::{Endpoint, Fault},
};

use super::{FIRST_ID, deleted, found, ids, newcomer, plain_at, provisioned, query};
use crate::support::{Bench, Plan};

#[tokio::test]
async fn an_address_finds_its_user_whatever_the_case() {
    let bench = Bench::new().await;
    for asked in ["mixed.case@example.com", "Mixed.Case@example.com", " MIXED.CASE@EXAMPLE.COM "] {
        let found = found(&bench, asked).await;
        assert_eq!((found.matched, found.complete), (Match::Exact, true));
        assert_eq!(
            found.users.iter().map(|u| u.email.as_str()).collect::<Vec<_>>(),
            ["Mixed.Case@example.com"]
        );
    }
}

#[tokio::test]
async fn an_address_finds_no_user_who_only_contains_it_or_looks_like_it() {
    let bench = Bench::new().await;
    for (asked, id) in [
        ("ann@example.com", FIRST_ID + 21),
        ("alex.kim@example.com", FIRST_ID + 6), // another user is *called* that
        ("alex.payne@example.com", FIRST_ID + 16),
        ("\u{430}lex.payne@example.com", FIRST_ID + 17),
    ] {
        assert_eq!(ids(&found(&bench, asked).await), [id], "{asked}");
    }
    let nobody = found(&bench, "nn@example.com").await;
    assert_eq!((nobody.matched, nobody.users.len(), nobody.complete), (Match::None, 0, true));
}

#[tokio::test]
async fn several_users_with_one_address_are_all_shown() {
    let bench = Bench::new().await;
    let rows = json!([
        {"id": 7, "name": "A", "email": "twin@example.com", "groups": []},
        {"id": 8, "name": "B", "email": "TWIN@example.com", "groups": []},
        {"id": 9, "name": "C", "email": "twin@example.com.au", "groups": []},
    ]);
    let content_type = "application/json".into();
    let fault = Fault::AnswerWith { status: 200, content_type, body: rows.to_string(), applied: false };
    bench.tenant.faults().switch_on(fault.on(Endpoint::ListUsers));
    assert_eq!(ids(&found(&bench, "twin@example.com").await), [7, 8]);
}

#[tokio::test]
async fn an_id_finds_its_user_with_plain_name_even_where_zia_encodes_it() {
    let bench = Bench::new().await;
    let user = plain_at(&bench, 3);
    bench.tenant.faults().switch_on(Fault::EncodedById);
    let found = found(&bench, &user.id.to_string()).await;
    assert_eq!((found.matched, ids(&found)), (Match::Exact, vec![user.id]));
    assert_eq!((found.users[0].email.as_str(), found.users[0].name.as_str()), (&*user.email, &*user.name));
}

#[tokio::test]
async fn an_id_that_zia_does_not_know_is_no_match_for_certain() {
    let bench = Bench::new().await;
    let found = found(&bench, "999999999").await;
    assert_eq!((found.matched, found.complete), (Match::None, true));
}

#[tokio::test]
async fn a_part_of_a_name_or_address_finds_all_who_have_it() {
    let bench = Bench::new().await;
    let expected: BTreeSet<u64> = {
        let users = bench.tenant.users();
        let has = |t: &str| t.to_lowercase().contains("alex");
        users.iter().filter(|u| has(&u.name) || has(&u.email)).map(|u| u.id).collect()
    };
    assert!(expected.len() >= 4);
    let found = found(&bench, "ALEX").await;
    assert_eq!((found.matched, found.complete), (Match::Partial, true));
    assert_eq!(ids(&found), expected.into_iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn patterns_are_taken_literally() {
    let bench = Bench::new().await;
    for pattern in ["%", "a*", ".*", "[?name=='x']", "a_", "&page=2", "\\"] {
        let found = found(&bench, pattern).await;
        assert_eq!((found.users.len(), found.complete), (0, true), "{pattern:?}");
    }
    assert_eq!(ids(&found(&bench, "🦜 O'Neil").await), [FIRST_ID + 5]);
}

#[tokio::test]
async fn bad_arguments_are_refused_by_name_and_cost_nothing() {
    let bench = Bench::new().await;
    let long = "x".repeat(10 * 1024);
    for (find, field) in [
        (FindUser { limit: 0, ..query("x") }, "limit"),
        (FindUser { limit: 101, ..query("x") }, "limit"),
        (FindUser { cursor: Some("junk".into()), ..query("x") }, "cursor"),
        (query("  "), "query"),
        (query(&long), "query"),
    ] {
        let failure = bench.lifecycle.find_user(find).await.unwrap_err();
        assert_eq!((failure.code, failure.field.as_deref()), (Code::InvalidArgument, Some(field)));
    }
    assert!(bench.tenant.journal().is_empty());
}

#[tokio::test]
async fn pages_give_every_user_once_and_in_order() {
    let bench = Bench::with(Plan::of_users(83)).await;
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let find = FindUser { limit: 7, cursor: cursor.take(), ..query("example") };
        let page = bench.lifecycle.find_user(find).await.unwrap();
        assert!(page.users.len() <= 7);
        seen.extend(ids(&page));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let mut all: Vec<_> = bench.tenant.users().iter().map(|u| u.id).collect();
    all.sort_unstable();
    assert_eq!(seen, all);
}

#[tokio::test]
async fn a_cursor_of_another_query_is_refused() {
    let bench = Bench::new().await;
    let first = bench.lifecycle.find_user(FindUser { limit: 1, ..query("alex") }).await.unwrap();
    let other = FindUser { cursor: first.next_cursor, ..query("example") };
    assert_eq!(bench.lifecycle.find_user(other).await.unwrap_err().code, Code::InvalidArgument);
}

#[tokio::test]
async fn department_and_group_narrow_a_search_by_name_and_by_id() {
    let bench = Bench::with(Plan::of_users(300)).await;
    let some = plain_at(&bench, 5);
    let group = some.groups[0].clone();
    let members: BTreeSet<u64> = {
        let users = bench.tenant.users();
        users.iter().filter(|u| u.groups.iter().any(|g| g.id == group.id)).map(|u| u.id).collect()
    };
    for asked in [group.name.clone(), group.name.to_uppercase(), group.id.to_string()] {
        let find = FindUser { group: Some(asked), limit: 100, ..query("") };
        let found = bench.lifecycle.find_user(find).await.unwrap();
        assert_eq!(ids(&found).into_iter().collect::<BTreeSet<_>>(), members);
    }
    let department = bench.tenant.users().into_iter().find_map(|u| u.department).unwrap();
    for asked in [department.name.clone(), department.id.to_string()] {
        let find = FindUser { department: Some(asked), limit: 100, ..query("") };
        let found = bench.lifecycle.find_user(find).await.unwrap();
        assert!(!found.users.is_empty());
        let here = i64::try_from(department.id).unwrap();
        assert!(found.users.iter().all(|u| u.department.as_ref().is_some_and(|d| d.id == here)));
    }
}

#[tokio::test]
async fn an_exact_user_outside_the_department_asked_for_is_no_match() {
    let bench = Bench::new().await;
    let find = FindUser { department: Some("Service Admin".into()), ..query("alex.kim@example.com") };
    assert_eq!(bench.lifecycle.find_user(find).await.unwrap().matched, Match::None);
}

#[tokio::test]
async fn a_name_of_two_groups_asks_which_and_an_unknown_one_offers_similar() {
    let bench = Bench::new().await;
    let find = |group: &str| FindUser { group: Some(group.into()), ..query("") };
    let two = bench.lifecycle.find_user(find("Contractors")).await.unwrap_err();
    assert_eq!((two.code, two.candidates.unwrap().len()), (Code::Ambiguous, 2));
    let none = bench.lifecycle.find_user(find("Enginering")).await.unwrap_err();
    assert_eq!(none.code, Code::NotFound);
    assert!(none.candidates.unwrap().iter().any(|c| c.name == "Engineering"));
}

#[tokio::test]
async fn groups_and_departments_are_listed_whole_across_pages() {
    let bench = Bench::new().await;
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let list = ListNames { query: None, limit: 50, cursor: cursor.take() };
        let page = bench.lifecycle.list_groups(list).await.unwrap();
        seen.extend(page.items.iter().map(|g| g.id));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), bench.tenant.groups().len());
    let list = ListNames { query: Some("legal".into()), limit: 100, cursor: None };
    let legal = bench.lifecycle.list_departments(list).await.unwrap();
    assert!(!legal.items.is_empty() && legal.items.iter().all(|d| d.name.contains("Legal")));
}

#[tokio::test]
async fn a_repeated_search_is_answered_from_memory_and_a_fresh_one_by_zia() {
    let bench = Bench::new().await;
    assert_eq!(found(&bench, "alex").await.source, Source::Live);
    let change = json!({"name": "Renamed Entirely"});
    bench.tenant.other_admin().change_user(FIRST_ID + 6, &change, false).unwrap();
    let again = found(&bench, "alex kim").await;
    assert_eq!((again.source, ids(&again).len()), (Source::Index, 2));
    let fresh = bench.lifecycle.find_user(FindUser { fresh: true, ..query("alex kim") }).await.unwrap();
    assert_eq!((fresh.source, ids(&fresh).len()), (Source::Live, 1));
    let one =
        bench.lifecycle.find_user(FindUser { fresh: true, ..query("alex.kim@example.com") }).await.unwrap();
    assert_eq!((one.source, one.users[0].name.as_str()), (Source::Live, "Renamed Entirely"));
}

#[tokio::test]
async fn our_own_writes_show_at_once() {
    let bench = Bench::new().await;
    let leaves = plain_at(&bench, 2);
    assert_eq!(found(&bench, &leaves.name).await.users.len(), 1);
    provisioned(&bench, newcomer("nora.new@example.com")).await.unwrap();
    assert_eq!(found(&bench, "Nora Newcomer").await.users.len(), 1);
    assert_eq!(found(&bench, "nora.new@example.com").await.users.len(), 1);
    deleted(&bench, &leaves.email).await;
    assert_eq!(found(&bench, &leaves.name).await.users.len(), 0);
    assert_eq!(found(&bench, &leaves.email).await.matched, Match::None);
    assert_eq!(found(&bench, &leaves.id.to_string()).await.matched, Match::None);
}

#[tokio::test]
async fn searches_at_the_same_time_share_one_list_and_the_look_behind_it() {
    let bench = Bench::new().await;
    let searches = (0..20).map(|_| found(&bench, "alex"));
    let all = futures::future::join_all(searches).await;
    assert!(all.iter().all(|f| f.users.len() == all[0].users.len() && f.complete));
    assert_eq!(bench.calls("GET /users"), 2);
}

#[tokio::test]
async fn one_address_asked_for_by_many_at_once_is_listed_once() {
    let bench = Bench::new().await;
    let email = plain_at(&bench, 0).email;
    let alone = {
        let bench = Bench::new().await;
        assert_eq!(found(&bench, &email).await.matched, Match::Exact);
        bench.calls("GET /users")
    };
    let all = futures::future::join_all((0..32).map(|_| found(&bench, &email))).await;
    assert!(all.iter().all(|found| found.matched == Match::Exact && found.users.len() == 1));
    assert_eq!((alone, bench.calls("GET /users")), (2, 2));
}
