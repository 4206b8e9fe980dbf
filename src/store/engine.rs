//! The database engine: connections, transactions, limits.

pub(super) mod postgres;
mod queue;
mod sqlite;

use std::{path::PathBuf, sync::Arc, time::Duration};

use sqlx::{
    Connection as _,
    any::{AnyArguments, AnyConnectOptions, AnyPoolOptions},
};

use super::{
    DatabaseUrl, StoreError, error,
    files::{self, StateDir},
    reader::Reader,
    space::{self, Space},
    trouble::{Step, Trouble},
};
use crate::model::Clock;
pub use postgres::ServerInfo;
use postgres::{Server, Use};
pub(super) use queue::bounded;
use queue::{PATIENCE, Queue};
use sqlite::{Access, File};

/// Either engine, chosen when the store is opened: both speak the same SQL.
pub(super) type Db = sqlx::Any;

/// Values bound to a statement.
pub(super) type Arguments = AnyArguments;

/// Connections.
pub(super) type Pool = sqlx::AnyPool;

/// A writing transaction.
pub(super) type Tx = sqlx::Transaction<'static, Db>;

/// The database's file name.
pub(super) const DATABASE: &str = "store.db";

/// The longest a call may take (T26, F7).
pub(super) const LIMIT: Duration = Duration::from_secs(2);

/// Connections that read side by side.
const READERS: u32 = 4;

/// The database; or why it cannot be used, which every call answers then.
pub(super) struct Engine(Result<Database, StoreError>);

/// The database and its connections.
struct Database {
    /// One connection: writers queue up fairly here instead of fighting for the database's lock.
    writer: Pool,
    queue: Queue,
    reader: Pool,
    /// One connection, for what must outlive this process and not a power cut.
    light: Pool,
    kind: Kind,
    dir: PathBuf,
    trouble: Trouble,
}

/// What the engines do not have in common.
enum Kind {
    Sqlite(File, Space),
    Postgres(Arc<Server>),
}

impl Engine {
    /// Opens the file of an embedded database, made if it is missing.
    pub(super) async fn open(dir: &StateDir, space: Space, trouble: Trouble) -> Result<Self, StoreError> {
        let path = dir.path.join(DATABASE);
        dir.ensure_file(&path)?;
        // Held until another one is open, or the log would go and come again.
        let first = sqlite::first(&path).await?;
        let options = |access| Ok::<_, StoreError>(quiet(sqlite::options(&path, access)?));
        // Its queue has limits of its own.
        let writer =
            on_file(1, Access::Write).acquire_timeout(PATIENCE).connect_with(options(Access::Write)?).await?;
        let light = on_file(1, Access::Count).connect_lazy_with(options(Access::Count)?);
        let reader = on_file(READERS, Access::Read).connect_lazy_with(options(Access::Read)?);
        first.close().await?;
        let (kind, dir) = (Kind::Sqlite(File::of(path)?, space), dir.path.clone());
        Ok(Self(Ok(Database { writer, queue: Queue::default(), light, reader, kind, dir, trouble })))
    }

    /// Opens a database that is only read; it must be there.
    pub(super) fn open_to_read(dir: &StateDir) -> Result<Self, StoreError> {
        let path = dir.path.join(DATABASE);
        let file = File::of(path.clone())?;
        let options = quiet(sqlite::options(&path, Access::Nothing)?);
        let pool = on_file(READERS, Access::Nothing).connect_lazy_with(options);
        let kind = Kind::Sqlite(file, Space::new(&dir.path, space::of_disk()));
        Ok(Self::of_one_pool(pool, kind, dir))
    }

    /// Connects to a server.
    pub(super) fn connect(
        dir: &StateDir,
        url: &DatabaseUrl,
        clock: &Clock,
        trouble: Trouble,
    ) -> Result<Self, StoreError> {
        let server = Arc::new(Server::new(url.clone(), clock.clone()));
        let options = quiet(server.options()?);
        let writer = on_server(&server, 1, Use::Write).connect_lazy_with(options.clone());
        let light = on_server(&server, 1, Use::Count).connect_lazy_with(options.clone());
        let reader = on_server(&server, READERS, Use::Read).connect_lazy_with(options);
        let (kind, dir) = (Kind::Postgres(server), dir.path.clone());
        Ok(Self(Ok(Database { writer, queue: Queue::default(), light, reader, kind, dir, trouble })))
    }

    /// Connects to a server for reading alone.
    pub(super) fn connect_to_read(
        dir: &StateDir,
        url: &DatabaseUrl,
        clock: &Clock,
    ) -> Result<Self, StoreError> {
        let server = Arc::new(Server::new(url.clone(), clock.clone()));
        let pool = on_server(&server, READERS, Use::OnlyRead).connect_lazy_with(quiet(server.options()?));
        Ok(Self::of_one_pool(pool, Kind::Postgres(server), dir))
    }

    /// Everything that reads, on the same connections; nothing is written.
    fn of_one_pool(pool: Pool, kind: Kind, dir: &StateDir) -> Self {
        let (writer, light, dir, trouble) =
            (pool.clone(), pool.clone(), dir.path.clone(), Trouble::default());
        Self(Ok(Database { writer, queue: Queue::default(), light, reader: pool, kind, dir, trouble }))
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

    /// The server, where there is one.
    pub(super) fn server(&self) -> Option<&Arc<Server>> {
        match &self.0 {
            Ok(Database { kind: Kind::Postgres(server), .. }) => Some(server),
            _ => None,
        }
    }

    /// Whether a server's database holds no store yet.
    pub(super) async fn is_empty(&self) -> Result<bool, StoreError> {
        let database = self.database()?;
        match &database.kind {
            Kind::Sqlite(..) => Ok(false),
            Kind::Postgres(server) => bounded(server.is_empty(&database.reader)).await,
        }
    }

    pub(super) async fn server_info(&self) -> Result<Option<ServerInfo>, StoreError> {
        let database = self.database()?;
        match &database.kind {
            Kind::Sqlite(..) => Ok(None),
            Kind::Postgres(server) => Ok(Some(server.info(&database.reader).await?)),
        }
    }

    /// Microseconds from the process's clock to the time of the store.
    pub(super) fn ahead(&self) -> i64 {
        self.server().map_or(0, |server| server.ahead())
    }

    /// Begins a writing transaction; no other writer runs until it ends.
    pub(super) async fn begin(&self) -> Result<Tx, StoreError> {
        let database = self.database()?;
        let heard = database.trouble.at(Step::Begin)?;
        let tx = match &database.kind {
            // A transaction that starts by reading could not become a writing one later (SQLITE_BUSY).
            Kind::Sqlite(..) => database.queue.wait(database.writer.begin_with("BEGIN IMMEDIATE")).await?,
            Kind::Postgres(server) => server.begin(&database.writer).await?,
        };
        heard.map(|()| tx)
    }

    /// Commits, with everything on disk before it answers.
    ///
    /// New operations are refused long before the disk is full, so what comes here then is how
    /// earlier ones went: the reserve makes room for that (F2).
    pub(super) async fn commit(&self, tx: Tx) -> Result<(), StoreError> {
        let database = self.database()?;
        if let Kind::Sqlite(file, _) = &database.kind {
            file.recheck()?;
        }
        let heard = database.trouble.at(Step::Commit)?;
        let space = database.space();
        space.iter().for_each(|space| space.make_room());
        tx.commit().await.inspect_err(|failed| {
            if let Some(space) = space.filter(|_| error::is_full(failed)) {
                // For the next attempt: a quota does not show in what the disk has left.
                space.release();
            }
        })?;
        database.queue.gets_on();
        heard
    }

    /// Begins a writing transaction that is not forced to the disk: it outlives this process however
    /// that ends, and may be forgotten in a power cut.
    pub(super) async fn begin_light(&self) -> Result<Tx, StoreError> {
        let database = self.database()?;
        let heard = database.trouble.at(Step::Count)?;
        let tx = match &database.kind {
            Kind::Sqlite(..) => database.light.begin_with("BEGIN IMMEDIATE").await?,
            Kind::Postgres(_) => postgres::begin_light(&database.light).await?,
        };
        heard.map(|()| tx)
    }

    /// Commits such a transaction.
    pub(super) async fn commit_light(&self, tx: Tx) -> Result<(), StoreError> {
        if let Kind::Sqlite(file, _) = &self.database()?.kind {
            file.recheck()?;
        }
        Ok(tx.commit().await?)
    }

    /// Where single statements run that need not be forced to the disk either.
    pub(super) fn light(&self) -> Result<&Pool, StoreError> {
        let database = self.database()?;
        database.trouble.at(Step::Count)??;
        if let Kind::Sqlite(file, _) = &database.kind {
            file.recheck()?;
        }
        Ok(&database.light)
    }

    /// Whether others on this database may be on other machines.
    pub(super) fn is_remote(&self) -> bool {
        self.server().is_some()
    }

    /// Begins a transaction that only reads: one view of the database as it is now.
    pub(super) async fn snapshot(&self) -> Result<Tx, StoreError> {
        let database = self.database()?;
        database.trouble.at(Step::Read)??;
        Ok(match &database.kind {
            Kind::Sqlite(..) => database.reader.begin().await?,
            Kind::Postgres(_) => {
                database.reader.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?
            }
        })
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
    pub(super) fn writer(&self) -> &Pool {
        &self.0.as_ref().unwrap().writer
    }

    /// Refuses to go on where the disk is nearly full, or the directory is not private any more.
    pub(super) fn check_headroom(&self) -> Result<(), StoreError> {
        let database = self.database()?;
        files::recheck(&database.dir)?;
        // A server's disk is its own matter: it says when it is full.
        database.space().map_or(Ok(()), Space::check_headroom)
    }

    /// Keeps some disk space for results, where there is enough.
    pub(super) fn keep_reserve(&self) {
        if let Some(space) = self.0.as_ref().ok().and_then(Database::space) {
            space.keep_reserve();
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
    ///
    /// A server's log is its own matter.
    pub(super) async fn clear_log(&self) -> Result<bool, StoreError> {
        if self.server().is_some() {
            return Ok(true);
        }
        let (busy, _, _): (i64, i64, i64) =
            sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.database()?.writer).await?;
        Ok(busy == 0)
    }

    /// Checks every page; a server checks its own.
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        if self.server().is_some() {
            return Ok(());
        }
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

impl Database {
    fn space(&self) -> Option<&Space> {
        match &self.kind {
            Kind::Sqlite(_, space) => Some(space),
            Kind::Postgres(_) => None,
        }
    }
}

fn pool(connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new().max_connections(connections).acquire_timeout(LIMIT).max_lifetime(None)
}

fn on_file(connections: u32, access: Access) -> AnyPoolOptions {
    pool(connections)
        .idle_timeout(None)
        .test_before_acquire(false)
        .after_connect(move |connection, _| Box::pin(sqlite::prepare(connection, access)))
        .after_release(|connection, _| Box::pin(sqlite::released(connection)))
}

/// Each connection is tried before it is used: the server may have been started anew meanwhile.
fn on_server(server: &Arc<Server>, connections: u32, of: Use) -> AnyPoolOptions {
    let server = server.clone();
    pool(connections)
        .after_connect(move |connection, _| {
            let server = server.clone();
            Box::pin(async move { server.prepare(connection, of).await })
        })
        .after_release(|connection, _| Box::pin(postgres::released(connection)))
}

/// Statements are fixed and say nothing in a log.
fn quiet(options: AnyConnectOptions) -> AnyConnectOptions {
    use sqlx::ConnectOptions as _;
    options.disable_statement_logging()
}
