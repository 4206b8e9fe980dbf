//! Puts the rooms together.

mod settings;

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Exit, General, TenantChoice, checkpoints::Keeper};
use crate::{
    config::{Config, Env, Flags},
    lifecycle::{Lifecycle, Policy, Records},
    model::{CallAccount, Clock},
    sandbox::{SandboxOptions, SandboxTenant},
    store::{self, Store, StoreError},
    telemetry::{self, Traces},
    zia::{self, Zia},
};
pub(super) use settings::{http_options, sandbox_settings};
use settings::{lifecycle_settings, with_extra_ca, zia_settings};

/// The caller behind the one static token of the HTTP server.
pub(super) const HTTP_CALLER: &str = "http";

/// How often operations that nobody carries on are looked for.
const RECOVER_EVERY: Duration = Duration::from_secs(10);

/// How often it is looked whether somebody approved an operation out of band.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long the database may take to close.
const CLOSE: Duration = Duration::from_secs(1);

/// How often captures that are kept no longer are looked for.
const PURGE_EVERY: Duration = Duration::from_hours(1);

/// How long after the start the index of users is looked after.
const INDEX_AFTER: Duration = Duration::from_secs(3);

/// How long the end of a session may take.
const SIGN_OUT: Duration = Duration::from_secs(1);

/// What a command works with.
pub(super) struct Wired {
    pub(super) config: Config,
    pub(super) lifecycle: Lifecycle,
    tenant: Tenant,
    background: Vec<tokio::task::JoinHandle<()>>,
    checkpoints: Keeper,
    store: Store,
    traces: Option<Traces>,
    _log: telemetry::Guard,
}

/// A tenant, real or embedded.
pub(super) struct Tenant {
    pub(super) zia: Zia,
    sandbox: Option<SandboxTenant>,
}

impl Wired {
    /// Reads the settings, opens the store, takes up what was left behind.
    pub(super) async fn start(
        general: &General,
        choice: &TenantChoice,
        read_only: bool,
    ) -> Result<Self, Exit> {
        let config = config(general, choice.sandbox)?;
        let log = telemetry(general, Some(&config))?;
        let traces = config.traces.as_ref().map(Traces::start).transpose().map_err(Exit::config)?;
        let prepared = Prepared::new(&config, choice).await?;
        let store = open_or_unfit(&config).await?;
        let tenant = prepared.tenant(Some(Arc::new(store.clone())))?;
        let settings = lifecycle_settings(&config, read_only);
        let checkpoints = Keeper::start(store.clone(), config.checkpoint_file.clone());
        let records = Records::new(store.clone(), store.clock());
        let lifecycle = Lifecycle::new(tenant.zia.clone(), store.clone(), settings, store.clock());
        recover(&lifecycle).await;
        let mut background = vec![tokio::spawn(keep_recovering(lifecycle.clone()))];
        background.extend(config.capture_days.map(|days| tokio::spawn(keep_purging(records, days))));
        Ok(Self { config, lifecycle, tenant, background, checkpoints, store, traces, _log: log })
    }

    /// Keeps the index of users filled from now on, unless that is switched off or there is no store.
    pub(super) fn keep_index(&mut self) {
        if self.config.index.enabled && self.lifecycle.unfit().is_none() {
            let lifecycle = self.lifecycle.clone();
            self.background.push(tokio::spawn(async move {
                // Whoever starts the server has something to ask: that goes first.
                tokio::time::sleep(INDEX_AFTER).await;
                lifecycle.keep_index().await;
            }));
        }
    }

    /// Lets running operations end, signs out where that is safe, and ends an embedded tenant.
    pub(super) async fn stop(self, grace: Duration) {
        self.background.iter().for_each(|task| task.abort());
        self.lifecycle.drain(grace).await;
        // Signing out is a courtesy: the session ends by itself too.
        let _ = tokio::time::timeout(SIGN_OUT, self.lifecycle.sign_out()).await;
        self.checkpoints.stop().await;
        // What is still in the log of the database comes into the database itself.
        let _ = tokio::time::timeout(CLOSE, self.store.close()).await;
        self.tenant.stop().await;
        if let Some(traces) = self.traces {
            traces.end().await;
        }
    }
}

/// Takes up what other processes leave behind while this one runs, and what is approved out of band.
pub(super) async fn keep_recovering(lifecycle: Lifecycle) {
    let mut due = Instant::now() + RECOVER_EVERY;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let approved = lifecycle.unfit().is_none() && lifecycle.has_unclaimed().await.unwrap_or(false);
        if approved || Instant::now() >= due {
            recover(&lifecycle).await;
            due = Instant::now() + RECOVER_EVERY;
        }
    }
}

/// A store that fails is no reason to end: reading goes on, and every writing tool says why it does not.
async fn recover(lifecycle: &Lifecycle) {
    if lifecycle.unfit().is_some() {
        return;
    }
    if let Err(error) = lifecycle.recover().await {
        tracing::warn!(%error, "operations left behind could not be looked at");
    }
    if let Err(error) = lifecycle.records().expire_passwords().await {
        tracing::warn!(%error, "passwords that nobody asked for could not be destroyed");
    }
}

/// Purges captures that are kept no longer, at once and then every hour.
async fn keep_purging(records: Records, days: u32) {
    loop {
        match records.purge_older_than(days).await {
            Ok(purged) if purged.captures > 0 => {
                tracing::info!(captures = purged.captures, log_cleared = purged.log_cleared, "purged by age");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "captures could not be purged by age"),
        }
        tokio::time::sleep(PURGE_EVERY).await;
    }
}

/// How to reach a tenant, and the embedded one if that is it.
pub(super) struct Prepared {
    settings: zia::Settings,
    sandbox: Option<SandboxTenant>,
}

impl Prepared {
    /// Reads how to reach the tenant; an embedded one is started.
    pub(super) async fn new(config: &Config, choice: &TenantChoice) -> Result<Self, Exit> {
        let mut sandbox = None;
        let settings = match &config.tenant {
            Some(tenant) => with_extra_ca(zia_settings(tenant)?, config)?,
            None => {
                let options = SandboxOptions { users: choice.sandbox_users, ..SandboxOptions::default() };
                let started = SandboxTenant::start(options).await.map_err(Exit::unavailable)?;
                sandbox_settings(sandbox.insert(started))?
            }
        };
        Ok(Self { settings: settings.with_limits(config.limits.clone()), sandbox })
    }

    /// The tenant, with its calls counted on an account that others share, or by this process alone.
    pub(super) fn tenant(self, account: Option<Arc<dyn CallAccount>>) -> Result<Tenant, Exit> {
        let settings = match account {
            Some(account) => self.settings.with_account(account),
            None => self.settings,
        };
        let zia = Zia::new(settings, clock()).map_err(Exit::config)?;
        Ok(Tenant { zia, sandbox: self.sandbox })
    }
}

impl Tenant {
    pub(super) async fn stop(self) {
        if let Some(sandbox) = self.sandbox {
            sandbox.shutdown().await;
        }
    }
}

/// The settings: flags, environment, file.
pub(super) fn config(general: &General, sandbox: bool) -> Result<Config, Exit> {
    let flags = Flags {
        config: general.config.clone(),
        state_dir: general.state_dir.clone(),
        log: general.log.clone(),
        sandbox,
        ..Flags::default()
    };
    Config::load(&Env::from_process(), &flags).map_err(Exit::config)
}

/// Starts logging; without settings at the level of the command line.
pub(super) fn telemetry(general: &General, config: Option<&Config>) -> Result<telemetry::Guard, Exit> {
    let level = match (config, &general.log) {
        (Some(config), _) => config.log,
        (None, Some(text)) => {
            text.parse().map_err(|()| Exit::config("--log: expected error, warn, info, debug or trace"))?
        }
        (None, None) => telemetry::Level::default(),
    };
    Ok(telemetry::init(level, telemetry::Shape::of_stderr()))
}

/// The records of the store, for reading at the terminal; no tenant is needed.
pub(super) async fn records(general: &General) -> Result<Records, Exit> {
    Ok(records_and_policy(general).await?.0)
}

/// The same, with the operator's rules.
pub(super) async fn records_and_policy(general: &General) -> Result<(Records, Policy), Exit> {
    let config = config(general, true)?;
    let _log = telemetry(general, Some(&config))?;
    let policy = lifecycle_settings(&config, false).policy;
    let store = open(&config).await?;
    let clock = store.clock();
    Ok((Records::new(store, clock), policy))
}

/// The one clock of the process.
pub(super) fn clock() -> Clock {
    Clock::system()
}

pub(super) fn store_settings(config: &Config) -> store::Settings {
    store::Settings {
        state_dir: config.state_dir.clone(),
        key_file: config.key_file.clone(),
        database: config.database.clone(),
    }
}

/// A store that is only read, and not made or changed where it is missing or old.
pub(super) async fn open_to_read(config: &Config) -> Result<Store, store::StoreError> {
    Store::open_to_read(&store_settings(config), clock()).await
}

/// The store, made where there is none.
pub(super) async fn open(config: &Config) -> Result<Store, Exit> {
    Store::open(&store_settings(config), clock()).await.map_err(unopened)
}

/// The store; or a handle that only says why there is none, with which reading goes on (F3, F4, F46).
///
/// A store that others can read, and one of a newer version, still end the start.
async fn open_or_unfit(config: &Config) -> Result<Store, Exit> {
    let settings = store_settings(config);
    match Store::open(&settings, clock()).await {
        Ok(store) => Ok(store),
        Err(error @ (StoreError::Insecure { .. } | StoreError::NewerSchema)) => Err(unopened(error)),
        // A server out of reach comes back by itself: whoever started this process starts it again.
        Err(error @ StoreError::Unavailable(_)) if settings.database.is_some() => Err(unopened(error)),
        Err(reason) => {
            tracing::error!(%reason, "the store cannot be used: only reading tools are offered until it is mended and the server restarted");
            Store::unfit(&settings, reason, clock()).map_err(Exit::unavailable)
        }
    }
}

/// How a command ends that needs a store and has none.
pub(super) fn unopened(error: StoreError) -> Exit {
    match error {
        StoreError::Insecure { .. } | StoreError::WrongKey | StoreError::Unfit(_) => Exit::config(error),
        other => Exit::unavailable(other),
    }
}
