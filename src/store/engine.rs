//! The database engine: connections, transactions, limits.

use std::{
    fs,
    future::Future,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    Connection as _, Sqlite, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    StoreError,
    files::{self, StateDir},
};

/// The engine's kind; another one would be named here.
pub(super) type Db = Sqlite;

/// Values bound to a statement.
pub(super) type Arguments = sqlx::sqlite::SqliteArguments;

/// A writing transaction.
pub(super) type Tx = sqlx::Transaction<'static, Db>;

/// The database's file name.
pub(super) const DATABASE: &str = "store.db";

/// The longest a call may take (T26, F7).
pub(super) const LIMIT: Duration = Duration::from_secs(2);

/// The longest wait for another process's write lock; ends before [`LIMIT`] does.
const LOCK_WAIT: Duration = Duration::from_millis(1500);

/// Connections that read side by side.
const READERS: u32 = 4;

/// Free disk space below which nothing new is sent, in bytes (F1).
const HEADROOM: u64 = 64 * 1024 * 1024;

/// The database and its connections.
pub(super) struct Engine {
    /// One connection: writers queue up fairly here instead of fighting for SQLite's lock.
    writer: SqlitePool,
    reader: SqlitePool,
    dir: PathBuf,
    database: PathBuf,
    log: PathBuf,
    /// Device and inode: writes to a file that was removed would be lost in silence (F3).
    identity: (u64, u64),
}

impl Engine {
    pub(super) async fn open(dir: &StateDir) -> Result<Self, StoreError> {
        let database = dir.path.join(DATABASE);
        dir.ensure_file(&database)?;
        let options = SqliteConnectOptions::new()
            .filename(&database)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(LOCK_WAIT)
            // Where fsync alone does not reach the disk.
            .pragma("fullfsync", "ON")
            .pragma("checkpoint_fullfsync", "ON")
            // What was overwritten or dropped does not stay in free space (T27).
            .pragma("secure_delete", "ON");
        let writer = pool(1).connect_with(quiet(options.clone())).await?;
        let reader = pool(READERS).connect_lazy_with(quiet(options));
        let identity = identity(&database).ok_or_else(gone)?;
        let log = dir.path.join(format!("{DATABASE}-wal"));
        Ok(Self { writer, reader, dir: dir.path.clone(), database, log, identity })
    }

    /// Begins a writing transaction; no other writer runs until it ends.
    pub(super) async fn begin(&self) -> Result<Tx, StoreError> {
        // A transaction that starts by reading could not become a writing one later (SQLITE_BUSY).
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Commits, with everything on disk before it answers.
    pub(super) async fn commit(&self, tx: Tx) -> Result<(), StoreError> {
        if identity(&self.database) != Some(self.identity) || !self.log.exists() {
            return Err(gone());
        }
        Ok(tx.commit().await?)
    }

    /// Where reading queries run.
    pub(super) fn reader(&self) -> &SqlitePool {
        &self.reader
    }

    /// The writing connection, for tests that spoil it.
    #[cfg(test)]
    pub(super) fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    /// Refuses to go on where the disk is nearly full.
    pub(super) fn check_headroom(&self) -> Result<(), StoreError> {
        let about = rustix::fs::statvfs(&self.dir).map_err(|e| StoreError::io(&self.dir, &e.into()))?;
        if about.f_bavail.saturating_mul(about.f_frsize) < HEADROOM {
            return Err(StoreError::unavailable("less than 64 MiB of disk space is left"));
        }
        Ok(())
    }

    /// Writes one small record.
    pub(super) async fn probe(&self, at: i64) -> Result<(), StoreError> {
        files::recheck(&self.dir)?;
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO meta (name, value) VALUES ('probe', $1) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(at.to_le_bytes().to_vec())
        .execute(&mut *tx)
        .await?;
        self.commit(tx).await
    }

    /// Moves the log into the database and empties it; false while somebody reads an old state.
    pub(super) async fn clear_log(&self) -> Result<bool, StoreError> {
        let (busy, _, _): (i64, i64, i64) =
            sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.writer).await?;
        Ok(busy == 0)
    }

    /// Checks every page.
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        let answer: String = sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(&self.reader).await?;
        if answer == "ok" { Ok(()) } else { Err(StoreError::Corrupt) }
    }

    pub(super) async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

/// Gives a call [`LIMIT`] to answer.
pub(super) async fn bounded<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let late = |_| Err(StoreError::unavailable("no answer within two seconds"));
    tokio::time::timeout(LIMIT, work).await.unwrap_or_else(late)
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(LIMIT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        // SQLite ends a transaction by itself on a full disk, and the connection would go on
        // counting it as open: such a connection is not used again.
        .after_release(|connection, _| {
            Box::pin(async move {
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        })
}

/// Statements are fixed and say nothing in a log.
fn quiet(options: SqliteConnectOptions) -> SqliteConnectOptions {
    use sqlx::ConnectOptions as _;
    options.disable_statement_logging()
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|about| (about.dev(), about.ino()))
}

fn gone() -> StoreError {
    StoreError::unavailable("the database was removed or replaced; restart")
}
