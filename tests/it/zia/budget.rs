//! The client on an account that other processes share (F3, F7, F15, I9).

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use tempfile::TempDir;
use zia_mcp::{
    model::{Clock, UserId, Write},
    store::{self, Mishap, Step, Store, StoreError, Trouble},
    zia::{Deadline, Error, Kind, Landed, Limits, ListQuery, Zia},
};

use super::tenant::{Answer, Tenant, active, json, permit, reply, soon};

const STATUS: &str = "GET /api/v1/status";
const GROUPS: &str = "GET /api/v1/groups";
const DELETE: &str = "DELETE /api/v1/users/7";

struct Shared {
    dir: TempDir,
}

impl Shared {
    fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    fn settings(&self) -> store::Settings {
        store::Settings::embedded(self.dir.path().join("state"))
    }

    async fn store(&self, trouble: Trouble) -> Store {
        Store::open_with(&self.settings(), Clock::system(), trouble).await.unwrap()
    }

    /// A process of its own on the store, without paces of its own to hide behind.
    async fn process(&self, tenant: &Tenant) -> Zia {
        on(tenant, self.store(Trouble::default()).await)
    }
}

fn on(tenant: &Tenant, store: Store) -> Zia {
    tenant.client_with(|s| s.with_limits(Limits::documented()).with_account(Arc::new(store)))
}

async fn delete(zia: &Zia) -> Result<(), Error> {
    zia.delete_user(&permit(Write::DeleteUser(UserId::new(7).unwrap())), soon()).await
}

/// Answers 429 to the first call of a kind.
async fn refusing_once(call: &'static str, answer: impl Fn() -> Answer + Send + Sync + 'static) -> Tenant {
    Tenant::signing_in(move |seen| match seen.nth {
        0 if seen.call == call => answer(),
        _ if seen.call == GROUPS => json(200, "[]"),
        _ => active(),
    })
    .await
}

fn retry_at(error: &Error) -> SignedDuration {
    let Kind::RateLimited { retry_at } = error.kind else { panic!("{error}") };
    retry_at.duration_since(Clock::system().now())
}

#[tokio::test]
async fn f15_every_form_of_a_429_closes_the_endpoint_for_every_process_at_once() {
    let plain = "content-type: application/json\r\n";
    let then = u64::try_from(Clock::system().now().as_second() + 300).unwrap();
    let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(then));
    for (headers, body, seconds) in [
        (format!("{plain}retry-after: 300\r\n"), "{}", 300),
        (format!("{plain}Retry-After: 300s\r\n"), "{}", 300),
        (format!("{plain}retry-after: {date}\r\n"), "{}", 300),
        (plain.into(), r#"{"message":"Rate Limit (2/SECOND) exceeded","Retry-After":"5 minutes"}"#, 300),
        (format!("{plain}x-ratelimit-reset: 300\r\n"), "", 300),
        (format!("{plain}retry-after: 1\r\n"), r#"{"Retry-After":"300 seconds"}"#, 300),
        (format!("{plain}retry-after: 1000000000\r\n"), "{}", 3_600),
    ] {
        let (shared, answer) = (Shared::new(), headers.clone());
        let tenant = refusing_once(STATUS, move || reply(429, &answer, body.as_bytes())).await;
        let (ours, theirs) = (shared.process(&tenant).await, shared.process(&tenant).await);
        theirs.sign_in(soon()).await.unwrap();
        for zia in [&ours, &theirs, &shared.process(&tenant).await] {
            let wait = retry_at(&zia.status(soon()).await.unwrap_err());
            assert!((wait.as_secs() - seconds).abs() <= 30, "{headers:?} {body}: {wait:?}");
        }
        assert_eq!(tenant.count(STATUS), 1, "{headers:?} {body}");
    }
}

#[tokio::test]
async fn f15_our_own_traffic_causes_no_second_429_of_the_same_kind() {
    // A tenant that allows two lists of groups a minute, where the documents say one a second.
    let told = r#"{"message":"Rate Limit (2/MINUTE) exceeded","Retry-After":"1 seconds"}"#;
    let tenant = Tenant::signing_in(move |seen| match seen.nth {
        0 | 1 => json(200, "[]"),
        _ => json(429, told),
    })
    .await;
    let shared = Shared::new();
    let (ours, theirs) = (shared.process(&tenant).await, shared.process(&tenant).await);
    let groups = async |zia: &Zia| zia.groups(&ListQuery::default(), soon()).await.map(drop);
    groups(&ours).await.unwrap();
    groups(&theirs).await.unwrap();
    for zia in [&ours, &theirs, &shared.process(&tenant).await] {
        assert!(retry_at(&groups(zia).await.unwrap_err()) > SignedDuration::from_secs(20));
    }
    assert_eq!(tenant.count(GROUPS), 3);
    let budget = theirs.budget().await;
    let minute = budget.iter().find(|l| l.endpoint == "GET /groups" && l.per == "minute").unwrap();
    assert_eq!((minute.limit, minute.remaining), (2, 0));
}

#[tokio::test]
async fn a_new_process_knows_what_earlier_ones_used() {
    let (tenant, shared) = (Tenant::signing_in(|_| active()).await, Shared::new());
    let zia = shared.process(&tenant).await;
    for _ in 0..3 {
        zia.status(soon()).await.unwrap();
    }
    drop(zia);
    let next = shared.process(&tenant).await.budget().await;
    let hour = next.iter().find(|l| l.endpoint == "GET /status" && l.per == "hour").unwrap();
    assert_eq!((hour.limit, hour.remaining), (1000, 997));
}

#[tokio::test]
async fn f3_with_a_broken_store_reading_goes_on_and_nothing_is_written() {
    let (tenant, shared) = (Tenant::signing_in(|_| active()).await, Shared::new());
    let unfit = Store::unfit(&shared.settings(), StoreError::Corrupt, Clock::system()).unwrap();
    let zia = on(&tenant, unfit);
    // Two a second would be ZIA's limit; blind to the others it is a quarter, at least one.
    let start = std::time::Instant::now();
    for _ in 0..3 {
        zia.status(soon()).await.unwrap();
    }
    assert!(start.elapsed() > Duration::from_secs(2), "{:?}", start.elapsed());
    let error = delete(&zia).await.unwrap_err();
    assert_eq!((error.kind, error.landed, error.attempts), (Kind::Unaccounted, Landed::No, 0));
    assert_eq!(tenant.count(DELETE), 0);
}

#[tokio::test]
async fn f7_a_write_that_cannot_be_counted_is_not_sent_and_one_that_can_is() {
    let (tenant, shared) = (Tenant::signing_in(|_| json(200, "")).await, Shared::new());
    let broken = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let trouble = Trouble::planned({
        let broken = broken.clone();
        move |step| {
            let hit = step == Step::Count && broken.load(std::sync::atomic::Ordering::SeqCst);
            hit.then_some(Mishap::NotDone)
        }
    });
    let zia = on(&tenant, shared.store(trouble).await);
    assert_eq!(delete(&zia).await.unwrap_err().kind, Kind::Unaccounted);
    assert_eq!(tenant.count(DELETE), 0);
    broken.store(false, std::sync::atomic::Ordering::SeqCst);
    delete(&zia).await.unwrap();
    assert_eq!(tenant.count(DELETE), 1);
}

#[tokio::test]
async fn i9_two_clients_on_one_store_keep_one_pace() {
    let (tenant, shared) = (Tenant::signing_in(|_| json(200, "[]")).await, Shared::new());
    let (ours, theirs) = (shared.process(&tenant).await, shared.process(&tenant).await);
    let until = || Deadline::after(Duration::from_secs(30));
    let start = std::time::Instant::now();
    let query = ListQuery::default();
    for _ in 0..2 {
        let (a, b) = tokio::join!(ours.groups(&query, until()), theirs.groups(&query, until()));
        a.and(b).unwrap();
    }
    assert!(start.elapsed() > Duration::from_secs(3), "{:?}", start.elapsed());
}
