//! The use cases: find, provision, deprovision, activate.
//!
//! A tool says what is wanted; this room makes it an *operation*, has it captured and approved,
//! carries it out step by step, verifies it and activates it. In that order, always.

mod activate;
mod activation;
mod approval;
mod audit;
mod begin;
mod cursor;
mod deprovision;
mod details;
mod executor;
mod export;
mod failure;
mod find;
mod keyed;
mod operation;
mod password;
mod policy;
mod provision;
mod query;
mod reconcile;
mod records;
mod recover;
mod report;
mod retention;
mod status;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::broadcast;
use zeroize::Zeroizing;

use details::Details;

pub use approval::{Answer, Question};
pub use begin::Begun;
pub use deprovision::DeprovisionUser;
pub use export::Exportable;
pub use failure::{Candidate, Code, Failure};
pub use find::{FindUser, FoundUsers, ListNames, Match, NamesFound, Source};
pub use policy::{Policy, Tier};
pub use provision::ProvisionUser;
pub use records::{CaptureShown, Records};
pub use report::{
    Activation, ActivationState, Approval, Capture, Change, Draft, HowToApprove, InitialPassword, Outcome,
    Report, Subject,
};
pub use status::{Budget, IndexStatus, OperationLine, TenantStatus};

use crate::{
    directory::Directory,
    model::{Clock, Operation, OperationId},
    store::Store,
    zia::{Deadline, Zia},
};

/// How long a call keeps its caller waiting; clients give up at 60 s (contract §3).
pub const INTERACTIVE: Duration = Duration::from_secs(45);

/// How the use cases behave.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The operator's rules.
    pub policy: Policy,
    /// How long a person has to answer in the client.
    pub ask: Duration,
    /// How long an operation waits for a decision.
    pub expires: Duration,
    /// Whether only reading tools are offered.
    pub read_only: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            ask: Duration::from_secs(55),
            expires: Duration::from_secs(15 * 60),
            read_only: false,
        }
    }
}

/// The use cases over one tenant. A cheap handle.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    zia: Zia,
    directory: Directory,
    store: Store,
    clock: Clock,
    settings: Arc<Settings>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Operations that this process carries out; plain, since no await happens under it.
    running: Mutex<HashSet<OperationId>>,
    changes: broadcast::Sender<OperationId>,
    activator: activation::Activator,
    /// ZIA's edit lock is one per tenant: our own writes do not contend for it.
    writing: tokio::sync::Mutex<()>,
    beginning: keyed::KeyedLocks,
    cursor_key: Zeroizing<[u8; 32]>,
}

impl Lifecycle {
    /// The use cases over a tenant and a store.
    pub fn new(zia: Zia, store: Store, settings: Settings, clock: Clock) -> Self {
        let shared = Shared {
            running: Mutex::default(),
            changes: broadcast::channel(256).0,
            activator: activation::Activator::default(),
            writing: tokio::sync::Mutex::default(),
            beginning: keyed::KeyedLocks::default(),
            cursor_key: store.derived_key("cursor"),
        };
        let directory = Directory::new(zia.clone(), clock.clone());
        Self { zia, directory, store, clock, settings: Arc::new(settings), shared: Arc::new(shared) }
    }

    /// How the use cases behave.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The ids of operations, each time one changes.
    pub fn changes(&self) -> broadcast::Receiver<OperationId> {
        self.shared.changes.subscribe()
    }

    /// A key for sealing the states of questions, the same in every process on this store.
    pub fn request_state_key(&self) -> Zeroizing<[u8; 32]> {
        self.store.derived_key("request-state")
    }

    /// Whether the store takes writes.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn ready(&self) -> Result<(), Failure> {
        Ok(self.store.health().await?)
    }

    fn tenant(&self) -> &str {
        self.zia.tenant()
    }

    fn interactive(&self) -> Deadline {
        Deadline::after(INTERACTIVE)
    }

    /// Whether this process carries an operation out.
    fn runs_here(&self, id: &OperationId) -> bool {
        self.shared.running.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// Whether this process took an operation on.
    fn is_own(&self, operation: &Operation) -> bool {
        let owner = Details::of(operation).owner;
        owner.is_some() && owner == self.store.presence()
    }

    /// Whether this or another process carries an operation out.
    fn is_running(&self, operation: &Operation) -> bool {
        self.runs_here(&operation.id) || records::has_living_owner(&self.store, operation)
    }
}
