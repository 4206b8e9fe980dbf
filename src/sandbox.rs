//! The sandbox tenant: a ZIA tenant in a box.
//!
//! It answers the vendor's paths over real HTTP on loopback, with the vendor's statuses, bodies,
//! limits, staging and edit lock (zia-facts), so that a client can be rehearsed and tested
//! against it, and goes wrong in named ways when told to. It shares nothing with the client in
//! this crate: a wrong field name fails a test instead of agreeing with itself.
//!
//! A call comes in at `gate`, where faults, session, limits and locks have their say, and is
//! carried out on the one `Tenant`. [`SandboxTenant`] is the handle on both, for tests in the
//! same process.
//!
//! # Control paths
//!
//! Whoever runs the tenant as a process of its own steers it over HTTP, under `/_sandbox`.
//! They are no part of ZIA, need no session, count against no limit and are not in the journal.
//! Bodies and answers are JSON; a refused request answers 400 with `{"error": …}`. A request with
//! an `Origin` header, as a web page sends it, is refused.
//!
//! | call | does |
//! |---|---|
//! | `GET /_sandbox` | status, staged changes, sessions, edit lock, clock, users |
//! | `GET /_sandbox/journal?since=SEQ` | every call after number SEQ |
//! | `DELETE /_sandbox/journal` | forgets calls and counters |
//! | `GET /_sandbox/counters` | calls by endpoint, such as `"GET /users": 3` |
//! | `GET /_sandbox/users?view=live` | all users, staged (default) or live |
//! | `GET /_sandbox/users/ID?view=live` | one user; 404 if there is none |
//! | `GET /_sandbox/faults` | the faults that are on |
//! | `PUT /_sandbox/faults/NAME` | switches a fault on: its parameters, and `endpoint`, `skip`, `count` |
//! | `DELETE /_sandbox/faults[/NAME]` | switches one off, or all |
//! | `POST /_sandbox/foreign/stage` | another administrator stages a change that concerns no user |
//! | `POST /_sandbox/foreign/create` | another administrator creates `{"user": {…}, "staged": false}` |
//! | `POST /_sandbox/foreign/change` | … changes fields: `{"id": 1, "user": {…}, "staged": false}` |
//! | `POST /_sandbox/foreign/delete` | … deletes: `{"id": 1, "staged": false}` |
//! | `POST /_sandbox/foreign/rename` | … gives a group or department another name: `{"id": 1, "user": {"name": "…"}}` |
//! | `POST /_sandbox/foreign/activate` | … publishes everything that is staged |
//! | `PUT /_sandbox/edit_lock` | … holds the edit lock: `{"ms": 5000}`, or for good |
//! | `DELETE /_sandbox/edit_lock` | … releases it |
//! | `DELETE /_sandbox/sessions` | ends all sessions and tokens |
//! | `PUT /_sandbox/limits` | `{"policy": "documented"}`, `"off"` or `{"times": 10}` |
//! | `DELETE /_sandbox/limits` | forgets the calls counted so far |
//! | `POST /_sandbox/clock` | `{"advance_ms": 300000}` |
//! | `PUT /_sandbox/client_key` | the public key of the OneAPI client: `{"pem": "…"}` |

mod admin;
mod assertion;
mod call;
mod clock;
mod control;
mod credentials;
mod directory_pages;
mod endpoint;
mod faults;
mod gate;
mod journal;
mod lag;
mod limits;
mod oneapi;
mod options;
mod org;
mod paging;
mod replies;
mod seed;
mod session;
mod staging;
mod status;
mod table;
mod tenant;
mod user;
mod user_input;
mod user_writes;
mod users;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use admin::{OtherAdmin, OtherAdminError};
pub use clock::SandboxClock;
pub use credentials::SandboxCredentials;
pub use endpoint::Endpoint;
pub use faults::{Fault, FaultRule};
pub use journal::JournalEntry;
pub use options::{LimitPolicy, SandboxOptions};
pub use org::NamedId;
pub use staging::StagedChange;
pub use user::SandboxUser;

use tenant::{Shared, Tenant};
use wire::{Cut, WireListener};

/// A running sandbox tenant; it stops when this is dropped.
pub struct SandboxTenant {
    address: SocketAddr,
    credentials: SandboxCredentials,
    shared: Shared,
    server: Option<JoinHandle<()>>,
}

impl SandboxTenant {
    /// Seeds a tenant and serves it from a task of its own.
    ///
    /// # Errors
    /// The address is not loopback or cannot be bound.
    pub async fn start(options: SandboxOptions) -> io::Result<Self> {
        if !options.listen.ip().is_loopback() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the sandbox tenant serves loopback only",
            ));
        }
        let inner = TcpListener::bind(options.listen).await?;
        let address = inner.local_addr()?;
        let credentials = SandboxCredentials::draw(address, options.secrets_seed);
        let signs_in = credentials.clone();
        let tenant = tokio::task::spawn_blocking(|| Tenant::new(options, signs_in)).await?;
        let shared = Shared::new(tenant);
        let server = tokio::spawn(serve(inner, shared.clone()));
        Ok(Self { address, credentials, shared, server: Some(server) })
    }

    /// The address it serves on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`.
    pub fn base_url(&self) -> String {
        self.credentials.base_url.clone()
    }

    /// What a client needs to sign in.
    pub fn settings(&self) -> SandboxCredentials {
        self.credentials.clone()
    }

    /// The clock that sessions and limits run on.
    pub fn clock(&self) -> SandboxClock {
        self.shared.lock().options.clock.clone()
    }

    /// The switches of the faults.
    pub fn faults(&self) -> Faults {
        Faults(self.shared.clone())
    }

    /// Another administrator of the tenant.
    pub fn other_admin(&self) -> OtherAdmin {
        OtherAdmin(self.shared.clone())
    }

    /// Every call received, the oldest first; the last 100,000 are kept.
    pub fn journal(&self) -> Vec<JournalEntry> {
        self.shared.lock().journal.since(0)
    }

    /// How many calls there were by endpoint, such as `DELETE /users/{id}`.
    pub fn counters(&self) -> BTreeMap<String, u64> {
        self.shared.lock().journal.counters()
    }

    /// How many calls there were of one endpoint.
    pub fn calls(&self, endpoint: Endpoint) -> u64 {
        self.counters().get(endpoint.name()).copied().unwrap_or_default()
    }

    /// Waits until at least `count` calls of an endpoint have arrived, answered or not.
    pub async fn arrived(&self, endpoint: Endpoint, count: u64) {
        loop {
            let arrival = self.shared.arrival.notified();
            if self.calls(endpoint) >= count {
                return;
            }
            arrival.await;
        }
    }

    /// Forgets journal and counters; the numbers in the journal go on.
    pub fn clear_journal(&self) {
        self.shared.lock().journal.clear();
    }

    /// All users in name order, with staged changes, as `GET /users` shows them.
    pub fn users(&self) -> Vec<SandboxUser> {
        let tenant = self.shared.lock();
        tenant.users.iter().map(|row| tenant.shown(row)).collect()
    }

    /// All users as they are live, in no order.
    pub fn live_users(&self) -> Vec<SandboxUser> {
        let tenant = self.shared.lock();
        tenant.live_users().iter().map(|row| tenant.shown(row)).collect()
    }

    /// A user with staged changes.
    pub fn user(&self, id: u64) -> Option<SandboxUser> {
        let tenant = self.shared.lock();
        tenant.users.get(id).map(|row| tenant.shown(&row))
    }

    /// A user as it is live.
    pub fn live_user(&self, id: u64) -> Option<SandboxUser> {
        let tenant = self.shared.lock();
        tenant.live_user(id).map(|row| tenant.shown(&row))
    }

    /// A user by e-mail address, whatever its case, with staged changes.
    pub fn user_by_email(&self, email: &str) -> Option<SandboxUser> {
        let tenant = self.shared.lock();
        tenant.users.by_email(email).map(|row| tenant.shown(&row))
    }

    /// What a user who was created through the API signs in with.
    pub fn password_of(&self, id: u64) -> Option<String> {
        self.shared.lock().passwords.get(&id).cloned()
    }

    /// The groups, in name order.
    pub fn groups(&self) -> Vec<NamedId> {
        let tenant = self.shared.lock();
        tenant.org.groups.iter().map(|unit| NamedId { id: unit.id, name: unit.name.clone() }).collect()
    }

    /// The departments, in name order.
    pub fn departments(&self) -> Vec<NamedId> {
        let tenant = self.shared.lock();
        tenant.org.departments.iter().map(|unit| NamedId { id: unit.id, name: unit.name.clone() }).collect()
    }

    /// The changes that wait for activation, the oldest first.
    pub fn staged_changes(&self) -> Vec<StagedChange> {
        self.shared.lock().staging.changes().to_vec()
    }

    /// Ends every session and token; what was staged with them goes live (zia-facts §4).
    pub fn expire_sessions(&self) {
        self.shared.lock().end_all_sessions();
    }

    /// Sets how far the documented limits are kept.
    pub fn set_limits(&self, policy: LimitPolicy) {
        self.shared.lock().options.limits = policy;
    }

    /// Forgets the calls that were counted against the limits.
    pub fn reset_limits(&self) {
        self.shared.lock().limits.reset();
    }

    /// Stops serving: open calls are broken off, the port is free afterwards.
    pub async fn shutdown(mut self) {
        self.shared.closing.cancel();
        if let Some(server) = self.server.take() {
            let _ = server.await;
        }
    }
}

impl Drop for SandboxTenant {
    fn drop(&mut self) {
        self.shared.closing.cancel();
    }
}

impl std::fmt::Debug for SandboxTenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SandboxTenant").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The switches of the faults of one tenant.
#[derive(Clone)]
pub struct Faults(Shared);

impl Faults {
    /// Switches a fault on; one of the same name for the same endpoint gives way to it.
    pub fn switch_on(&self, fault: impl Into<FaultRule>) {
        self.0.lock().faults.switch_on(fault.into());
    }

    /// Switches a fault off, for every endpoint.
    pub fn switch_off(&self, name: &str) {
        self.0.lock().faults.switch_off(name);
    }

    /// Switches all faults off.
    pub fn clear(&self) {
        self.0.lock().faults.clear();
    }

    /// The faults that are on; one that has struck as often as it was to is off.
    pub fn active(&self) -> Vec<FaultRule> {
        self.0.lock().faults.rules().to_vec()
    }
}

async fn serve(inner: TcpListener, shared: Shared) {
    let closing = shared.closing.clone();
    let listener = WireListener { inner, closing: closing.clone() };
    let router = Router::new().fallback(gate::serve).with_state(shared);
    let service = router.into_make_service_with_connect_info::<Cut>();
    let served = axum::serve(listener, service).with_graceful_shutdown(closing.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::warn!(error = %error, "sandbox tenant stopped");
    }
}
