//! PostgreSQL: one server for any number of replicas.
//!
//! A writing transaction holds one advisory lock from its beginning to its end, so that one writer
//! runs at a time in the whole database, as on SQLite. What it reads after that is what all before
//! it committed (READ COMMITTED takes a view for each statement). A client that lost its connection
//! in the middle of a commit keeps the lock until the server knows how that ended, so whoever
//! writes next sees the outcome (F8).

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use sqlx::{AnyConnection, Connection as _, any::AnyConnectOptions};

use super::{Pool, StoreError, Tx};
use crate::{model::Clock, store::DatabaseUrl};

/// The lock of the one writer: a number of ours ("zia-mcp" in bytes), in the database's own space.
const WRITER: &str = "SELECT pg_advisory_xact_lock(34455813253587824)";

/// The lock of the one who counts calls ("zia-cal" in bytes): counting does not wait for other records.
const COUNTER: &str = "SELECT pg_advisory_xact_lock(34455813252931948)";

/// How each connection is set up: whatever it waits for ends before [`super::LIMIT`] does, and a
/// writer that stands still loses its lock.
const SESSION: &str = "SET client_min_messages = 'error'; SET statement_timeout = '1900ms'; \
                       SET lock_timeout = '1500ms'; SET idle_in_transaction_session_timeout = ";
const WRITING: &str = "'5s'";
const READING: &str = "'60s'";
const ONLY_READING: &str = "'60s'; SET default_transaction_read_only = on";

/// One look at the server: what it promises, and what time it is there.
const LOOK: &str = "SELECT CASE WHEN pg_is_in_recovery() THEN 'on' ELSE 'off' END, \
                    current_setting('default_transaction_read_only'), current_setting('fsync'), \
                    current_setting('full_page_writes'), current_setting('synchronous_commit'), \
                    CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";

/// The SQLSTATE of a lock that was not got in time.
pub(in crate::store) const LOCKED: &str = "55P03";

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Write,
    /// Calls are counted, which a crash of the server may forget.
    Count,
    Read,
    /// Nothing is written by this process.
    OnlyRead,
}

/// The server, as it was when it was last looked at.
pub(in crate::store) struct Server {
    pub(super) url: DatabaseUrl,
    clock: Clock,
    /// Why nothing is written; plain, since no await happens under it.
    fault: Mutex<Option<&'static str>>,
    /// How far the server's clock is ahead of this process's, in microseconds.
    ahead: AtomicI64,
}

impl Server {
    pub(super) fn new(url: DatabaseUrl, clock: Clock) -> Self {
        Self { url, clock, fault: Mutex::default(), ahead: AtomicI64::new(0) }
    }

    pub(in crate::store) fn options(&self) -> Result<AnyConnectOptions, StoreError> {
        sqlx::any::install_default_drivers();
        for (name, path) in self.url.files() {
            // The database library would only say that something was not found.
            std::fs::File::open(path).map_err(|error| {
                StoreError::Unavailable(format!("{name} {}: {}", path.display(), error.kind()))
            })?;
        }
        Ok(self.url.expose().parse()?)
    }

    /// Sets a new connection up and looks at the server (F10).
    pub(super) async fn prepare(&self, connection: &mut AnyConnection, of: Use) -> Result<(), sqlx::Error> {
        let rest = match of {
            Use::Write | Use::Count => WRITING,
            Use::Read => READING,
            Use::OnlyRead => ONLY_READING,
        };
        let session = sqlx::AssertSqlSafe(format!("{SESSION}{rest}"));
        sqlx::raw_sql(session).execute(&mut *connection).await?;
        if of != Use::OnlyRead {
            self.look(&mut *connection).await?;
        }
        if of == Use::Count {
            sqlx::raw_sql("SET synchronous_commit = off").execute(connection).await?;
        }
        Ok(())
    }

    /// Looks at the server's promises and at its clock.
    pub(in crate::store) async fn look(&self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        let before = self.clock.now();
        let found: (String, String, String, String, String, i64) =
            sqlx::query_as(LOOK).fetch_one(connection).await?;
        let after = self.clock.now();
        let (least, most) = (found.5 - after.as_microsecond(), found.5 - before.as_microsecond());
        // What may still be true stays: a slow answer must not move the time.
        if !(least..=most).contains(&self.ahead.load(Ordering::Relaxed)) {
            self.ahead.store(i64::midpoint(least, most), Ordering::Relaxed);
        }
        let fault = fault([&found.0, &found.1, &found.2, &found.3, &found.4]);
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
        Ok(())
    }

    /// Microseconds by which the time of this store differs from the process's clock (F34).
    ///
    /// A clock that a test steers is taken as it is.
    pub(super) fn ahead(&self) -> i64 {
        if self.clock.is_steered() { 0 } else { self.ahead.load(Ordering::Relaxed) }
    }

    fn fault(&self) -> Option<&'static str> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a writing transaction, once it is the only one.
    pub(super) async fn begin(&self, pool: &Pool) -> Result<Tx, StoreError> {
        let mut tx = pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        if self.fault().is_some() {
            // It may be mended.
            self.look(&mut tx).await?;
        }
        if let Some(why) = self.fault() {
            return Err(StoreError::Unfit(why));
        }
        sqlx::query(WRITER).execute(&mut *tx).await?;
        Ok(tx)
    }

    pub(super) async fn info(&self, pool: &Pool) -> Result<ServerInfo, StoreError> {
        let (version, rights): (String, i64) = sqlx::query_as(
            "SELECT current_setting('server_version'), CAST(CASE WHEN \
             has_table_privilege('audit', 'UPDATE, DELETE, TRUNCATE') THEN 1 ELSE 0 END AS BIGINT)",
        )
        .fetch_one(pool)
        .await?;
        let version = version.split(' ').next().unwrap_or_default().to_owned();
        let shown = format!("{} (version {version})", self.url);
        Ok(ServerInfo { shown, may_change_audit: rights == 1 })
    }

    /// Whether the database was never migrated.
    pub(super) async fn is_empty(&self, pool: &Pool) -> Result<bool, StoreError> {
        let table: Option<String> =
            sqlx::query_scalar("SELECT CAST(to_regclass('schema_version') AS TEXT)").fetch_one(pool).await?;
        Ok(table.is_none())
    }
}

/// Begins a transaction that counts calls.
pub(super) async fn begin_light(pool: &Pool) -> Result<Tx, StoreError> {
    let mut tx = pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    sqlx::query(COUNTER).execute(&mut *tx).await?;
    Ok(tx)
}

/// A database server, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// Its database, host and version.
    pub shown: String,
    /// Whether this process's role may change or delete records of the audit trail.
    pub may_change_audit: bool,
}

/// Whether a connection may be used again: without a transaction that someone gave up on.
pub(super) async fn released(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    let cleared = async {
        if connection.is_in_transaction() {
            // Lets a rollback that is on its way end.
            connection.ping().await?;
        }
        // A `BEGIN` that nobody waited for counts as none here and as one at the server.
        sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await
    };
    match tokio::time::timeout(Duration::from_secs(1), cleared).await {
        Ok(done) => done.map(|_| true),
        Err(_) => Ok(false),
    }
}

/// Why a server is not trusted with records of writes, and what to do (F10).
fn fault([standby, read_only, fsync, full_pages, commits]: [&String; 5]) -> Option<&'static str> {
    if standby == "on" {
        return Some("it is a standby; name the primary in ZIA_MCP_DATABASE_URL");
    }
    if read_only == "on" {
        return Some("transactions are read-only by default; set default_transaction_read_only = off");
    }
    if fsync == "off" {
        return Some("fsync is off, so a crash could lose what was recorded; set fsync = on and reload");
    }
    if full_pages == "off" {
        return Some(
            "full_page_writes is off, so a crash could damage records; set full_page_writes = on and reload",
        );
    }
    if commits == "off" {
        return Some(
            "synchronous_commit is off, so a crash could lose what was recorded; set synchronous_commit = on for this \
             role or database",
        );
    }
    None
}

/// Sorts the server's SQLSTATE codes.
pub(in crate::store) fn of_code(code: &str) -> StoreError {
    let why = match code {
        "25006" => return StoreError::Unfit("it takes no writes; name the primary in ZIA_MCP_DATABASE_URL"),
        "XX001" | "XX002" => return StoreError::Corrupt,
        "53100" => "the disk of the database server is full",
        "53300" => "the database server has no connection left",
        LOCKED => "another process held the lock for too long",
        "57014" => "no answer within two seconds",
        "28000" | "28P01" => "the database server refused the sign-in; check ZIA_MCP_DATABASE_URL",
        "3D000" => "the database server has no such database; check ZIA_MCP_DATABASE_URL",
        "42501" => {
            "the database role lacks a right; run `zia-mcp store migrate` as the owner and grant what the README names"
        }
        "42P01" => "the database holds no store; run `zia-mcp store migrate` as its owner",
        "25P03" | "57P01" | "57P02" | "57P03" => "the database server ended the connection",
        _ => "the database refused a statement",
    };
    StoreError::unavailable(why)
}
