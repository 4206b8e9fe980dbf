//! Which processes on this store are alive.
//!
//! Each that carries operations out holds a lock on a file of its own. The kernel frees it however
//! the process ends, so nobody has to guess from times whether an operation was left behind. On
//! PostgreSQL it also holds a lock of the server, which other hosts see.

mod session;

use std::{
    collections::HashSet,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};

use super::{
    Store, StoreError,
    engine::{Tx, bounded},
    files,
};
use session::Session;

/// The folder of the files, in the state directory.
pub(super) const FOLDER: &str = "running";

/// After which time the file of a process that ended is of no use to anyone.
const KEPT: Duration = Duration::from_hours(24);

/// This process, as the others see it; gone when it is dropped.
#[derive(Debug)]
pub(super) struct Presence {
    name: String,
    path: PathBuf,
    session: Option<Session>,
    _held: File,
}

/// How a process stands, as far as can be told from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Present,
    /// Not heard of; a process on another host may be cut off and run all the same.
    Away,
    /// It has certainly ended.
    Gone,
}

/// The sessions of all hosts, as they were last looked at; plain, since no await happens under it.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashSet<i64>>);

impl Drop for Presence {
    fn drop(&mut self) {
        // A file that stays is held by nobody, which says the same. Beside a server it does stay:
        // the server may take a moment to notice the end, and a file without a holder is certain.
        if self.session.is_none() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn announce(store: &Store) -> Result<Presence, StoreError> {
    let state_dir = &store.0.state_dir;
    // A state directory that went away must not come back empty.
    files::recheck(state_dir)?;
    let folder = files::state_dir(&state_dir.join(FOLDER))?;
    let name = uuid::Uuid::new_v4().simple().to_string();
    let path = folder.path.join(&name);
    folder.ensure_file(&path)?;
    let held = File::open(&path).map_err(|e| StoreError::io(&path, &e))?;
    flock(&held, FlockOperation::NonBlockingLockExclusive).map_err(|e| StoreError::io(&path, &e.into()))?;
    let session = match store.0.engine.server() {
        None => None,
        Some(server) => {
            tidy(&folder.path);
            let started = Session::start(server.clone(), &name);
            Some(
                started
                    .ok_or_else(|| StoreError::unavailable("no session with the server can be started"))?,
            )
        }
    };
    Ok(Presence { name, path, session, _held: held })
}

/// Removes files of processes that ended long ago.
fn tidy(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let age = entry.metadata().ok().and_then(|about| about.modified().ok()?.elapsed().ok());
        let is_old = age.is_some_and(|age| age > KEPT) && is_name(&entry.file_name().to_string_lossy());
        if is_old && File::open(entry.path()).is_ok_and(|file| !is_held(&file)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn is_name(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_held(file: &File) -> bool {
    flock(file, FlockOperation::NonBlockingLockShared).is_err()
}

impl Store {
    /// The name under which this process carries operations out; `None` where it cannot be told.
    pub fn presence(&self) -> Option<String> {
        self.announced().map(|p| p.name.clone())
    }

    fn announced(&self) -> Option<&Presence> {
        let presence = self.0.presence.get_or_init(|| {
            announce(self)
                .inspect_err(
                    |error| tracing::warn!(%error, "this process cannot be told from one that ended"),
                )
                .ok()
        });
        presence.as_ref()
    }

    /// This process's name, which it may use in this transaction: it was not cut off.
    pub(super) async fn name_in(&self, tx: &mut Tx) -> Result<Option<String>, StoreError> {
        let presence = self.announced();
        if let Some(session) = presence.and_then(|p| p.session.as_ref()) {
            session.require(tx).await?;
        } else if self.0.engine.server().is_some() {
            return Err(StoreError::unavailable(
                "this process has no place among those on the database server",
            ));
        }
        Ok(presence.map(|p| p.name.clone()))
    }

    /// Lets other hosts know that this process carries nothing out any more.
    pub(super) fn leave(&self) {
        if let Some(session) = self.0.presence.get().and_then(|p| p.as_ref()?.session.as_ref()) {
            session.end();
        }
    }

    /// Whether the process of that name still runs.
    ///
    /// Of one on another host, as it was when an operation was last read or claimed.
    pub fn is_present(&self, name: &str) -> bool {
        self.standing(name) == Standing::Present
    }

    pub(super) fn standing(&self, name: &str) -> Standing {
        if !is_name(name) {
            return Standing::Gone;
        }
        if let Ok(file) = File::open(self.0.state_dir.join(FOLDER).join(name)) {
            return if is_held(&file) { Standing::Present } else { Standing::Gone };
        }
        if self.0.engine.server().is_none() {
            return Standing::Gone;
        }
        let sessions = self.0.sessions.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_there = session::key(name).is_some_and(|key| sessions.contains(&key));
        if is_there { Standing::Present } else { Standing::Away }
    }

    /// Looks which processes of other hosts run.
    pub(super) async fn look_around(&self) -> Result<(), StoreError> {
        if self.0.engine.server().is_none() {
            return Ok(());
        }
        bounded(async {
            let found = sqlx::query_scalar(session::ALL).fetch_all(self.0.engine.reader()).await?;
            self.saw(found);
            Ok(())
        })
        .await
    }

    /// The same, inside a transaction.
    pub(super) async fn look_around_in(&self, tx: &mut Tx) -> Result<(), StoreError> {
        if self.0.engine.server().is_some() {
            self.saw(sqlx::query_scalar(session::ALL).fetch_all(&mut **tx).await?);
        }
        Ok(())
    }

    fn saw(&self, found: Vec<i64>) {
        *self.0.sessions.0.lock().unwrap_or_else(PoisonError::into_inner) = found.into_iter().collect();
    }
}
