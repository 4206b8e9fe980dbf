use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{model::Per, zia::limits::MARGIN};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const ON_ITS_WAY: Duration = Duration::from_micros(crate::model::ON_ITS_WAY.unsigned_abs());

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The day begins when a test does, and passes with its clock.
fn turnstile(limits: &Limits) -> Arc<Turnstile> {
    let start = Instant::now();
    let noon: Timestamp = "2026-03-13T12:00:00Z".parse().unwrap();
    let clock = Clock::from_fn(move || noon + SignedDuration::try_from(start.elapsed()).unwrap());
    Arc::new(Turnstile::new(limits, "tenant", None, clock))
}

fn paced() -> Arc<Turnstile> {
    turnstile(&Limits::documented())
}

fn by(at: Instant) -> Deadline {
    Deadline::at(at)
}

impl PartialEq for Departure<'_> {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

/// Lets callers come at the given distances; answers when those who left did so.
async fn departures(endpoint: Endpoint, gaps: &[u64], patience: Duration) -> Vec<Duration> {
    let (pacer, start) = (paced(), Instant::now());
    let mut callers = Vec::new();
    for gap in gaps {
        tokio::time::sleep(ms(*gap)).await;
        let pacer = pacer.clone();
        callers.push(tokio::spawn(async move {
            let until = Instant::now() + patience;
            pacer.admit(endpoint, by(until)).await.map(|_departure| {
                assert!(Instant::now() <= until, "left after its deadline");
                start.elapsed()
            })
        }));
    }
    let mut left = Vec::new();
    for caller in callers {
        left.extend(caller.await.unwrap().ok());
    }
    left
}

/// Panics if any window that begins with a departure holds too many.
fn assert_never_exceeded(endpoint: Endpoint, left: &mut [Duration]) {
    left.sort();
    for window in Limits::documented().terms(endpoint).windows {
        let per = Duration::from_micros(window.per.micros().unsigned_abs());
        for span in left.windows(window.limit as usize + 1) {
            let (first, last) = (span[0], span[span.len() - 1]);
            assert!(last - first > per, "{}: {span:?} within {per:?}", endpoint.name());
        }
    }
}

fn paused<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_window_is_ever_exceeded(
        endpoint in prop::sample::select(Endpoint::ALL.to_vec()),
        gaps in prop::collection::vec(prop_oneof![Just(0), 0..50u64, 0..3_000u64, 0..200_000u64], 1..120),
        patience in prop::sample::select(vec![0u64, 500, 45_000, 4_000_000]),
    ) {
        let mut left = paused(departures(endpoint, &gaps, ms(patience)));
        prop_assert!(!left.is_empty());
        assert_never_exceeded(endpoint, &mut left);
    }
}

#[tokio::test(start_paused = true)]
async fn listing_users_keeps_the_second_the_minute_and_the_hour() {
    let mut left = departures(Endpoint::ListUsers, &[0; 41], Duration::from_secs(7200)).await;
    assert_eq!(left.len(), 41);
    assert_never_exceeded(Endpoint::ListUsers, &mut left);
    assert!(left[1] >= SECOND && left[10] >= MINUTE && left[40] >= HOUR, "{left:?}");
    assert!(left[40] < HOUR + ms(200), "slower than need be: {left:?}");
}

#[tokio::test(start_paused = true)]
async fn callers_leave_in_the_order_they_came() {
    let left = departures(Endpoint::ReadUser, &[1; 30], MINUTE).await;
    assert_eq!(left.len(), 30);
    assert!(left.is_sorted(), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn who_cannot_leave_in_time_is_told_at_once_when() {
    let (pacer, start) = (paced(), Instant::now());
    let soon = start + ms(100);
    pacer.admit(Endpoint::ListUsers, by(soon)).await.unwrap();
    let held = pacer.admit(Endpoint::ListUsers, by(soon)).await.unwrap_err();
    assert_eq!((held, Instant::now()), (Held::Until(start + SECOND + MARGIN), start));

    // Behind one who waits, the forecast counts that one too.
    let waiting = tokio::spawn({
        let pacer = pacer.clone();
        async move { pacer.admit(Endpoint::ListUsers, by(start + MINUTE)).await.map(drop) }
    });
    tokio::task::yield_now().await;
    let behind = pacer.admit(Endpoint::ListUsers, by(start + ms(1500))).await.unwrap_err();
    assert_eq!((behind, Instant::now()), (Held::Until(start + (SECOND + MARGIN) * 2), start));
    waiting.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_uses_nothing() {
    let (pacer, start) = (paced(), Instant::now());
    pacer.admit(Endpoint::ListUsers, by(start)).await.unwrap();
    for _ in 0..50 {
        let wait = pacer.admit(Endpoint::ListUsers, by(start + MINUTE));
        assert!(tokio::time::timeout_at(Instant::now() + ms(1), wait).await.is_err());
    }
    pacer.admit(Endpoint::ListUsers, by(start + MINUTE)).await.unwrap();
    assert_eq!(start.elapsed(), SECOND + MARGIN);
}

#[tokio::test(start_paused = true)]
async fn a_closed_endpoint_opens_when_its_429_said_and_others_stay_open() {
    for limits in [Limits::documented(), Limits::unpaced()] {
        let (pacer, start) = (turnstile(&limits), Instant::now());
        pacer.refused(Endpoint::Status, ms(5000), None).await;
        pacer.refused(Endpoint::Status, ms(2000), None).await;
        assert_eq!(
            pacer.admit(Endpoint::Status, by(start + ms(4999))).await.map(drop),
            Err(Held::Until(start + ms(5000)))
        );
        pacer.admit(Endpoint::ReadUser, by(start)).await.unwrap();
        assert_eq!(Instant::now(), start);
        pacer.admit(Endpoint::Status, by(start + ms(6000))).await.unwrap();
        assert_eq!(start.elapsed(), ms(5000));
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_caller_minds_a_429_that_comes_meanwhile() {
    let (pacer, start) = (paced(), Instant::now());
    pacer.admit(Endpoint::ListUsers, by(start)).await.unwrap();
    let waiting = tokio::spawn({
        let pacer = pacer.clone();
        async move { pacer.admit(Endpoint::ListUsers, by(start + ms(2000))).await.map(drop) }
    });
    tokio::task::yield_now().await;
    pacer.refused(Endpoint::ListUsers, ms(9000), None).await;
    assert_eq!(waiting.await.unwrap(), Err(Held::Until(start + ms(9000))));
}

#[tokio::test(start_paused = true)]
async fn the_budget_tells_what_is_left_and_when_more_comes() {
    let (pacer, start) = (paced(), Instant::now());
    let noon: Timestamp = "2026-03-13T12:00:00Z".parse().unwrap();
    let lines = async |name: &'static str| {
        let lines = pacer.budget(None).await.into_iter().filter(|line| line.endpoint == name);
        lines.map(|l| (l.per, l.limit, l.remaining, l.resets_at.to_string())).collect::<Vec<_>>()
    };
    let noon = noon.to_string();
    assert_eq!(
        lines("GET /users").await,
        [("second", 1, 1, noon.clone()), ("minute", 10, 10, noon.clone()), ("hour", 40, 40, noon)]
    );
    pacer.admit(Endpoint::ListUsers, by(start + MINUTE)).await.unwrap();
    pacer.admit(Endpoint::ListUsers, by(start + MINUTE)).await.unwrap();
    let at = |text: &str| text.to_owned();
    assert_eq!(
        lines("GET /users").await,
        [
            ("second", 1, 0, at("2026-03-13T12:00:02.1Z")),
            ("minute", 10, 8, at("2026-03-13T12:01:00.05Z")),
            ("hour", 40, 38, at("2026-03-13T13:00:00.05Z"))
        ]
    );
    pacer.refused(Endpoint::ListUsers, Duration::from_secs(600), None).await;
    assert!(lines("GET /users").await.iter().all(|(_, _, left, _)| *left == 0));
}

#[test]
fn every_endpoint_has_a_lane_and_only_the_token_is_unlimited() {
    for endpoint in Endpoint::ALL {
        let unlimited =
            |limits: &Limits| Pacer::new(limits).lane(endpoint).unwrap().terms().windows.is_empty();
        assert_eq!(unlimited(&Limits::documented()), endpoint == Endpoint::Token);
        assert!(unlimited(&Limits::unpaced()));
    }
}

#[tokio::test(start_paused = true)]
async fn what_arrives_late_is_counted_when_it_arrived() {
    let (pacer, start, until) = (paced(), Instant::now(), Instant::now() + HOUR);
    let slow = pacer.admit(Endpoint::ListGroups, by(until)).await.unwrap();
    tokio::time::sleep(ms(900)).await;
    drop(slow);
    let _next = pacer.admit(Endpoint::ListGroups, by(until)).await.unwrap();
    assert!(start.elapsed() > ms(1_900), "it may have been counted as late as its answer came");
    assert!(start.elapsed() < ms(2_000), "slower than need be: {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_holds_the_others_up_for_two_seconds_at_most() {
    let (pacer, start, until) = (paced(), Instant::now(), Instant::now() + HOUR);
    let _hangs = pacer.admit(Endpoint::ListGroups, by(until)).await.unwrap();
    let _next = pacer.admit(Endpoint::ListGroups, by(until)).await.unwrap();
    assert!(
        start.elapsed() > ON_ITS_WAY + SECOND && start.elapsed() < ON_ITS_WAY + ms(1_200),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn f15_a_lower_limit_that_a_429_names_is_kept_from_then_on() {
    let (pacer, start, until) = (paced(), Instant::now(), Instant::now() + HOUR);
    let lesson = Window { limit: 2, per: Per::Minute };
    pacer.refused(Endpoint::ListGroups, SECOND, Some(lesson)).await;
    let higher = Window { limit: 9, per: Per::Minute };
    pacer.refused(Endpoint::ListGroups, SECOND, Some(higher)).await;
    for _ in 0..3 {
        pacer.admit(Endpoint::ListGroups, by(until)).await.unwrap();
    }
    assert!(start.elapsed() > SECOND + MINUTE, "{:?}", start.elapsed());
    let budget = pacer.budget(None).await;
    let minute = budget.iter().find(|line| line.endpoint == "GET /groups" && line.per == "minute");
    assert_eq!(minute.map(|line| line.limit), Some(2));
}

#[tokio::test(start_paused = true)]
async fn who_reads_does_not_queue_up_before_who_finishes() {
    let (pacer, start) = (paced(), Instant::now());
    let mut readers = Vec::new();
    for _ in 0..30 {
        let pacer = pacer.clone();
        readers.push(tokio::spawn(async move {
            let left = pacer.admit(Endpoint::ListGroups, by(start + MINUTE)).await.map(drop);
            left.map(|()| start.elapsed())
        }));
    }
    tokio::time::sleep(ms(10)).await;
    pacer.admit(Endpoint::ListGroups, by(start + ms(5_000)).finishing()).await.unwrap();
    assert!(start.elapsed() < ms(3_000), "behind the readers: {:?}", start.elapsed());
    for reader in readers {
        reader.await.unwrap().unwrap();
    }
}
