//! A process's session with the database server, which tells the other hosts that it runs.
//!
//! It holds an advisory lock that is made from the process's name. The server frees it as soon as
//! it knows the connection to be gone, which is at once when a process ends. A process that was
//! only cut off loses it, too, and may still have a request on its way to ZIA. So:
//!
//! - Who does not hold the lock begins no send; that is looked up in the transaction that would
//!   record the send. Claims are writing transactions as well and see each other's outcome.
//! - What a process without lock left behind is claimed at once only if no send of it is open.
//!   With an open one, its lease must have ended: nothing is sent with less of a lease left than a
//!   write may take. Then reading tells what the send did, before another one.
//!
//! The server's own end frees all locks at once and so breaks neither rule.

use std::{sync::Arc, time::Duration};

use sqlx::{AnyConnection, ConnectOptions as _, Connection as _};
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::{sleep, timeout},
};

use crate::store::{
    StoreError,
    engine::{LIMIT, Tx, postgres::Server},
};

/// How often the session shows that it lives, and the server's clock is read.
const BEAT: Duration = Duration::from_secs(1);

/// Before another attempt to get a session.
const AGAIN: Duration = Duration::from_millis(250);

/// How long a call waits for the session, which a process has from its first operation on.
const PATIENCE: Duration = Duration::from_secs(1);

/// The server ends a session from which it hears nothing for ten beats.
const SETUP: &str = "SET client_min_messages = 'error'; SET statement_timeout = '1900ms'; \
                     SET idle_session_timeout = '10s'; SET tcp_keepalives_idle = 5; \
                     SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3";

const LOCK: &str =
    "SELECT CASE WHEN pg_try_advisory_lock($1) THEN 1 ELSE 0 END, CAST(pg_backend_pid() AS BIGINT)";

/// Ends a session of ours that the server still takes for alive.
const END: &str = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 \
                   AND (CAST(classid AS BIGINT) << 32 | CAST(objid AS BIGINT)) = $1 AND granted \
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

const HELD: &str = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted \
                    AND (CAST(classid AS BIGINT) << 32 | CAST(objid AS BIGINT)) = $1 AND pid = $2 \
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// The keys of all sessions.
pub(super) const ALL: &str = "SELECT CAST(classid AS BIGINT) << 32 | CAST(objid AS BIGINT) FROM pg_locks \
                              WHERE locktype = 'advisory' AND objsubid = 1 AND granted \
                              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// The number of a process's lock: half of its random name.
pub(super) fn key(name: &str) -> Option<i64> {
    u64::from_str_radix(name.get(..16)?, 16).ok().map(u64::cast_signed)
}

/// This process's session, kept up in the background until it is dropped.
#[derive(Debug)]
pub(super) struct Session {
    key: i64,
    /// The server's process behind the session, while it holds the lock.
    held: watch::Receiver<Option<i64>>,
    lost: Arc<Notify>,
    task: AbortHandle,
}

impl Session {
    /// Starts to get one; `None` outside of a runtime.
    pub(super) fn start(server: Arc<Server>, name: &str) -> Option<Self> {
        let key = key(name)?;
        let (told, held) = watch::channel(None);
        let lost = Arc::new(Notify::new());
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        let task = runtime.spawn(keep(server, key, told, lost.clone())).abort_handle();
        Some(Self { key, held, lost, task })
    }

    /// Ends it, and with it the lock.
    pub(super) fn end(&self) {
        self.task.abort();
    }

    /// Demands that the lock is held, as this transaction sees it.
    pub(super) async fn require(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let mut held = self.held.clone();
        let waited = timeout(PATIENCE, held.wait_for(Option::is_some)).await;
        let pid = waited.ok().and_then(|held| *held.ok()?).ok_or_else(cut_off)?;
        let count: i64 = sqlx::query_scalar(HELD).bind(self.key).bind(pid).fetch_one(&mut **tx).await?;
        if count == 0 {
            self.lost.notify_one();
            return Err(cut_off());
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

fn cut_off() -> StoreError {
    StoreError::unavailable(
        "this process was cut off from the database server, and is getting its place back",
    )
}

async fn keep(server: Arc<Server>, key: i64, held: watch::Sender<Option<i64>>, lost: Arc<Notify>) {
    loop {
        let ended = hold(&server, key, &held, &lost).await;
        if held.send_replace(None).is_some() {
            tracing::warn!(reason = %ended, "the session with the database server ended; nothing is sent without one");
        }
        sleep(AGAIN).await;
    }
}

/// Gets a session and keeps it as long as it lasts; gives why it ended.
async fn hold(server: &Server, key: i64, held: &watch::Sender<Option<i64>>, lost: &Notify) -> StoreError {
    let mut connection = match in_time(connect(server, key)).await {
        Ok((connection, pid)) => {
            held.send_replace(Some(pid));
            connection
        }
        Err(error) => return error,
    };
    loop {
        tokio::select! {
            () = sleep(BEAT) => {}
            () = lost.notified() => return cut_off(),
        }
        if let Err(error) = in_time(server.look(&mut connection)).await {
            return error;
        }
    }
}

async fn connect(server: &Server, key: i64) -> Result<(AnyConnection, i64), sqlx::Error> {
    let options = server.options().map_err(|error| sqlx::Error::Configuration(Box::new(error)))?;
    let mut connection = options.disable_statement_logging().connect().await?;
    sqlx::raw_sql(SETUP).execute(&mut connection).await?;
    let (got, pid): (i64, i64) = sqlx::query_as(LOCK).bind(key).fetch_one(&mut connection).await?;
    if got == 0 {
        sqlx::query(END).bind(key).execute(&mut connection).await?;
        connection.close().await?;
        return Err(sqlx::Error::PoolTimedOut);
    }
    Ok((connection, pid))
}

async fn in_time<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    match timeout(LIMIT, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(StoreError::unavailable("no answer within two seconds")),
    }
}
