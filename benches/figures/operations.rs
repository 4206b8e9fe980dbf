//! What an operation costs beside the tenant's own time: checks, records and their fsyncs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use zia_mcp::{
    lifecycle::{Answer, DeprovisionUser, INTERACTIVE, Lifecycle, Outcome, Settings},
    model::{Actor, Channel, Clock},
    sandbox::{LimitPolicy, SandboxOptions, SandboxTenant},
    store::{self, Store},
    zia::{self, Deadline, Limits, Zia},
};

use super::{
    stats::{Times, millis, ratio},
    table,
};

/// Users deleted, one after the other.
const DELETED: usize = 200;

pub(crate) fn print() {
    table::head(
        &format!(
            "A deprovision, from the request to `done` ({DELETED} in turn; floor: the tenant's calls alone)"
        ),
        &["what", "50 %", "95 %", "aim", "/ floor"],
    );
    runtime().block_on(measure());
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime")
}

/// The use cases over a tenant without limits.
pub(crate) struct House {
    pub(crate) tenant: SandboxTenant,
    pub(crate) zia: Zia,
    pub(crate) store: Store,
    pub(crate) lifecycle: Lifecycle,
    _dir: TempDir,
}

impl House {
    pub(crate) async fn new(users: usize) -> Self {
        Self::counting(users, true).await
    }

    async fn counting(users: usize, counted: bool) -> Self {
        let options = SandboxOptions { users, limits: LimitPolicy::Off, ..SandboxOptions::default() };
        let tenant = SandboxTenant::start(options).await.expect("a tenant");
        let own = tenant.settings();
        let (password, key) = (own.password.clone().into(), own.api_key.clone().into());
        let settings = zia::Settings::api_key(None, Some(&own.base_url), &own.username, password, key);
        let dir = TempDir::new().expect("a folder");
        let place = store::Settings::embedded(dir.path().join("state"));
        let store = Store::open(&place, Clock::system()).await.expect("a store");
        // Every call is counted, as in the server, though none has to wait.
        let settings = settings.expect("settings").with_limits(Limits::unpaced());
        let settings = if counted { settings.with_account(Arc::new(store.clone())) } else { settings };
        let zia = Zia::new(settings, Clock::system()).expect("a client");
        let lifecycle = Lifecycle::new(zia.clone(), store.clone(), Settings::default(), Clock::system());
        Self { tenant, zia, store, lifecycle, _dir: dir }
    }

    fn calls(&self) -> u64 {
        self.tenant.counters().values().sum()
    }
}

async fn measure() {
    let house = House::new(DELETED + 100).await;
    let (each, times) = delete_all(&house).await;
    // Calls that nobody counts, so that the counting is part of our own.
    let bare = House::counting(1, false).await;
    let floor = floor(&bare.zia, each).await;
    let (whole, floor) = (Times::new(times), Times::new(floor));
    show(&format!("{each} calls of the tenant alone"), &floor, Duration::ZERO, "", floor.median());
    show("the whole", &whole, Duration::ZERO, "", floor.median());
    show(
        "our own part: the whole less the floor's median",
        &whole,
        floor.median(),
        "< 10 ms",
        floor.median(),
    );
    let uncounted = House::counting(DELETED + 100, false).await;
    let uncounted = Times::new(delete_all(&uncounted).await.1);
    show("the same without counting the calls", &uncounted, floor.median(), "", floor.median());
}

/// The calls of each deletion, and how long each took.
async fn delete_all(house: &House) -> (usize, Vec<Duration>) {
    let users = house.tenant.users();
    let plain = users.iter().filter(|u| !u.admin_user && !u.non_editable && u.email.is_ascii());
    let emails: Vec<String> = plain.map(|u| u.email.clone()).take(DELETED).collect();
    let before = house.calls();
    let mut times = Vec::new();
    for email in &emails {
        let start = Instant::now();
        delete(&house.lifecycle, email).await;
        times.push(start.elapsed());
    }
    let each = usize::try_from(house.calls() - before).expect("a count") / emails.len();
    (each, times)
}

async fn delete(lifecycle: &Lifecycle, email: &str) {
    let actor = Actor::new("local", "bench 1", Channel::Stdio);
    let request = DeprovisionUser { user: email.to_owned(), reason: None };
    let begun = lifecycle.deprovision(actor.clone(), request).await.expect("begun");
    let yes = Answer::Accepted(email.to_owned());
    lifecycle.answer(actor, begun.operation.clone(), yes).await.expect("answered");
    let report = lifecycle.wait(&begun.operation, INTERACTIVE).await.expect("a report");
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
}

/// As many calls as one deprovision makes, and nothing else.
async fn floor(zia: &Zia, calls: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..DELETED {
        let start = Instant::now();
        for _ in 0..calls {
            zia.status(Deadline::after(INTERACTIVE)).await.expect("a status");
        }
        times.push(start.elapsed());
    }
    times
}

fn show(name: &str, times: &Times, less: Duration, aim: &str, floor: Duration) {
    let [p50, p95] = [50, 95].map(|per_cent| times.percentile(per_cent).saturating_sub(less));
    let ratio = ratio(p50.as_secs_f64(), floor.as_secs_f64());
    table::row(&[name, &millis(p50), &millis(p95), aim, &ratio]);
}
