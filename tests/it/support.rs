//! A sandbox tenant, a store and the use cases over them, in this process.

use std::{sync::Arc, time::Duration};

use tempfile::TempDir;
use zia_mcp::{
    lifecycle::{Lifecycle, Settings},
    model::{Actor, Channel, Clock},
    sandbox::{LimitPolicy, SandboxOptions, SandboxTenant},
    store::{self, Store},
    zia::{self, Limits, Zia},
};

/// What a test of the use cases stands on.
pub(crate) struct Bench {
    pub(crate) tenant: SandboxTenant,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) store: Store,
    pub(crate) dir: Arc<TempDir>,
}

/// How a bench differs from the plain one.
pub(crate) struct Plan {
    pub(crate) sandbox: SandboxOptions,
    pub(crate) settings: Settings,
    pub(crate) limits: Limits,
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
        Self { sandbox, settings: Settings::default(), limits: Limits::unpaced() }
    }
}

impl Bench {
    /// The use cases over a fresh sandbox tenant without limits.
    pub(crate) async fn new() -> Self {
        Self::with(Plan::default()).await
    }

    pub(crate) async fn with(plan: Plan) -> Self {
        let tenant = SandboxTenant::start(plan.sandbox).await.unwrap();
        let dir = Arc::new(TempDir::new().unwrap());
        Self::over(tenant, dir, plan.settings, plan.limits).await
    }

    pub(crate) async fn over(
        tenant: SandboxTenant,
        dir: Arc<TempDir>,
        settings: Settings,
        limits: Limits,
    ) -> Self {
        let credentials = tenant.settings();
        let clock = Clock::system();
        let zia = zia::Settings::api_key(
            None,
            Some(&credentials.base_url),
            &credentials.username,
            credentials.password.clone().into(),
            credentials.api_key.clone().into(),
        );
        let zia = Zia::new(zia.unwrap().with_limits(limits), clock.clone()).unwrap();
        let store = store::Settings { state_dir: dir.path().join("state"), key_file: None };
        let store = Store::open(&store, clock.clone()).await.unwrap();
        let lifecycle = Lifecycle::new(zia, store.clone(), settings, clock);
        Self { tenant, lifecycle, store, dir }
    }

    /// Calls that the tenant saw, by endpoint name such as `GET /users`.
    pub(crate) fn calls(&self, endpoint: &str) -> u64 {
        self.tenant.counters().get(endpoint).copied().unwrap_or(0)
    }
}

/// The caller over stdio.
pub(crate) fn local() -> Actor {
    Actor { caller: "local".into(), client: "test 1".into(), channel: Channel::Stdio }
}
