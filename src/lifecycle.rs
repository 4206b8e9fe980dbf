//! The use cases: find, provision, update, deprovision, restore, activate.
//!
//! A tool says what is wanted; this room makes it an *operation*, has it captured and approved,
//! carries it out step by step, verifies it and activates it. In that order, always.

mod activate;
mod activation;
mod approval;
mod audit;
mod authority;
mod before_image;
mod begin;
mod bulk;
mod changes;
mod cursor;
mod decide;
mod deprovision;
mod details;
mod enrolled;
mod errand;
mod executor;
mod export;
mod failure;
mod find;
mod handoff;
mod history;
mod keyed;
mod live;
mod operation;
mod pace;
mod pass;
mod password;
mod policy;
mod provision;
mod query;
mod reading;
mod reconcile;
mod records;
mod recover;
mod report;
mod restore;
mod retention;
mod seal;
mod share;
mod sight;
#[cfg(test)]
mod simulation;
mod statement;
mod status;
mod subject;
mod update;
mod viewer;
mod visit;
mod watch;

use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

pub use approval::{Answer, Question};
pub use authority::Authority;
pub use begin::Begun;
pub use bulk::DeprovisionUsers;
pub use changes::{ChangeKind, ChangedBy, ListUserChanges, UserChange, UserChanges};
pub use decide::{Decided, Decision, Waiting};
pub use deprovision::DeprovisionUser;
pub use errand::{Errand, Luggage};
pub use export::Exportable;
pub use failure::{Candidate, Code, Failure};
pub use find::{FindUser, FoundUsers, ListNames, Match, NamesFound, Source};
pub use handoff::FirstPassword;
pub use history::Happening;
pub use pace::Pace;
pub use pass::Proven;
pub use policy::{CallerRule, Policy, Tier};
pub use provision::ProvisionUser;
pub use records::{CaptureShown, Records};
pub use report::{
    Activation, ActivationState, Approval, Capture, Change, Draft, HowToApprove, InitialPassword, Item,
    Outcome, Report, Subject,
};
pub use restore::RestoreUser;
pub use sight::{OperationPage, Sight, UserSeen, moment};
pub use status::{Budget, IndexStatus, OperationLine, TenantStatus};
pub use update::UpdateUser;
pub use viewer::{Person, SignIn, Viewer};
pub use visit::Visit;

use crate::{
    directory::Directory,
    model::{Clock, Operation, OperationId},
    store::Store,
    zia::{Deadline, Zia},
};
pub use crate::{
    directory::IndexSettings,
    store::{Approver, Proof},
};

/// How long a call keeps its caller waiting; clients give up at 60 s (contract §3).
pub const INTERACTIVE: Duration = Duration::from_secs(45);

/// Operations taken up from an earlier process that go on at a time.
const TAKEN_UP: usize = 16;

/// When to call again after a database server did not answer.
const STORE_AGAIN: SignedDuration = SignedDuration::from_secs(5);

/// How the use cases behave.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The operator's rules.
    pub policy: Policy,
    /// Whose word counts when an operation is carried out.
    pub authority: Authority,
    /// How long a person has to answer in the client.
    pub ask: Duration,
    /// How long an operation waits for a decision.
    pub expires: Duration,
    /// Whether only reading tools are offered.
    pub read_only: bool,
    /// Whether first passwords are kept for a person to see once.
    pub handoff: bool,
    /// When ZIA is read again to find out what became of a write.
    pub pace: Pace,
    /// How the index of users is kept.
    pub index: IndexSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            authority: Authority::default(),
            ask: Duration::from_secs(55),
            expires: Duration::from_secs(15 * 60),
            read_only: false,
            handoff: false,
            pace: Pace::default(),
            index: IndexSettings::default(),
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
    paused: executor::Paused,
    /// ZIA's edit lock is one per tenant: our own writes do not contend for it.
    writing: tokio::sync::Mutex<()>,
    beginning: keyed::KeyedLocks,
    /// Deletions that are recorded and not yet captured.
    drafting: AtomicUsize,
    /// Users who were read for a bulk delete that is to be asked for again.
    gathered: bulk::Gathered,
    /// Lets some of the operations that were taken up go on at a time.
    taken_up: tokio::sync::Semaphore,
    cursor_key: Zeroizing<[u8; 32]>,
    /// Where the console is, once something serves it or can.
    console: OnceLock<Console>,
    /// What each caller took of the look-ups that all share.
    shares: share::Shares,
    /// The process ends soon: nobody waits for an operation any more.
    leaving: CancellationToken,
}

/// Gives the address of the console; asked only when somebody has to go there.
struct Console(Box<dyn Fn() -> Option<String> + Send + Sync>);

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Console")
    }
}

impl Lifecycle {
    /// The use cases over a tenant and a store.
    pub fn new(zia: Zia, store: Store, settings: Settings, clock: Clock) -> Self {
        let shared = Shared {
            running: Mutex::default(),
            changes: broadcast::channel(256).0,
            activator: activation::Activator::default(),
            paused: executor::Paused::default(),
            writing: tokio::sync::Mutex::default(),
            beginning: keyed::KeyedLocks::default(),
            drafting: AtomicUsize::new(0),
            gathered: bulk::Gathered::default(),
            taken_up: tokio::sync::Semaphore::new(TAKEN_UP),
            cursor_key: store.derived_key("cursor"),
            console: OnceLock::new(),
            shares: share::Shares::default(),
            leaving: CancellationToken::new(),
        };
        let directory = Directory::new(zia.clone(), store.clone(), settings.index, clock.clone());
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

    /// Why only reading tools work, if the store could not be used at the start.
    pub fn unfit(&self) -> Option<Failure> {
        let failure = Failure::from(self.store.fault()?.clone());
        let next = format!("{}; then restart zia-mcp", failure.next);
        Some(Failure { next, retryable: false, ..failure })
    }

    /// Whether the store takes writes, within two seconds.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn ready(&self) -> Result<(), Failure> {
        match self.unfit() {
            Some(failure) => Err(failure),
            None => Ok(self.store.health().await?),
        }
    }

    /// Says when to call again where a database server does not answer (guardrails F7).
    pub fn when_to_retry(&self, failure: Failure) -> Failure {
        let waits = failure.code == Code::StoreUnavailable && failure.retry_at.is_none();
        if !waits || !self.store.is_remote() {
            return failure;
        }
        let at = self.clock.now().saturating_add(STORE_AGAIN).unwrap_or(Timestamp::MAX);
        failure.retry_at(at)
    }

    /// Says how the console's address is learned: a URL without a slash at its end.
    ///
    /// It is asked each time that a person has something to do there, and may open the console then;
    /// it must not block. The first word counts.
    pub fn set_console(&self, url: impl Fn() -> Option<String> + Send + Sync + 'static) {
        let _ = self.shared.console.set(Console(Box::new(url)));
    }

    /// The records behind the use cases, with the rules for decisions on them.
    pub fn records(&self) -> Records {
        Records::new(self.store.clone(), self.clock.clone())
    }

    /// The page on which an operation is decided, where there is one.
    fn console_page(&self, id: &OperationId) -> Option<String> {
        let url = self.shared.console.get().and_then(|console| console.0())?;
        Some(format!("{url}/{id}"))
    }

    /// The page on which a first password is shown, where there is one.
    fn password_page(&self, id: &OperationId) -> Option<String> {
        let url = self.shared.console.get().and_then(|console| console.0())?;
        Some(format!("{url}/password/{id}"))
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

    /// Counts a deletion as being drafted, until what is given is dropped.
    fn drafting(&self) -> Drafting<'_> {
        self.shared.drafting.fetch_add(1, Ordering::SeqCst);
        Drafting(&self.shared.drafting)
    }

    /// Whether this process took an operation on.
    fn is_own(&self, operation: &Operation) -> bool {
        operation.owner.is_some() && operation.owner == self.store.presence()
    }

    /// Whether this or another process carries an operation out.
    fn is_running(&self, operation: &Operation) -> bool {
        self.runs_here(&operation.id) || records::has_living_owner(&self.store, operation)
    }
}

/// A deletion between its first record and its capture.
struct Drafting<'a>(&'a AtomicUsize);

impl Drop for Drafting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
