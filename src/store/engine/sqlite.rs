//! SQLite, embedded: one file in the state directory.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use sqlx::{
    AnyConnection, ConnectOptions as _, Connection as _, SqliteConnection,
    any::{AnyConnectOptions, install_default_drivers},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::StoreError;

/// What a connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Change records.
    Write,
    /// Change what must outlive this process and not a power cut.
    Count,
    /// Read records, and do what the log needs.
    Read,
    /// Read records and leave the files alone.
    Nothing,
}

/// The longest wait for another process's write lock; ends before [`super::LIMIT`] does.
const LOCK_WAIT: Duration = Duration::from_millis(1500);

/// How a connection is set up that writes.
///
/// Full syncs also where fsync alone does not reach the disk. What was overwritten or dropped
/// does not stay in free space (T27).
const WRITING: &str = "PRAGMA busy_timeout = 1500; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                       PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; PRAGMA secure_delete = ON";

/// How one is set up that counts: in the log's order all the same, and on disk with the next full commit.
const COUNTING: &str = "PRAGMA busy_timeout = 1500; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; \
                        PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; PRAGMA secure_delete = ON";

/// How one is set up that reads, which may be the last to close and move the log then.
///
/// None of these touches the file, so none can fail on a damaged one.
const READING: &str = "PRAGMA busy_timeout = 1500; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; PRAGMA secure_delete = ON";

/// Opens the database and turns its write-ahead log on, for good.
///
/// A pool would try again and again where this fails at once, with the reason.
pub(super) async fn first(path: &Path) -> Result<SqliteConnection, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(LOCK_WAIT)
        .disable_statement_logging();
    Ok(options.connect().await?)
}

/// How to reach the database's file.
pub(super) fn options(path: &Path, access: Access) -> Result<AnyConnectOptions, StoreError> {
    install_default_drivers();
    let mode = if access == Access::Nothing { "ro" } else { "rw" };
    // With its slashes encoded, too: so the address stays as it is, `..` included.
    let path = percent_encode(path.as_os_str().as_encoded_bytes(), NON_ALPHANUMERIC);
    Ok(format!("sqlite:{path}?mode={mode}").parse()?)
}

/// Sets a new connection up.
pub(super) async fn prepare(connection: &mut AnyConnection, access: Access) -> Result<(), sqlx::Error> {
    let pragmas = match access {
        Access::Write => WRITING,
        Access::Count => COUNTING,
        Access::Read | Access::Nothing => READING,
    };
    sqlx::raw_sql(pragmas).execute(connection).await.map(drop)
}

/// The database's file and its log.
pub(super) struct File {
    path: PathBuf,
    log: PathBuf,
    /// Device and inode: writes to a file that was removed would be lost in silence (F3).
    identity: (u64, u64),
}

impl File {
    pub(super) fn of(path: PathBuf) -> Result<Self, StoreError> {
        let identity = identity(&path).ok_or_else(gone)?;
        let log = path.with_file_name(format!("{}-wal", super::DATABASE));
        Ok(Self { path, log, identity })
    }

    /// Refuses to go on with a file that was removed or replaced.
    pub(super) fn recheck(&self) -> Result<(), StoreError> {
        if identity(&self.path) == Some(self.identity) && self.log.exists() { Ok(()) } else { Err(gone()) }
    }
}

/// Whether a connection may be used again.
///
/// SQLite ends a transaction by itself on a full disk, and the connection would go on counting it
/// as open: such a connection is not used again.
pub(super) async fn released(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // Lets a rollback that is on its way end.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|about| (about.dev(), about.ino()))
}

fn gone() -> StoreError {
    StoreError::unavailable("the database was removed or replaced; restart")
}
