//! The shared call budget: every window, in sum over all processes on the store (I9, F6, F15).

use std::sync::atomic::Ordering;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use zia_mcp::{
    model::{Ask, CallAccount, Granted, Per, Purpose, Terms, Ticket, Window},
    store::Store,
};

use super::{Home, TENANT};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;

fn terms(endpoint: &'static str, windows: &[(u32, Per)]) -> Terms {
    let windows = windows.iter().map(|(limit, per)| Window { limit: *limit, per: *per }).collect();
    Terms { endpoint, windows, configured: String::new(), reserved: true, background: 50 }
}

fn lists() -> Terms {
    terms("GET /users", &[(1, Per::Second), (10, Per::Minute), (40, Per::Hour)])
}

async fn take(store: &Store, terms: &Terms, purpose: Purpose) -> Granted {
    store.take(Ask { tenant: TENANT, terms, purpose }).await.unwrap()
}

/// Takes one that is there, and tells its answer at once.
async fn taken(store: &Store, terms: &Terms, purpose: Purpose) -> Ticket {
    match take(store, terms, purpose).await {
        Granted::Leave(ticket) => {
            store.answered(ticket).await;
            ticket
        }
        Granted::NotBefore(at) => panic!("not before {at}"),
    }
}

/// Takes as many as there are in the next seconds, and says how many.
async fn take_all(home: &Home, store: &Store, terms: &Terms, purpose: Purpose) -> usize {
    let mut count = 0;
    for _ in 0..1_000 {
        match take(store, terms, purpose).await {
            Granted::Leave(ticket) => {
                store.answered(ticket).await;
                count += 1;
            }
            Granted::NotBefore(at) => {
                let wait = at.duration_since(home.now());
                if wait > SignedDuration::from_secs(61) {
                    return count;
                }
                home.micros.fetch_add(wait.as_micros() as i64, Ordering::SeqCst);
            }
        }
    }
    count
}

fn wait(home: &Home, granted: Granted) -> SignedDuration {
    match granted {
        Granted::Leave(_) => SignedDuration::ZERO,
        Granted::NotBefore(at) => at.duration_since(home.now()),
    }
}

/// One request of a schedule.
#[derive(Clone, Debug)]
struct Request {
    process: usize,
    /// Since the one before.
    gap: i64,
    purpose: Purpose,
    /// When it arrives after it left, and when its answer comes after that; `None`: its process was killed.
    arrives: i64,
    answered: Option<i64>,
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let gap = prop_oneof![Just(0), 0..SECOND / 20, 0..2 * SECOND, 0..200 * SECOND, 0..HOUR / 2];
    let purpose = prop::sample::select(vec![Purpose::Read, Purpose::Finish, Purpose::Background]);
    let one = (0..3usize, gap, purpose, 0..2 * SECOND, prop::option::weighted(0.9, 0..SECOND));
    let one = one.prop_map(|(process, gap, purpose, arrives, answered)| {
        // A killed process's request arrives soon, or never; an answered one may crawl.
        Request { process, gap, purpose, arrives, answered }
    });
    prop::collection::vec(one, 1..160)
}

fn some_terms() -> impl Strategy<Value = Terms> {
    prop::sample::select(vec![
        lists(),
        terms("POST /users/bulkDelete", &[(1, Per::Minute), (4, Per::Hour)]),
        terms("GET /users/{id}", &[(2, Per::Second), (30, Per::Hour)]),
    ])
}

/// When the vendor counted each request that left.
async fn arrivals(home: &Home, terms: &Terms, requests: &[Request]) -> Vec<i64> {
    let stores = [home.open().await, home.open().await, home.open().await];
    let (mut arrived, mut pending) = (Vec::new(), Vec::<(i64, usize, Ticket)>::new());
    let mut now = home.micros.load(Ordering::SeqCst);
    for request in requests {
        now += request.gap;
        // Answers come in their own time, each told by its own process.
        pending.sort_by_key(|(due, ..)| *due);
        for (due, process, ticket) in pending.extract_if(.., |(due, ..)| *due <= now).collect::<Vec<_>>() {
            home.micros.store(due, Ordering::SeqCst);
            stores[process].answered(ticket).await;
        }
        home.micros.store(now, Ordering::SeqCst);
        if let Granted::Leave(ticket) = take(&stores[request.process], terms, request.purpose).await {
            arrived.push(now + request.arrives);
            if let Some(after) = request.answered {
                pending.push((now + request.arrives + after, request.process, ticket));
            }
        }
    }
    arrived.sort_unstable();
    arrived
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn i9_three_processes_in_sum_never_exceed_any_window(terms in some_terms(), requests in requests()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let arrived = runtime.block_on(arrivals(&Home::new(), &terms, &requests));
        prop_assert!(!arrived.is_empty());
        for window in &terms.windows {
            for span in arrived.windows(window.limit as usize + 1) {
                let apart = span[span.len() - 1] - span[0];
                prop_assert!(apart >= window.per.micros(), "{window:?}: {apart} µs");
            }
        }
    }
}

#[tokio::test]
async fn i9_what_left_is_counted_after_a_restart_and_in_another_process() {
    let home = Home::new();
    let first = home.open().await;
    assert_eq!(take_all(&home, &first, &lists(), Purpose::Finish).await, 40);
    let other = home.open().await;
    assert!(matches!(take(&other, &lists(), Purpose::Finish).await, Granted::NotBefore(_)));
    // Dropped, not closed: nothing was left to be written.
    drop((first, other));
    let next = home.open().await;
    let wait = wait(&home, take(&next, &lists(), Purpose::Finish).await);
    assert!(wait > SignedDuration::from_mins(50) && wait < SignedDuration::from_mins(61), "{wait:?}");
    home.pass(3_601);
    taken(&next, &lists(), Purpose::Finish).await;
}

#[tokio::test]
async fn i9_tenants_and_endpoints_have_accounts_of_their_own() {
    let home = Home::new();
    let store = home.open().await;
    let terms = lists();
    taken(&store, &terms, Purpose::Read).await;
    let elsewhere = Ask { tenant: "another", terms: &terms, purpose: Purpose::Read };
    assert!(matches!(store.take(elsewhere).await.unwrap(), Granted::Leave(_)));
    taken(&store, &Terms { endpoint: "GET /groups", ..lists() }, Purpose::Read).await;
    assert!(matches!(take(&store, &terms, Purpose::Read).await, Granted::NotBefore(_)));
}

#[tokio::test]
async fn reading_never_uses_what_is_kept_for_finishing() {
    let home = Home::new();
    let store = home.open().await;
    assert_eq!(take_all(&home, &store, &lists(), Purpose::Read).await, 32);
    assert_eq!(take_all(&home, &store, &lists(), Purpose::Finish).await, 8);
    assert_eq!(take_all(&home, &store, &lists(), Purpose::Finish).await, 0);
}

#[tokio::test]
async fn background_work_uses_its_share_and_leaves_the_rest() {
    let home = Home::new();
    let store = home.open().await;
    let terms = Terms { background: 25, ..lists() };
    assert_eq!(take_all(&home, &store, &terms, Purpose::Background).await, 10);
    assert_eq!(take_all(&home, &store, &terms, Purpose::Read).await, 22);
    assert_eq!(take_all(&home, &store, &terms, Purpose::Background).await, 0);
    assert_eq!(take_all(&home, &store, &terms, Purpose::Finish).await, 8);
}

#[tokio::test]
async fn f15_a_429_closes_the_endpoint_for_everybody_and_for_as_long_as_the_longest_says() {
    let home = Home::new();
    let (ours, theirs) = (home.open().await, home.open().await);
    let terms = terms("GET /status", &[(2, Per::Second)]);
    let after = |seconds| home.now() + SignedDuration::from_secs(seconds);
    let long = after(600);
    ours.refused(TENANT, &terms, long, None).await.unwrap();
    ours.refused(TENANT, &terms, after(5), None).await.unwrap();
    assert_eq!(take(&theirs, &terms, Purpose::Finish).await, Granted::NotBefore(long));
    let next = theirs.next(&[Ask { tenant: TENANT, terms: &terms, purpose: Purpose::Read }]).await.unwrap();
    assert_eq!(next, long);
    home.pass(600);
    taken(&theirs, &terms, Purpose::Read).await;
}

#[tokio::test]
async fn f15_no_429_closes_an_endpoint_for_more_than_an_hour() {
    let home = Home::new();
    let store = home.open().await;
    store.refused(TENANT, &lists(), Timestamp::MAX, None).await.unwrap();
    assert_eq!(wait(&home, take(&store, &lists(), Purpose::Read).await), SignedDuration::from_hours(1));
}

#[tokio::test]
async fn f15_a_lower_limit_is_learned_once_by_all_and_only_the_operator_ends_it() {
    let home = Home::new();
    let (ours, theirs) = (home.open().await, home.open().await);
    let told = |limit| Some(Window { limit, per: Per::Hour });
    for limit in [6, 30, 5, 9] {
        ours.refused(TENANT, &lists(), home.now(), told(limit)).await.unwrap();
    }
    assert_eq!(take_all(&home, &theirs, &lists(), Purpose::Finish).await, 5);
    let left = theirs.left(TENANT, &[lists()]).await.unwrap();
    let hour = left.iter().find(|l| l.window.per == Per::Hour).unwrap();
    assert_eq!((hour.window.limit, hour.remaining), (5, 0));
    // A restart teaches nothing new; another word of the operator's does.
    drop((ours, theirs));
    let next = home.open().await;
    assert_eq!(take_all(&home, &next, &lists(), Purpose::Finish).await, 0);
    let set = Terms { configured: "40/hour".into(), ..lists() };
    assert_eq!(take_all(&home, &next, &set, Purpose::Finish).await, 35);
}

#[tokio::test]
async fn a_clock_set_back_opens_no_window_early_and_closes_none_for_longer_than_it_lasts() {
    let home = Home::new();
    let store = home.open().await;
    let slow = terms("POST /users/bulkDelete", &[(1, Per::Minute), (4, Per::Hour)]);
    taken(&store, &slow, Purpose::Finish).await;
    store.refused(TENANT, &lists(), home.now() + SignedDuration::from_mins(5), None).await.unwrap();
    home.pass(-10 * 24 * 3_600);
    let closed = wait(&home, take(&store, &slow, Purpose::Finish).await);
    assert!(closed >= SignedDuration::from_mins(1) && closed < SignedDuration::from_secs(61), "{closed:?}");
    // What it says now holds: it is not put off again and again.
    home.pass(63);
    taken(&store, &slow, Purpose::Finish).await;
    let closed = wait(&home, take(&store, &lists(), Purpose::Finish).await);
    assert!(closed <= SignedDuration::from_hours(1), "{closed:?}");
    home.pass(3_600);
    taken(&store, &lists(), Purpose::Finish).await;
}

#[tokio::test]
async fn what_is_left_is_told_for_every_window_and_when_more_comes() {
    let home = Home::new();
    let store = home.open().await;
    let groups = terms("GET /groups", &[(1, Per::Second), (400, Per::Hour)]);
    let start = home.now();
    taken(&store, &lists(), Purpose::Read).await;
    home.pass(2);
    taken(&store, &lists(), Purpose::Background).await;
    let left = store.left(TENANT, &[lists(), groups]).await.unwrap();
    let told: Vec<_> = left.iter().map(|l| (l.endpoint, l.window.limit, l.remaining)).collect();
    assert_eq!(
        told,
        [
            ("GET /users", 1, 0),
            ("GET /users", 10, 8),
            ("GET /users", 40, 38),
            ("GET /groups", 1, 1),
            ("GET /groups", 400, 400)
        ]
    );
    assert_eq!(left[2].resets_at, start + SignedDuration::from_millis(3_600_050));
    assert_eq!(left[4].resets_at, home.now());
}

#[tokio::test]
async fn departures_that_count_nowhere_are_pruned() {
    let home = Home::new();
    let store = home.open().await;
    let many = terms("GET /groups", &[(1_000, Per::Second)]);
    for _ in 0..200 {
        taken(&store, &many, Purpose::Read).await;
    }
    home.pass(2 * 3_600);
    for _ in 0..64 {
        taken(&store, &many, Purpose::Read).await;
    }
    assert!(home.count("call_departures").await <= 64);
}
