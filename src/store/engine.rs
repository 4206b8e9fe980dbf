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
    StoreError, error,
    files::{self, StateDir},
    reader::Reader,
    space::{self, Space},
    trouble::{Step, Trouble},
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

/// The database; or why it cannot be used, which every call answers then.
pub(super) struct Engine(Result<Database, StoreError>);

/// The database and its connections.
struct Database {
    /// One connection: writers queue up fairly here instead of fighting for SQLite's lock.
    writer: SqlitePool,
    reader: SqlitePool,
    /// One connection, for what must outlive this process and not a power cut.
    light: SqlitePool,
    dir: PathBuf,
    path: PathBuf,
    log: PathBuf,
    /// Device and inode: writes to a file that was removed would be lost in silence (F3).
    identity: (u64, u64),
    space: Space,
    trouble: Trouble,
}

impl Engine {
    pub(super) async fn open(dir: &StateDir, space: Space, trouble: Trouble) -> Result<Self, StoreError> {
        let path = dir.path.join(DATABASE);
        dir.ensure_file(&path)?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
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
        // In the log's order all the same, and on disk with the next full commit or checkpoint.
        let light = options.clone().synchronous(SqliteSynchronous::Normal);
        let light = pool(1).connect_lazy_with(quiet(light));
        let reader = pool(READERS).connect_lazy_with(quiet(options));
        let identity = identity(&path).ok_or_else(gone)?;
        let log = dir.path.join(format!("{DATABASE}-wal"));
        let dir = dir.path.clone();
        Ok(Self(Ok(Database { writer, reader, light, dir, path, log, identity, space, trouble })))
    }

    /// No engine, for a reason.
    pub(super) fn closed(reason: StoreError) -> Self {
        Self(Err(reason))
    }

    /// Why there is no database, if so.
    pub(super) fn fault(&self) -> Option<&StoreError> {
        self.0.as_ref().err()
    }

    fn database(&self) -> Result<&Database, StoreError> {
        self.0.as_ref().map_err(Clone::clone)
    }

    /// Opens a database that is only read; it must be there.
    pub(super) fn open_to_read(dir: &StateDir) -> Result<Self, StoreError> {
        let path = dir.path.join(DATABASE);
        let identity = identity(&path).ok_or_else(gone)?;
        let options = SqliteConnectOptions::new().filename(&path).read_only(true).busy_timeout(LOCK_WAIT);
        let pool = pool(READERS).connect_lazy_with(quiet(options));
        let log = dir.path.join(format!("{DATABASE}-wal"));
        let (writer, light, reader, dir) = (pool.clone(), pool.clone(), pool, dir.path.clone());
        let (space, trouble) = (Space::new(&dir, space::of_disk()), Trouble::default());
        Ok(Self(Ok(Database { writer, reader, light, dir, path, log, identity, space, trouble })))
    }

    /// Begins a writing transaction; no other writer runs until it ends.
    pub(super) async fn begin(&self) -> Result<Tx, StoreError> {
        let database = self.database()?;
        let heard = database.trouble.at(Step::Begin)?;
        // A transaction that starts by reading could not become a writing one later (SQLITE_BUSY).
        let tx = database.writer.begin_with("BEGIN IMMEDIATE").await?;
        heard.map(|()| tx)
    }

    /// Commits, with everything on disk before it answers.
    ///
    /// New operations are refused long before the disk is full, so what comes here then is how
    /// earlier ones went: the reserve makes room for that (F2).
    pub(super) async fn commit(&self, tx: Tx) -> Result<(), StoreError> {
        let database = self.database()?;
        if identity(&database.path) != Some(database.identity) || !database.log.exists() {
            return Err(gone());
        }
        let heard = database.trouble.at(Step::Commit)?;
        database.space.make_room();
        tx.commit().await.inspect_err(|failed| {
            if error::is_full(failed) {
                // For the next attempt: a quota does not show in what the disk has left.
                database.space.release();
            }
        })?;
        heard
    }

    /// Begins a writing transaction that is not forced to the disk: it outlives this process however
    /// that ends, and may be forgotten in a power cut.
    pub(super) async fn begin_light(&self) -> Result<Tx, StoreError> {
        let database = self.database()?;
        let heard = database.trouble.at(Step::Count)?;
        let tx = database.light.begin_with("BEGIN IMMEDIATE").await?;
        heard.map(|()| tx)
    }

    /// Commits such a transaction.
    pub(super) async fn commit_light(&self, tx: Tx) -> Result<(), StoreError> {
        let database = self.database()?;
        if identity(&database.path) != Some(database.identity) || !database.log.exists() {
            return Err(gone());
        }
        Ok(tx.commit().await?)
    }

    /// Where single statements run that need not be forced to the disk either.
    pub(super) fn light(&self) -> Result<&SqlitePool, StoreError> {
        let database = self.database()?;
        database.trouble.at(Step::Count)??;
        if identity(&database.path) != Some(database.identity) || !database.log.exists() {
            return Err(gone());
        }
        Ok(&database.light)
    }

    /// Whether others on this database may be on other machines.
    pub(super) fn is_remote(&self) -> bool {
        false
    }

    /// Begins a transaction that only reads: one view of the database as it is now.
    pub(super) async fn snapshot(&self) -> Result<Tx, StoreError> {
        let database = self.database()?;
        database.trouble.at(Step::Read)??;
        Ok(database.reader.begin().await?)
    }

    /// What befalls the store.
    pub(super) fn trouble(&self) -> Result<&Trouble, StoreError> {
        Ok(&self.database()?.trouble)
    }

    /// Where reading queries run.
    pub(super) fn reader(&self) -> Reader<'_> {
        Reader(self.database().and_then(|database| {
            database.trouble.at(Step::Read)??;
            Ok(&database.reader)
        }))
    }

    /// The writing connection, for tests that spoil it.
    #[cfg(test)]
    pub(super) fn writer(&self) -> &SqlitePool {
        &self.0.as_ref().unwrap().writer
    }

    /// Refuses to go on where the disk is nearly full, or the directory is not private any more.
    pub(super) fn check_headroom(&self) -> Result<(), StoreError> {
        let database = self.database()?;
        files::recheck(&database.dir)?;
        database.space.check_headroom()
    }

    /// Keeps some disk space for results, where there is enough.
    pub(super) fn keep_reserve(&self) {
        if let Ok(database) = &self.0 {
            database.space.keep_reserve();
        }
    }

    /// Writes one small record.
    pub(super) async fn probe(&self, at: i64) -> Result<(), StoreError> {
        self.check_headroom()?;
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO meta (name, value) VALUES ('probe', $1) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(at.to_le_bytes().to_vec())
        .execute(&mut *tx)
        .await?;
        self.commit(tx).await?;
        self.keep_reserve();
        Ok(())
    }

    /// Moves the log into the database and empties it; false while somebody reads an old state.
    pub(super) async fn clear_log(&self) -> Result<bool, StoreError> {
        let (busy, _, _): (i64, i64, i64) =
            sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.database()?.writer).await?;
        Ok(busy == 0)
    }

    /// Checks every page.
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        let answer: String = sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(self.reader()).await?;
        if answer == "ok" { Ok(()) } else { Err(StoreError::Corrupt) }
    }

    pub(super) async fn close(&self) {
        if let Ok(database) = &self.0 {
            database.reader.close().await;
            database.light.close().await;
            database.writer.close().await;
        }
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
                if connection.is_in_transaction() {
                    // Lets a rollback that is on its way end.
                    connection.ping().await?;
                }
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
