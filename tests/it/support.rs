//! A sandbox tenant, a store and the use cases over them, in this process.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::SignedDuration;
use zia_mcp::{
    lifecycle::{Lifecycle, Pace, Settings},
    model::{Actor, Channel, Clock},
    sandbox::{Endpoint, LimitPolicy, SandboxOptions, SandboxTenant},
    store::{Store, Trouble},
    zia::{self, Limits, Timeouts, Zia},
};

use crate::place::Place;

/// What a test of the use cases stands on.
#[derive(Clone)]
pub(crate) struct Bench {
    pub(crate) tenant: Arc<SandboxTenant>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) store: Store,
    pub(crate) dir: Arc<Place>,
    ahead: Arc<AtomicI64>,
}

/// How a bench differs from the plain one.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) sandbox: SandboxOptions,
    pub(crate) settings: Settings,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    /// Where the client calls, if not at the tenant itself.
    pub(crate) base_url: Option<String>,
    /// Signs in with another password than the tenant's.
    pub(crate) password: Option<&'static str>,
    /// What befalls the store.
    pub(crate) trouble: Trouble,
    /// Counts the calls of all processes on the store together.
    pub(crate) counted: bool,
}

impl Default for Plan {
    fn default() -> Self {
        let sandbox = SandboxOptions {
            users: 60,
            limits: LimitPolicy::Off,
            edit_lock_hold: Duration::from_millis(20),
            secrets_seed: Some(7),
            ..SandboxOptions::default()
        };
        let timeouts = Timeouts {
            read_pause: Duration::from_millis(5),
            lock_pause: (Duration::from_millis(20), Duration::from_millis(50)),
            ..Timeouts::default()
        };
        let moments = |all: &[u64]| all.iter().copied().map(Duration::from_millis).collect();
        let pace = Pace {
            looks: moments(&[0, 100, 200, 400, 800]),
            sparing_looks: moments(&[0, 200, 800]),
            rounds: moments(&[100, 300, 600, 1_200, 3_000]),
            probe: Duration::from_millis(100),
            turn: Duration::from_millis(100),
        };
        let (settings, limits) = (Settings { pace, ..Settings::default() }, Limits::unpaced());
        let (base_url, password, trouble, counted) = (None, None, Trouble::default(), false);
        Self { sandbox, settings, limits, timeouts, base_url, password, trouble, counted }
    }
}

impl Plan {
    /// The plain plan with so many users.
    pub(crate) fn of_users(users: usize) -> Self {
        let plan = Self::default();
        Self { sandbox: SandboxOptions { users, ..plan.sandbox }, ..plan }
    }
}

impl Bench {
    /// The use cases over a fresh sandbox tenant without limits.
    pub(crate) async fn new() -> Self {
        Self::with(Plan::default()).await
    }

    pub(crate) async fn with(plan: Plan) -> Self {
        let tenant = Arc::new(SandboxTenant::start(plan.sandbox.clone()).await.unwrap());
        Self::over(tenant, Arc::new(Place::new()), Arc::default(), plan).await
    }

    async fn over(tenant: Arc<SandboxTenant>, dir: Arc<Place>, ahead: Arc<AtomicI64>, plan: Plan) -> Self {
        let clock = clock_ahead(ahead.clone());
        let credentials = tenant.settings();
        let zia = zia::Settings::api_key(
            None,
            Some(plan.base_url.as_ref().unwrap_or(&credentials.base_url)),
            &credentials.username,
            plan.password.map_or(credentials.password.clone(), Into::into).into(),
            credentials.api_key.clone().into(),
        );
        let store = Store::open_with(&dir.settings(), clock.clone(), plan.trouble).await.unwrap();
        let mut zia = zia.unwrap().with_limits(plan.limits).with_timeouts(plan.timeouts);
        if plan.counted {
            zia = zia.with_account(Arc::new(store.clone()));
        }
        let zia = Zia::new(zia, clock.clone()).unwrap();
        let lifecycle = Lifecycle::new(zia, store.clone(), plan.settings, clock);
        Self { tenant, lifecycle, store, dir, ahead }
    }

    /// Another process on the same tenant and store.
    pub(crate) async fn beside(&self, plan: Plan) -> Self {
        Self::over(self.tenant.clone(), self.dir.clone(), self.ahead.clone(), plan).await
    }

    /// Another server on the same tenant, with a store of its own.
    pub(crate) async fn elsewhere(&self, plan: Plan) -> Self {
        let dir = Arc::new(Place::new());
        Self::over(self.tenant.clone(), dir, self.ahead.clone(), plan).await
    }

    /// Moves the clocks of server and tenant forward.
    pub(crate) fn pass(&self, time: Duration) {
        // The tenant's first: nothing arrives there before it was recorded here.
        self.tenant.clock().advance(time);
        self.ahead.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Moves the server's clock alone, forward or back.
    pub(crate) fn jump(&self, by: SignedDuration) {
        self.ahead.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Calls that the tenant saw, by endpoint name such as `GET /users`.
    pub(crate) fn calls(&self, endpoint: &str) -> u64 {
        self.tenant.counters().get(endpoint).copied().unwrap_or(0)
    }

    /// Calls that edit the tenant, activations included.
    pub(crate) fn writes(&self) -> u64 {
        use Endpoint::{Activate, BulkDelete, CreateUser, DeleteUser, ReplaceUser};
        [Activate, BulkDelete, CreateUser, DeleteUser, ReplaceUser]
            .iter()
            .map(|e| self.tenant.calls(*e))
            .sum()
    }

    /// Enrols approvers who are not yet.
    pub(crate) async fn enrolled(&self, names: &[&str]) {
        let there = self.store.approvers().await.unwrap();
        for name in names.iter().filter(|name| there.iter().all(|a| a.name != **name)) {
            self.store.enrol(name).await.unwrap();
        }
    }

    /// What an insider with the database file could do.
    pub(crate) async fn raw_sql(&self, sql: &'static str) {
        self.dir.raw_sql(sql).await;
    }
}

/// A server that is killed without a chance to finish anything.
///
/// `work` runs on a runtime of its own until `doomed` comes true, and then all its tasks are gone.
pub(crate) async fn killed<W>(work: W, doomed: impl Future<Output = ()>)
where
    W: Future<Output = ()> + Send + 'static,
{
    let life = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    life.spawn(work);
    doomed.await;
    life.shutdown_background();
}

fn clock_ahead(ahead: Arc<AtomicI64>) -> Clock {
    let system = Clock::system();
    Clock::from_fn(move || system.now() + SignedDuration::from_millis(ahead.load(Ordering::SeqCst)))
}

/// The caller over stdio.
pub(crate) fn local() -> Actor {
    Actor::new("local", "test 1", Channel::Stdio)
}

/// A caller over HTTP.
pub(crate) fn remote(caller: &str) -> Actor {
    Actor::new(caller, "test 1", Channel::Http)
}
