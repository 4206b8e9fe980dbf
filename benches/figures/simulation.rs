//! 2,000 leavers and 2,000 joiners within ZIA's limits, on a paused clock.
//!
//! The turns come out of the server's own code: two processes with a turnstile each, on one account
//! that does the same arithmetic as the store's. The tenant is a counter of the documented windows. The
//! order of calls is a model of what the use cases make, since real HTTP does not run on a paused clock;
//! the call counts in the tests hold the model to the code.

mod account;
mod baselines;
mod tenant;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep};
use zia_mcp::{
    model::Clock,
    zia::{Deadline, Limits, MAX_BULK, Turnstile},
};

use self::{account::Ledger, tenant::Tenant};
use super::table;

/// People who leave, and people who join.
const LEAVERS: usize = 2_000;
const JOINERS: usize = 2_000;

/// Pages of the tenant's list of users: it has some 5,000.
const PAGES: usize = 1;

/// From the departure of a call to its answer; it is counted half-way.
const ROUND_TRIP: Duration = Duration::from_millis(150);

/// How long writes are gathered for one activation.
const WAVE: Duration = Duration::from_secs(60);

/// The longest wait for a turn.
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// How a schedule went.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    took: Duration,
    calls: u64,
    refused: u64,
}

pub(crate) fn print() {
    let ours = paused(run());
    let (best, naive) = (baselines::best(LEAVERS, JOINERS), baselines::naive(LEAVERS, JOINERS));
    table::head(
        &format!(
            "{LEAVERS} leavers and {JOINERS} joiners, every documented window enforced (simulated: a model of the calls, the \
             real turns; {} ms a call)",
            ROUND_TRIP.as_millis()
        ),
        &["schedule", "hours", "calls", "429s", "of the best", "naive / this", "aim"],
    );
    let row = |name: &str, outcome: Outcome, aim: &str| {
        let hours = outcome.took.as_secs_f64() / 3_600.0;
        table::row(&[
            name,
            &format!("{hours:.2}"),
            &outcome.calls.to_string(),
            &outcome.refused.to_string(),
            &format!("{:.1} %", 100.0 * best.took.as_secs_f64() / outcome.took.as_secs_f64()),
            &format!("{:.0}×", naive.took.as_secs_f64() / outcome.took.as_secs_f64()),
            aim,
        ]);
    };
    row("the best that the limits allow, answers taking no time", best, "");
    row("this server, two processes on one store", ours, "≥ 95 %, ≥ 40×, no 429");
    row("naive: a list, the write and an activation for each user, as fast as the limits allow", naive, "");
}

fn paused<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(work)
}

/// A process of the server.
struct Server {
    turnstile: Turnstile,
    tenant: Arc<Tenant>,
    /// One write at a time, as the edit lock wants it.
    writing: tokio::sync::Mutex<()>,
}

impl Server {
    fn new(tenant: &Arc<Tenant>, ledger: &Arc<Ledger>, clock: &Clock) -> Arc<Self> {
        let turnstile = Turnstile::new(&Limits::documented(), "tenant", Some(ledger.clone()), clock.clone());
        Arc::new(Self { turnstile, tenant: tenant.clone(), writing: tokio::sync::Mutex::default() })
    }

    /// A call in its turn.
    async fn call(&self, endpoint: &'static str) {
        let turn = Deadline::after(DAY).finishing();
        let departure = self.turnstile.pass(endpoint, turn).await.expect("a turn within the day");
        sleep(ROUND_TRIP / 2).await;
        self.tenant.count(endpoint);
        sleep(ROUND_TRIP / 2).await;
        departure.answered().await;
    }
}

/// What waits for activation, shared by the processes.
#[derive(Default)]
struct Staged {
    written: AtomicU64,
    ended: AtomicU64,
}

/// The day begins when the simulation does, and passes with its clock.
fn clock() -> Clock {
    let (start, noon) = (Instant::now(), Timestamp::from_second(1_800_000_000).expect("a time"));
    Clock::from_fn(move || noon + SignedDuration::try_from(start.elapsed()).expect("some hours"))
}

async fn run() -> Outcome {
    let (start, clock) = (Instant::now(), clock());
    let (tenant, ledger) = (Arc::new(Tenant::default()), Arc::new(Ledger::new(clock.clone())));
    let staged = Arc::new(Staged::default());
    let [for_leavers, for_joiners] = [(), ()].map(|()| Server::new(&tenant, &ledger, &clock));
    let work = [
        tokio::spawn(leave(for_leavers.clone(), staged.clone())),
        tokio::spawn(join(for_joiners.clone(), staged.clone())),
    ];
    let publishing = tokio::spawn(publish(for_joiners, staged));
    for task in work {
        task.await.expect("no panic");
    }
    publishing.await.expect("no panic");
    let (calls, refused) = tenant.counted();
    Outcome { took: start.elapsed(), calls, refused }
}

/// Operations on up to 500 leavers each: captured from the list, checked, deleted, verified by the list.
async fn leave(server: Arc<Server>, staged: Arc<Staged>) {
    let mut left = LEAVERS;
    while left > 0 {
        let chunk = left.min(MAX_BULK);
        list(&server).await;
        let turn = server.writing.lock().await;
        list(&server).await;
        server.call("GET /status").await;
        server.call("POST /users/bulkDelete").await;
        drop(turn);
        list(&server).await;
        staged.written.fetch_add(chunk as u64, Ordering::SeqCst);
        left -= chunk;
    }
    staged.ended.fetch_add(1, Ordering::SeqCst);
}

async fn list(server: &Server) {
    for _ in 0..PAGES {
        server.call("GET /users").await;
    }
}

/// Each joiner is one call: the index knows that the address is free, and ZIA's answer verifies.
async fn join(server: Arc<Server>, staged: Arc<Staged>) {
    for _ in 0..JOINERS {
        let _turn = server.writing.lock().await;
        server.call("POST /users").await;
        staged.written.fetch_add(1, Ordering::SeqCst);
    }
    staged.ended.fetch_add(1, Ordering::SeqCst);
}

/// One activation for each wave of writes, read back, until everything is live.
async fn publish(server: Arc<Server>, staged: Arc<Staged>) {
    let mut live = 0;
    while live < (LEAVERS + JOINERS) as u64 {
        let written = || staged.written.load(Ordering::SeqCst);
        if written() == live {
            sleep(Duration::from_secs(1)).await;
            continue;
        }
        // Others' changes are looked for before the first write of a wave.
        server.call("GET /status").await;
        let end = Instant::now() + WAVE;
        while Instant::now() < end && staged.ended.load(Ordering::SeqCst) < 2 {
            sleep(Duration::from_secs(1)).await;
        }
        let covered = written();
        server.call("POST /status/activate").await;
        server.call("GET /status").await;
        live = covered;
    }
}
