//! What the server remembers.
//!
//! Operations, approvals, sends, captures and the audit trail, in one SQLite database in the
//! state directory, which several processes on one host may share; or in PostgreSQL, for processes
//! on any number of hosts. Whatever a person could read
//! (names, addresses, comments, who asked) is sealed; it is found again by keyed digests only.
//! A change and its audit record are one transaction.

mod address;
mod approvals;
mod approvers;
mod audit;
mod budget;
mod bulk;
mod captures;
mod checkpoint_files;
mod checkpoints;
mod engine;
mod error;
mod figures;
mod files;
mod index;
mod keys;
mod leases;
mod nonces;
mod operations;
mod passwords;
mod presence;
mod purge;
mod queries;
mod reader;
mod rekey;
mod schema;
mod sends;
mod space;
#[cfg(test)]
mod tests;
mod trouble;
mod vault;
mod verify;
mod waves;

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, OnceLock, atomic::AtomicU32},
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use zeroize::Zeroizing;

pub use address::DatabaseUrl;
pub use approvals::{Approval, ApprovalRecord};
pub use approvers::{Approver, NO_TENANT, Proof};
pub use audit::{AuditEntry, AuditRecord, BrokenChain, verify_chain};
pub use bulk::{BulkSends, Settled};
pub use captures::{CaptureInfo, NewCapture};
pub use checkpoint_files::append_checkpoints;
pub use checkpoints::Checkpoint;
pub use error::StoreError;
pub use figures::Figures;
pub use index::{
    By, ChangeKind, ChangeLog, Filling, IndexRow, IndexState, Indexed, NameKind, NameList, Noted, Sighting,
    Turn, UserChange,
};
pub use leases::{LEASE, RENEW_EVERY};
pub use operations::NewOperation;
pub use passwords::Handed;
pub use purge::{Purge, Purgeable, Purged};
pub use queries::{SubjectKey, Which};
pub use rekey::{OldKeys, Rekeyed};
pub use sends::{MAX_SENDS, Permit, SendOutcome, SendRecord};
pub use trouble::{Mishap, Step, Trouble};
pub use verify::{AuditCheck, ChainCheck, Fault, Verdict};
pub use waves::{LeftWave, OpenedWave, SentWave, UnderWay, Wave};

use crate::model::{Clock, Digest};
pub use engine::ServerInfo;
use engine::{Engine, Tx, bounded};
use files::StateDir;
use space::{FreeSpace, Space};
use vault::Vault;

/// A database up to this size is checked page by page at every start, in bytes: some tenths of a
/// second. A larger one is when `zia-mcp doctor` asks for it.
const CHECKED_AT_START: u64 = 32 * 1024 * 1024;

/// Where the store and its key live.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The state directory; made with mode 0700 if it is missing.
    pub state_dir: PathBuf,
    /// The key file; `key` in the state directory if `None`.
    pub key_file: Option<PathBuf>,
    /// A PostgreSQL database instead of a file in the state directory.
    pub database: Option<DatabaseUrl>,
}

impl Settings {
    /// The embedded database and the key in a state directory.
    pub fn embedded(state_dir: PathBuf) -> Self {
        Self { state_dir, key_file: None, database: None }
    }

    fn key_file(&self, dir: &StateDir) -> PathBuf {
        self.key_file.clone().unwrap_or_else(|| dir.path.join(keys::FILE))
    }
}

/// The store; a cheap handle.
///
/// Every call answers within two seconds, or with [`StoreError::Unavailable`]. A write that fails
/// so may still have been made: read again before acting on it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    engine: Engine,
    vault: Vault,
    clock: Clock,
    state_dir: PathBuf,
    presence: OnceLock<Option<presence::Presence>>,
    sessions: presence::Sessions,
    lease: Arc<leases::Lease>,
    growth: Notify,
    /// Calls that this process counted.
    counted: AtomicU32,
}

impl Inner {
    fn new(engine: Engine, vault: Vault, clock: Clock, state_dir: PathBuf) -> Self {
        let (presence, lease, growth) = (OnceLock::new(), Arc::default(), Notify::new());
        let (sessions, counted) = (presence::Sessions::default(), AtomicU32::new(0));
        Self { engine, vault, clock, state_dir, presence, sessions, lease, growth, counted }
    }
}

impl Store {
    /// Opens the store, making directory, key and schema at the first start.
    ///
    /// # Errors
    /// `Insecure` if others could read the directory, the key or the database; `WrongKey` if the
    /// key is missing beside existing data or is another one; `Lost` if the database is gone or
    /// empty where there was one; `NewerSchema`; `Corrupt`; `Unavailable`.
    pub async fn open(settings: &Settings, clock: Clock) -> Result<Self, StoreError> {
        Self::open_with(settings, clock, Trouble::default()).await
    }

    /// Opens the store for a test that has trouble in mind.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_with(settings: &Settings, clock: Clock, trouble: Trouble) -> Result<Self, StoreError> {
        Self::open_on(settings, clock, space::of_disk(), trouble).await
    }

    async fn open_on(
        settings: &Settings,
        clock: Clock,
        free: FreeSpace,
        trouble: Trouble,
    ) -> Result<Self, StoreError> {
        let dir = files::state_dir(&settings.state_dir)?;
        let (engine, vault) = match &settings.database {
            None => open_file(settings, &dir, free, trouble).await?,
            Some(url) => open_server(settings, &dir, url, &clock, trouble).await?,
        };
        engine.keep_reserve();
        Ok(Self(Arc::new(Inner::new(engine, vault, clock, dir.path))))
    }

    /// Opens a store that is there for reading alone, and changes nothing in it.
    ///
    /// # Errors
    /// `Unavailable` if there is none; otherwise as [`Store::open`].
    pub async fn open_to_read(settings: &Settings, clock: Clock) -> Result<Self, StoreError> {
        let file = settings.state_dir.join(engine::DATABASE);
        if settings.database.is_none() && !file.exists() {
            return Err(StoreError::Unavailable(format!(
                "there is no store in {}",
                settings.state_dir.display()
            )));
        }
        let dir = files::state_dir(&settings.state_dir)?;
        let engine = match &settings.database {
            None => Engine::open_to_read(&dir)?,
            Some(url) => Engine::connect_to_read(&dir, url, &clock)?,
        };
        if engine.is_empty().await? {
            return Err(StoreError::unavailable("there is no store in the database"));
        }
        let key_file = settings.key_file(&dir);
        let vault = Vault::new(keys::load(&key_file)?, Some(key_file))?;
        bounded(schema::prove(&engine, &vault)).await?;
        Ok(Self(Arc::new(Inner::new(engine, vault, clock, dir.path))))
    }

    /// A handle in the place of a store that cannot be used: every call answers the reason at once.
    ///
    /// Nothing is kept in memory instead. Keys and digests are of this handle alone.
    ///
    /// # Errors
    /// `Unavailable` if the system gives no random bytes.
    pub fn unfit(settings: &Settings, reason: StoreError, clock: Clock) -> Result<Self, StoreError> {
        let (vault, engine) = (Vault::new(keys::KeyRing::generate()?, None)?, Engine::closed(reason));
        let inner = Inner::new(engine, vault, clock, settings.state_dir.clone());
        Ok(Self(Arc::new(Inner { presence: OnceLock::from(None), ..inner })))
    }

    /// Why the store cannot be used, if it is an [unfit](Self::unfit) one.
    pub fn fault(&self) -> Option<&StoreError> {
        self.0.engine.fault()
    }

    /// A key of its own for each label, from the key file; stays the same for a store's life.
    pub fn derived_key(&self, label: &str) -> Zeroizing<[u8; 32]> {
        self.0.vault.derived(label)
    }

    /// The keyed digest of an address, case aside.
    pub fn email_digest(&self, email: &str) -> Digest {
        self.0.vault.digest("email", email.to_lowercase().as_bytes())
    }

    /// Whether the records are in a database server's keeping.
    pub fn is_remote(&self) -> bool {
        self.0.engine.is_remote()
    }

    /// Checks that a record can be written to disk now, and that enough of the disk is free.
    ///
    /// # Errors
    /// `Insecure` or `Unavailable`, within two seconds.
    pub async fn health(&self) -> Result<(), StoreError> {
        bounded(self.0.engine.probe(self.now().as_microsecond())).await
    }

    /// Reads the whole database and checks its structure; slow on a large one.
    ///
    /// # Errors
    /// `Corrupt` if a page is damaged; `Unavailable`.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.0.engine.check().await
    }

    /// The database server and what this process may do there; `None` for the embedded database.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn server(&self) -> Result<Option<ServerInfo>, StoreError> {
        bounded(self.0.engine.server_info()).await
    }

    /// Waits for running calls and closes the database; the handle is of no use afterwards.
    pub async fn close(&self) {
        self.leave();
        self.0.engine.close().await;
    }

    /// Begins a writing transaction, in which everything is sealed with the store's present key.
    async fn begin(&self) -> Result<Tx, StoreError> {
        let mut tx = self.0.engine.begin().await?;
        self.0.vault.seal_with(schema::sealing_key(&mut tx).await?)?;
        Ok(tx)
    }

    /// Now, in the microseconds that the store keeps: by the clock that all processes on it share (F34).
    fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_micros(self.0.engine.ahead());
        let now = self.0.clock.now();
        whole_micros(now.checked_add(ahead).unwrap_or(now))
    }

    /// The clock by which this store's times are.
    pub fn clock(&self) -> Clock {
        let store = self.clone();
        Clock::of_host(move || store.now())
    }
}

/// Opens the embedded database, making key and schema where there is none.
async fn open_file(
    settings: &Settings,
    dir: &StateDir,
    free: FreeSpace,
    trouble: Trouble,
) -> Result<(Engine, Vault), StoreError> {
    let _starting = files::lock(dir).await?;
    let database = dir.path.join(engine::DATABASE);
    let key_file = settings.key_file(dir);
    let size = std::fs::metadata(&database).map_or(0, |about| about.len());
    if size == 0 && checkpoint_files::own(&dir.path).exists() {
        return Err(StoreError::Lost(database));
    }
    let vault = Vault::new(keys::load_or_create(&key_file, !database.exists())?, Some(key_file))?;
    let engine = Engine::open(dir, Space::new(&dir.path, free), trouble).await?;
    let fit = async {
        bounded(schema::migrate(&engine, &vault)).await?;
        if size <= CHECKED_AT_START { bounded(engine.check()).await } else { Ok(()) }
    };
    match fit.await {
        Ok(()) => Ok((engine, vault)),
        Err(error) => Err(given_up(engine, error).await),
    }
}

/// Connects to a server, making key and schema where there is none.
async fn open_server(
    settings: &Settings,
    dir: &StateDir,
    url: &DatabaseUrl,
    clock: &Clock,
    trouble: Trouble,
) -> Result<(Engine, Vault), StoreError> {
    let engine = Engine::connect(dir, url, clock, trouble)?;
    let fit = async {
        let is_empty = engine.is_empty().await?;
        if is_empty && checkpoint_files::own(&dir.path).exists() {
            return Err(StoreError::Lost(url.to_string().into()));
        }
        let key_file = settings.key_file(dir);
        let vault = Vault::new(keys::load_or_create(&key_file, is_empty)?, Some(key_file))?;
        schema::migrate_in_turn(&engine, &vault).await?;
        Ok(vault)
    };
    match fit.await {
        Ok(vault) => Ok((engine, vault)),
        Err(error) => Err(given_up(engine, error).await),
    }
}

/// Closes an engine that cannot be used.
///
/// Or the process may end before the database is let go, and leave an empty log beside it.
async fn given_up(engine: Engine, error: StoreError) -> StoreError {
    let closing = async {
        engine.close().await;
        Ok(())
    };
    // One that does not close in time has nothing to lose.
    let _ = bounded(closing).await;
    error
}

/// A time without the nanoseconds, which are not stored.
fn whole_micros(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

/// A stored time.
fn time(micros: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(micros).map_err(|_| StoreError::Corrupt)
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}
