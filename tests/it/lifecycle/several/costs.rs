//! What deleting several users costs upstream.

use zia_mcp::{
    lifecycle::{Code, Outcome},
    sandbox::{Endpoint, Fault},
};

use super::{all_deleted, approve, begin, plain, there};
use crate::{
    lifecycle::found,
    support::{Bench, Plan},
};

#[tokio::test]
async fn five_hundred_users_cost_a_few_calls() {
    let bench = Bench::with(Plan::of_users(640)).await;
    let users = plain(&bench, 500);
    let before: u64 = bench.tenant.counters().values().sum();
    let report = all_deleted(&bench, &users).await;
    assert_eq!(report.outcome, Outcome::Done, "{:?} {:?}", report.counts, report.notes);
    let calls = bench.tenant.counters().values().sum::<u64>() - before;
    assert!(calls <= 12, "{calls} calls: {:?}", bench.tenant.counters());
    assert_eq!(bench.calls("POST /users/bulkDelete"), 1);
    assert!(users.iter().all(|u| !there(&bench, u)));
}

#[tokio::test]
async fn five_hundred_of_five_thousand_cost_at_most_twelve_calls_and_the_plan_says_so() {
    let bench = Bench::with(Plan::of_users(5_000)).await;
    let users = plain(&bench, 500);
    let id = begin(&bench, &users).await.unwrap();
    let plan = bench.lifecycle.report(&id).await.unwrap().notes.into_iter().find(|n| n.starts_with("plan"));
    let plan = plan.unwrap();
    assert!(plan.contains("2 user lists, 1 bulk delete") && plan.contains("done by about"), "{plan}");
    let records = bench.lifecycle.records();
    let shown = records.waiting(id.as_str()).await.unwrap().lines;
    assert!(shown.iter().any(|line| line.contains("1 bulk delete")), "{shown:?}");
    let report = approve(&bench, &id).await;
    assert_eq!(report.outcome, Outcome::Done, "{:?} {:?}", report.counts, report.notes);
    let calls = bench.tenant.counters();
    assert!(calls.values().sum::<u64>() <= 12, "{calls:?}");
    assert_eq!(bench.calls("POST /users/bulkDelete"), 1);
    assert!(users.iter().all(|u| !there(&bench, u)));
}

/// Eight users of a tenant whose index knows everybody.
async fn eight_known() -> (Bench, Vec<String>) {
    let bench = Bench::with(Plan::of_users(300)).await;
    found(&bench, "alex").await;
    bench.tenant.clear_journal();
    let users = plain(&bench, 8);
    (bench, users)
}

#[tokio::test]
async fn a_few_whom_the_index_knows_are_read_by_id_and_cost_no_list() {
    let (bench, users) = eight_known().await;
    assert_eq!(all_deleted(&bench, &users).await.outcome, Outcome::Done);
    let journal = bench.tenant.journal();
    let of = |endpoint: Endpoint| journal.iter().filter(|e| e.endpoint == endpoint).count();
    assert_eq!((of(Endpoint::ListUsers), of(Endpoint::GetUser), of(Endpoint::BulkDelete)), (0, 24, 1));
}

#[tokio::test]
async fn whom_a_call_has_read_that_failed_the_same_call_does_not_read_again() {
    let (bench, users) = eight_known().await;
    let limited = |seconds: &str| Fault::TooManyRequests { header: Some(seconds.into()), body: None };
    bench.tenant.faults().switch_on(limited("600").on(Endpoint::GetUser).after(5));
    let failure = begin(&bench, &users).await.unwrap_err();
    assert_eq!(failure.code, Code::RateLimited);
    assert!(failure.message.starts_with("5 of 8 users were read"), "{failure:?}");
    assert_eq!((bench.calls("GET /users/{id}"), bench.calls("GET /users")), (6, 0));
    assert!(bench.store.captures(None, 10).await.unwrap().is_empty());
    bench.tenant.faults().clear();
    // The first one's own lane is closed for ten minutes, which are real ones.
    bench.tenant.clear_journal();
    let again = begin(&bench, &users).await.unwrap_err();
    assert!(again.message.starts_with("5 of 8 users were read"), "{again:?}");
    assert_eq!(bench.calls("GET /users/{id}"), 0);
}

#[tokio::test]
async fn a_call_that_goes_on_where_another_ended_captures_and_deletes_all() {
    let (bench, users) = eight_known().await;
    let page = Fault::HtmlPage { status: 200, applied: false };
    bench.tenant.faults().switch_on(page.on(Endpoint::GetUser).after(5));
    assert_eq!(begin(&bench, &users).await.unwrap_err().code, Code::Upstream);
    bench.tenant.faults().clear();
    bench.tenant.clear_journal();
    let report = all_deleted(&bench, &users).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    // Three to be captured, eight before the send, eight after it.
    assert_eq!((bench.calls("GET /users/{id}"), bench.calls("GET /users")), (19, 0));
    assert_eq!(bench.store.captures(None, 10).await.unwrap().len(), 8);
    assert!(users.iter().all(|u| !there(&bench, u)));
}
