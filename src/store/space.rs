//! Room on the disk: what is left, and a little that is kept for the results of writes.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{FallocateFlags, OFlags};

use super::StoreError;

/// Free disk space below which nothing new is sent, in bytes (F1).
const HEADROOM: u64 = 64 * 1024 * 1024;

/// What is kept for recording how a write ended on a disk that is full meanwhile, in bytes (F2).
const RESERVE: u64 = 4 * 1024 * 1024;

/// The file that holds the reserve, in the state directory.
pub(super) const FILE: &str = "reserve";

/// Tells the free bytes of the disk on which a directory is.
pub(super) type FreeSpace = Arc<dyn Fn(&Path) -> io::Result<u64> + Send + Sync>;

/// The disk under the state directory.
pub(super) struct Space {
    dir: PathBuf,
    free: FreeSpace,
}

impl Space {
    pub(super) fn new(dir: &Path, free: FreeSpace) -> Self {
        Self { dir: dir.to_owned(), free }
    }

    /// Refuses to go on where the disk is nearly full.
    pub(super) fn check_headroom(&self) -> Result<(), StoreError> {
        let free = (self.free)(&self.dir).map_err(|e| StoreError::io(&self.dir, &e))?;
        if free < HEADROOM {
            return Err(StoreError::unavailable("less than 64 MiB of disk space is left"));
        }
        Ok(())
    }

    /// Keeps the reserve, unless it is kept or the disk is nearly full.
    ///
    /// Going without is no reason to stop: it is one safety of several.
    pub(super) fn keep_reserve(&self) {
        let path = self.dir.join(FILE);
        let kept = fs::symlink_metadata(&path).is_ok_and(|about| about.blocks() * 512 >= RESERVE);
        if kept || !(self.free)(&self.dir).is_ok_and(|free| free >= HEADROOM + RESERVE) {
            return;
        }
        if let Err(error) = allocate(&path) {
            tracing::warn!(error.kind = %error.kind(), "no disk space could be reserved for results");
            self.release();
        }
    }

    /// Gives the reserve up if a record would find no room without it.
    pub(super) fn make_room(&self) {
        if (self.free)(&self.dir).is_ok_and(|free| free < RESERVE) {
            self.release();
        }
    }

    /// Gives the reserve up; the empty file stays.
    pub(super) fn release(&self) {
        let opened = fs::OpenOptions::new().write(true).custom_flags(no_follow()).open(self.dir.join(FILE));
        let held = |file: &File| file.metadata().is_ok_and(|about| about.is_file() && about.len() > 0);
        if let Some(file) = opened.ok().filter(held)
            && file.set_len(0).is_ok()
        {
            tracing::warn!("the disk is full: its reserve is released to record what was sent");
        }
    }
}

/// What the operating system says is free for us.
pub(super) fn of_disk() -> FreeSpace {
    Arc::new(|dir| {
        let about = rustix::fs::statvfs(dir)?;
        Ok(about.f_bavail.saturating_mul(about.f_frsize))
    })
}

/// Makes the file with blocks of its own, not a hole.
fn allocate(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(no_follow());
    let mut file = options.open(path)?;
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, RESERVE) {
        Ok(()) => {}
        Err(rustix::io::Errno::OPNOTSUPP) => {
            let part = [0; 64 * 1024];
            (0..RESERVE / part.len() as u64).try_for_each(|_| file.write_all(&part))?;
        }
        Err(error) => return Err(error.into()),
    }
    file.sync_all()
}

/// A link in the reserve's place is not followed.
fn no_follow() -> i32 {
    i32::try_from((OFlags::NOFOLLOW | OFlags::CLOEXEC).bits()).unwrap_or_default()
}
