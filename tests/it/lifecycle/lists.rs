//! Lists that lie, stop early or are too long: an answer says how sure it is.

use std::time::Duration;

use zia_mcp::{
    lifecycle::{Code, FindUser, ListNames, Match},
    model::Clock,
    sandbox::{Endpoint, Fault, SandboxOptions},
};

use super::{FIRST_ID, found, ids, leaver, newcomer, provisioned, query};
use crate::support::{Bench, Plan, local};

fn faulty(bench: &Bench, fault: Fault) {
    bench.tenant.faults().switch_on(fault.on(Endpoint::ListUsers));
}

/// Queries of `GET /users` since the journal was cleared.
fn lists(bench: &Bench) -> Vec<String> {
    let journal = bench.tenant.journal();
    journal.into_iter().filter(|e| e.endpoint == Endpoint::ListUsers).map(|e| e.query).collect()
}

#[tokio::test]
async fn a_name_filter_that_ignores_addresses_hides_nobody_and_is_learned() {
    let bench = Bench::new().await;
    faulty(&bench, Fault::NameFilterIgnoresEmail);
    let fresh = |email: &str| FindUser { fresh: true, ..query(email) };
    let first = bench.lifecycle.find_user(fresh("alex.kim2@example.com")).await.unwrap();
    assert_eq!(ids(&first), [FIRST_ID + 7]);
    bench.tenant.clear_journal();
    let second = bench.lifecycle.find_user(fresh("taro.yamada@example.com")).await.unwrap();
    assert_eq!(ids(&second), [FIRST_ID + 2]);
    assert!(lists(&bench).iter().all(|q| !q.contains("name=")), "{:?}", lists(&bench));
    let nobody = bench.lifecycle.find_user(fresh("nobody@example.com")).await.unwrap();
    assert_eq!((nobody.matched, nobody.complete), (Match::None, true));
}

#[tokio::test]
async fn a_name_filter_that_finds_addresses_proves_absence_with_one_call_once_that_is_learned() {
    let bench = Bench::with(Plan::of_users(1_200)).await;
    let fresh = |email: &str| FindUser { fresh: true, ..query(email) };
    let first = bench.lifecycle.find_user(fresh("alex.kim2@example.com")).await.unwrap();
    assert_eq!(ids(&first), [FIRST_ID + 7]);
    bench.tenant.clear_journal();
    let nobody = bench.lifecycle.find_user(fresh("nobody@example.com")).await.unwrap();
    assert_eq!((nobody.matched, nobody.complete), (Match::None, true));
    assert_eq!(lists(&bench).len(), 1, "{:?}", lists(&bench));
}

/// One page on which a user is shown without an address, or with none that can be read.
fn unaddressed(bench: &Bench, email: &str) {
    let body = format!(
        r#"[{{"id":7,"name":"Jane","email":"jane@example.com","groups":[]}},{{"id":8,"name":"Nora"{email},"groups":[]}}]"#
    );
    let page =
        Fault::AnswerWith { status: 200, content_type: "application/json".into(), body, applied: false };
    bench.tenant.faults().switch_on(page.on(Endpoint::ListUsers).times(1));
}

#[tokio::test]
async fn f37_a_row_without_an_address_may_be_whoever_is_missed() {
    for email in ["", r#","email":null"#, r#","email":"""#, r#","email":["nora@example.com"]"#] {
        let bench = Bench::new().await;
        // The last one: what the index holds is asked, and does not prove it either.
        for fresh in [true, true, false] {
            unaddressed(&bench, email);
            let find = FindUser { fresh, ..query("nora@example.com") };
            let nobody = bench.lifecycle.find_user(find).await.unwrap();
            assert_eq!((nobody.matched, nobody.complete), (Match::None, false), "{email}");
        }
        unaddressed(&bench, email);
        let jane = found(&bench, "jane@example.com").await;
        assert_eq!((ids(&jane), jane.complete), (vec![7], true), "{email} {jane:?}");
        unaddressed(&bench, email);
        let failure = bench.lifecycle.deprovision(local(), leaver("nora@example.com")).await.unwrap_err();
        assert_eq!(failure.code, Code::NotFound);
        assert!(failure.message.contains("do not prove absence"), "{failure:?}");
        assert_eq!(bench.writes(), 0);
    }
}

#[tokio::test]
async fn a_page_size_that_is_ignored_or_capped_hides_nobody() {
    for fault in [
        Fault::PageSizeIgnored,
        Fault::PageSizeCap { rows: 100 },
        Fault::PageSizeCap { rows: 150 },
        Fault::PageSizeCap { rows: 250 },
        Fault::PageSizeCap { rows: 99 },
        Fault::PageSizeCap { rows: 130 },
        Fault::PageSizeCap { rows: 333 },
    ] {
        let bench = Bench::with(Plan::of_users(333)).await;
        faulty(&bench, fault.clone());
        let last = bench.tenant.users().into_iter().next_back().unwrap();
        let all = bench.lifecycle.find_user(FindUser { limit: 100, ..query("example") }).await.unwrap();
        assert!(all.complete && all.next_cursor.is_some());
        assert_eq!(bench.lifecycle.tenant_status(&local()).await.unwrap().index.users, 333, "{fault:?}");
        assert_eq!(ids(&found(&bench, &last.name).await), [last.id], "{fault:?}");
    }
}

/// What a fresh look-up of an address finds, and whether absence is said to be proven.
async fn fresh(bench: &Bench, email: &str) -> (Vec<u64>, bool) {
    let answer = bench.lifecycle.find_user(FindUser { fresh: true, ..query(email) }).await.unwrap();
    (ids(&answer), answer.complete)
}

#[tokio::test]
async fn f35_a_capped_first_page_is_never_taken_for_the_whole_list() {
    for cap in [25, 83, 99, 130] {
        let bench = Bench::with(Plan::of_users(333)).await;
        faulty(&bench, Fault::PageSizeCap { rows: cap });
        faulty(&bench, Fault::NameFilterIgnoresEmail);
        let last = bench.tenant.users().into_iter().next_back().unwrap();
        // Five pages of 25 do not reach the last one, and then nothing is proven either.
        let expected = if cap == 25 { (vec![], false) } else { (vec![last.id], true) };
        assert_eq!(fresh(&bench, &last.email).await, expected, "{cap}");
        assert_eq!(fresh(&bench, "nobody@example.com").await, (vec![], cap != 25), "{cap}");
        let failure = bench.lifecycle.deprovision(local(), leaver("nobody@example.com")).await.unwrap_err();
        assert_eq!(failure.message.contains("do not prove"), cap == 25, "{cap}: {failure:?}");
    }
}

#[tokio::test]
async fn f35_a_list_as_long_as_the_cap_hides_nobody_who_comes_next() {
    let users = 83;
    let bench = Bench::with(Plan::of_users(users)).await;
    faulty(&bench, Fault::PageSizeCap { rows: users });
    assert_eq!(fresh(&bench, "zz.next@example.com").await, (vec![], true));
    let body = serde_json::json!({"name": "Zz Next", "email": "zz.next@example.com", "groups": []});
    let id = bench.tenant.other_admin().create_user(&body, false).unwrap().id;
    assert_eq!(fresh(&bench, "zz.next@example.com").await, (vec![id], true));
}

#[tokio::test]
async fn f35_a_cap_that_comes_while_the_server_runs_hides_nobody() {
    let bench = Bench::with(Plan::of_users(333)).await;
    faulty(&bench, Fault::NameFilterIgnoresEmail);
    let last = bench.tenant.users().into_iter().next_back().unwrap();
    assert_eq!(fresh(&bench, &last.email).await, (vec![last.id], true));
    faulty(&bench, Fault::PageSizeCap { rows: 99 });
    assert_eq!(fresh(&bench, &last.email).await, (vec![last.id], true));
}

#[tokio::test]
async fn groups_and_departments_of_a_capped_tenant_are_listed_whole() {
    for cap in [7, 25, 130] {
        let bench = Bench::new().await;
        for endpoint in [Endpoint::ListGroups, Endpoint::ListDepartments] {
            bench.tenant.faults().switch_on(Fault::PageSizeCap { rows: cap }.on(endpoint));
        }
        let (groups, departments) = (bench.tenant.groups(), bench.tenant.departments());
        let list = |query: &str| ListNames { query: Some(query.into()), limit: 100, cursor: None };
        let (group, department) = (groups.last().unwrap(), departments.last().unwrap());
        let shown = bench.lifecycle.list_groups(list(&group.name)).await.unwrap().items;
        assert!(shown.iter().any(|g| g.name == group.name), "{cap}: {shown:?}");
        let shown = bench.lifecycle.list_departments(list(&department.name)).await.unwrap().items;
        assert!(shown.iter().any(|d| d.name == department.name), "{cap}: {shown:?}");
    }
}

#[tokio::test]
async fn f35_rows_that_come_twice_are_shown_once() {
    let bench = Bench::with(Plan::of_users(333)).await;
    faulty(&bench, Fault::PageSizeIgnored);
    faulty(&bench, Fault::PageShift { rows: 5 });
    found(&bench, "example").await;
    let status = bench.lifecycle.tenant_status(&local()).await.unwrap();
    assert_eq!((status.index.users, status.index.complete), (333, true));
}

#[tokio::test]
async fn a_list_without_an_end_in_reach_proves_no_absence() {
    // 5 pages of 100 rows are read, and there are more.
    let bench = Bench::with(Plan::of_users(560)).await;
    faulty(&bench, Fault::PageSizeIgnored);
    faulty(&bench, Fault::NameFilterIgnoresEmail);
    let nobody = found(&bench, "nobody@example.com").await;
    assert_eq!((nobody.matched, nobody.complete), (Match::None, false));
    let failure = bench.lifecycle.deprovision(local(), leaver("nobody@example.com")).await.unwrap_err();
    assert_eq!(failure.code, Code::NotFound);
    assert!(failure.message.contains("do not prove"), "{failure:?}");
    let some = found(&bench, "alex kim").await;
    assert_eq!((some.matched, some.complete), (Match::Partial, false));
    assert!(!bench.lifecycle.tenant_status(&local()).await.unwrap().index.complete);
}

#[tokio::test]
async fn a_user_is_created_where_absence_is_not_proven_and_zia_has_the_last_word() {
    let bench = Bench::with(Plan::of_users(560)).await;
    faulty(&bench, Fault::PageSizeIgnored);
    faulty(&bench, Fault::NameFilterIgnoresEmail);
    let report = provisioned(&bench, newcomer("nora.new@example.com")).await.unwrap();
    assert!(report.notes.iter().any(|n| n.contains("could not prove")), "{report:?}");
    // In name order the last ones are out of reach: ZIA itself tells that this one exists.
    let beyond = bench.tenant.users().into_iter().rfind(|u| u.id > FIRST_ID + 30).unwrap();
    let taken = provisioned(&bench, newcomer(&beyond.email)).await.unwrap_err();
    assert_eq!(taken.code, Code::AlreadyExists);
    assert!(taken.operation_id.is_some());
}

#[tokio::test]
async fn f35_a_tenant_of_more_than_one_largest_page_is_searched_whole() {
    let plan = Plan::of_users(20_500);
    let bench = Bench::with(plan).await;
    let far = bench.tenant.users().into_iter().next_back().unwrap();
    let found_far = found(&bench, &far.name).await;
    assert!(found_far.complete && ids(&found_far).contains(&far.id));
    assert_eq!(bench.lifecycle.tenant_status(&local()).await.unwrap().index.users, 20_500);
    let nobody = found(&bench, "nobody@example.com").await;
    assert_eq!((nobody.matched, nobody.complete), (Match::None, true));
    assert_eq!(ids(&found(&bench, &far.email).await), [far.id]);
}

#[tokio::test]
async fn f35_a_later_page_that_fails_is_read_again_and_never_taken_for_the_end() {
    let bench = Bench::with(Plan::of_users(20_500)).await;
    let far = bench.tenant.users().into_iter().next_back().unwrap();
    let failing = Fault::ServerError { status: 502, applied: false }.on(Endpoint::ListUsers).after(2);
    bench.tenant.faults().switch_on(failing.clone().times(1));
    let found_far = found(&bench, &far.name).await;
    assert!(found_far.complete && ids(&found_far).contains(&far.id), "{found_far:?}");
    // For as long as it fails there is no list, and nobody is said to be absent.
    bench
        .tenant
        .faults()
        .switch_on(Fault::ServerError { status: 502, applied: false }.on(Endpoint::ListUsers));
    let fresh = FindUser { fresh: true, ..query("nobody@example.com") };
    let failure = bench.lifecycle.find_user(fresh.clone()).await.unwrap_err();
    assert_eq!((failure.code, failure.retryable), (Code::Upstream, true), "{failure:?}");
    bench.tenant.faults().clear();
    let nobody = bench.lifecycle.find_user(fresh).await.unwrap();
    assert_eq!((nobody.matched, nobody.complete), (Match::None, true));
}

#[tokio::test]
async fn f19_what_is_not_zias_list_is_never_taken_for_an_empty_one() {
    let json = || "application/json".to_owned();
    for fault in [
        Fault::HtmlPage { status: 200, applied: false },
        Fault::HtmlPage { status: 403, applied: false },
        Fault::TruncatedBody { after: None },
        Fault::TruncatedBody { after: Some(0) },
        Fault::TruncatedBody { after: Some(1) },
        Fault::BadGzip,
        Fault::Bare404,
        Fault::Redirect { location: "http://redirected.invalid/".into() },
        Fault::AnswerWith { status: 200, content_type: json(), body: "{}".into(), applied: false },
        Fault::AnswerWith { status: 200, content_type: json(), body: String::new(), applied: false },
        Fault::AnswerWith { status: 200, content_type: json(), body: "null".into(), applied: false },
        Fault::ServerError { status: 502, applied: false },
        Fault::Empty500,
    ] {
        let bench = Bench::new().await;
        bench.tenant.faults().switch_on(fault.clone().on(Endpoint::ListUsers));
        bench.tenant.faults().switch_on(fault.clone().on(Endpoint::GetUser));
        bench.tenant.faults().switch_on(fault.clone().on(Endpoint::ListGroups));
        for asked in ["alex", "alex.kim@example.com", "165000007"] {
            let answer = bench.lifecycle.find_user(query(asked)).await;
            let failure = answer.expect_err(&format!("{fault:?} {asked}"));
            assert!(matches!(failure.code, Code::Upstream | Code::Forbidden), "{fault:?}: {failure:?}");
        }
        let failure = bench.lifecycle.deprovision(local(), leaver("alex.kim@example.com")).await.unwrap_err();
        assert_ne!(failure.code, Code::NotFound, "{fault:?}");
        assert!(provisioned(&bench, newcomer("nora.new@example.com")).await.is_err());
        assert_eq!(bench.writes(), 0);
    }
}

#[tokio::test]
async fn a_passing_failure_of_a_list_is_outlived() {
    let bench = Bench::new().await;
    for fault in [
        Fault::TruncatedBody { after: None },
        Fault::ReplyLostBeforeApply,
        Fault::Empty500,
        Fault::OrgBarrier,
    ] {
        bench.tenant.faults().switch_on(fault.clone().on(Endpoint::ListUsers).times(1));
        let find = FindUser { fresh: true, ..query("alex.kim@example.com") };
        assert_eq!(ids(&bench.lifecycle.find_user(find).await.unwrap()), [FIRST_ID + 6], "{fault:?}");
    }
}

#[tokio::test]
async fn a_rate_limit_is_told_with_the_time_to_come_back() {
    let bench = Bench::new().await;
    faulty(&bench, Fault::TooManyRequests { header: Some("1800".into()), body: None });
    let before = Clock::system().now();
    let failure = bench.lifecycle.find_user(query("alex")).await.unwrap_err();
    assert_eq!(failure.code, Code::RateLimited);
    let wait = failure.retry_at.unwrap().duration_since(before);
    assert!((1750..=1850).contains(&wait.as_secs()), "{wait:?}");
    // Until then ZIA is not even asked.
    let asked = bench.calls("GET /users");
    assert_eq!(bench.lifecycle.find_user(query("ann")).await.unwrap_err().code, Code::RateLimited);
    assert_eq!(bench.calls("GET /users"), asked);
}

#[tokio::test]
async fn many_searches_never_pass_zias_limits() {
    let sandbox =
        SandboxOptions { limits: zia_mcp::sandbox::LimitPolicy::Documented, ..Plan::default().sandbox };
    let bench =
        Bench::with(Plan { sandbox, limits: zia_mcp::zia::Limits::documented(), ..Plan::default() }).await;
    // Part of a name: one list, and a look behind it, answer them all.
    for _ in 0..200 {
        found(&bench, "alex").await;
    }
    assert_eq!(bench.calls("GET /users"), 2);
    assert!(bench.tenant.journal().iter().all(|e| e.status != Some(429)));
    let fresh = FindUser { fresh: true, ..query("alex") };
    let began = std::time::Instant::now();
    bench.lifecycle.find_user(fresh).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
}
