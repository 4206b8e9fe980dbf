//! Which processes on this store are alive.
//!
//! Each that carries operations out holds a lock on a file of its own. The kernel frees it however
//! the process ends, so nobody has to guess from times whether an operation was left behind.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use super::{Store, StoreError, files};

/// The folder of the files, in the state directory.
pub(super) const FOLDER: &str = "running";

/// This process, as the others see it; gone when it is dropped.
#[derive(Debug)]
pub(super) struct Presence {
    name: String,
    path: PathBuf,
    _held: File,
}

impl Drop for Presence {
    fn drop(&mut self) {
        // A file that stays is held by nobody, which says the same.
        let _ = fs::remove_file(&self.path);
    }
}

fn announce(state_dir: &Path) -> Result<Presence, StoreError> {
    // A state directory that went away must not come back empty.
    files::recheck(state_dir)?;
    let folder = files::state_dir(&state_dir.join(FOLDER))?;
    let name = uuid::Uuid::new_v4().simple().to_string();
    let path = folder.path.join(&name);
    folder.ensure_file(&path)?;
    let held = File::open(&path).map_err(|e| StoreError::io(&path, &e))?;
    flock(&held, FlockOperation::NonBlockingLockExclusive).map_err(|e| StoreError::io(&path, &e.into()))?;
    Ok(Presence { name, path, _held: held })
}

impl Store {
    /// The name under which this process carries operations out; `None` where it cannot be told.
    pub fn presence(&self) -> Option<String> {
        let presence = self.0.presence.get_or_init(|| {
            announce(&self.0.state_dir)
                .inspect_err(
                    |error| tracing::warn!(%error, "this process cannot be told from one that ended"),
                )
                .ok()
        });
        presence.as_ref().map(|p| p.name.clone())
    }

    /// Whether the process of that name still runs.
    pub fn is_present(&self, name: &str) -> bool {
        if name.len() != 32 || !name.bytes().all(|b| b.is_ascii_hexdigit()) {
            return false;
        }
        let Ok(file) = File::open(self.0.state_dir.join(FOLDER).join(name)) else { return false };
        flock(&file, FlockOperation::NonBlockingLockShared).is_err()
    }
}
