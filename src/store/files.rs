//! The state directory and private files.

use std::{
    fs::{self, DirBuilder, File},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock, open},
    io::Errno,
    process::geteuid,
};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{StoreError, engine::LIMIT};

/// The largest private file that is read, in bytes.
const MAX_PRIVATE: u64 = 64 * 1024;

/// The state directory, checked and held open.
pub(super) struct StateDir {
    pub(super) path: PathBuf,
    handle: File,
}

/// What a path must be.
#[derive(Clone, Copy)]
enum Kind {
    Directory,
    File,
}

/// Makes the directory if it is missing, and refuses one that others can enter.
pub(super) fn state_dir(path: &Path) -> Result<StateDir, StoreError> {
    // Without a trailing slash, which would follow a symbolic link.
    let path: PathBuf = path.components().collect();
    if fs::symlink_metadata(&path).is_err_and(|e| e.kind() == ErrorKind::NotFound) {
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(|e| StoreError::io(&path, &e))?;
    }
    let handle = open_private(&path, Kind::Directory)?;
    refuse_network(&path)?;
    Ok(StateDir { path, handle })
}

impl StateDir {
    /// Makes an empty private file unless it is there, and refuses one that others can read.
    pub(super) fn ensure_file(&self, path: &Path) -> Result<(), StoreError> {
        match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(_) => self.handle.sync_all().map_err(|e| StoreError::io(path, &e))?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(StoreError::io(path, &error)),
        }
        open_private(path, Kind::File).map(drop)
    }
}

/// Refuses a directory that became open to others or went away.
pub(super) fn recheck(path: &Path) -> Result<(), StoreError> {
    open_private(path, Kind::Directory).map(drop)
}

/// Holds the directory for one starting process; freed on drop.
///
/// Turning the write-ahead log on and making the key are not safe to do twice at once.
pub(super) async fn lock(dir: &StateDir) -> Result<File, StoreError> {
    let handle = open_private(&dir.path, Kind::Directory)?;
    let deadline = Instant::now() + LIMIT;
    while let Err(error) = flock(&handle, FlockOperation::NonBlockingLockExclusive) {
        if !matches!(error, Errno::WOULDBLOCK | Errno::INTR) {
            return Err(StoreError::io(&dir.path, &error.into()));
        }
        if Instant::now() >= deadline {
            return Err(StoreError::unavailable("another process is starting on the same state directory"));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(handle)
}

/// Reads a private file; `None` if there is none.
pub(super) fn read_private(path: &Path) -> Result<Option<Zeroizing<String>>, StoreError> {
    if fs::symlink_metadata(path).is_err_and(|e| e.kind() == ErrorKind::NotFound) {
        return Ok(None);
    }
    let mut text = Zeroizing::new(String::with_capacity(4096));
    open_private(path, Kind::File)?
        .take(MAX_PRIVATE)
        .read_to_string(&mut text)
        .map_err(|e| StoreError::io(path, &e))?;
    Ok(Some(text))
}

/// Writes a new private file whole, or not at all; leaves one that is already there.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), StoreError> {
    let failed = |e: std::io::Error| StoreError::io(path, &e);
    let dir = folder_of(path);
    let draft = dir.join(format!(".{}.new", uuid::Uuid::new_v4().simple()));
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(failed)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        // Unlike a rename, a link never replaces.
        .and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft).map_err(failed)?;
    match written {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed(error)),
        _ => File::open(dir).and_then(|d| d.sync_all()).map_err(failed),
    }
}

/// Opens a private file for reading; `None` if there is none.
pub(super) fn open_existing(path: &Path) -> Result<Option<File>, StoreError> {
    if fs::symlink_metadata(path).is_err_and(|e| e.kind() == ErrorKind::NotFound) {
        return Ok(None);
    }
    open_private(path, Kind::File).map(Some)
}

/// Writes a private file whole, in the place of one that may be there.
pub(super) fn replace_private(path: &Path, text: &str) -> Result<(), StoreError> {
    replace_private_by(&path.with_file_name(format!(".{}.new", uuid::Uuid::new_v4().simple())), path, text)
}

/// The same, with a draft of this name, which must not be there.
pub(super) fn replace_private_by(draft: &Path, path: &Path, text: &str) -> Result<(), StoreError> {
    let failed = |e: std::io::Error| StoreError::io(path, &e);
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft).map_err(failed)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(draft, path))
        .and_then(|()| File::open(folder_of(path)))
        .and_then(|dir| dir.sync_all());
    written.map_err(|error| {
        // Gone already where only the last step failed.
        let _ = fs::remove_file(draft);
        failed(error)
    })
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::io(path, &error)),
        _ => Ok(()),
    }
}

/// Holds a file for one process; freed on drop, and by the kernel however the process ends.
pub(super) fn hold(path: &Path) -> Result<Option<File>, StoreError> {
    let file = open_private(path, Kind::File)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(StoreError::io(path, &error.into())),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Opens what belongs to us alone, following no symbolic link.
fn open_private(path: &Path, kind: Kind) -> Result<File, StoreError> {
    let failed = |e: std::io::Error| StoreError::io(path, &e);
    if fs::symlink_metadata(path).map_err(failed)?.is_symlink() {
        return Err(StoreError::insecure(path, "is a symbolic link", "name the real path instead".into()));
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(open(path, flags, Mode::empty()).map_err(|e| failed(e.into()))?);
    let about = file.metadata().map_err(failed)?;
    let (fits, mode, wanted) = match kind {
        Kind::Directory => (about.is_dir(), "700", "is not a directory"),
        Kind::File => (about.is_file(), "600", "is not a plain file"),
    };
    if !fits {
        return Err(StoreError::insecure(path, wanted, "move it away".into()));
    }
    if about.uid() != geteuid().as_raw() {
        let remedy = format!("run: chown {} {}", geteuid().as_raw(), path.display());
        return Err(StoreError::insecure(path, "belongs to another user", remedy));
    }
    if about.mode() & 0o077 != 0 {
        let remedy = format!("run: chmod {mode} {}", path.display());
        return Err(StoreError::insecure(path, "is open to other users", remedy));
    }
    Ok(file)
}

/// Refuses file systems on which several processes cannot share SQLite's log (F6).
#[cfg(target_os = "linux")]
fn refuse_network(path: &Path) -> Result<(), StoreError> {
    /// NFS, SMB, CIFS and SMB2, as `statfs(2)` lists them.
    const NETWORK: [i64; 4] = [0x6969, 0x517B, 0xFF53_4D42, 0xFE53_4D42];
    let about = rustix::fs::statfs(path).map_err(|e| StoreError::io(path, &e.into()))?;
    if NETWORK.contains(&(about.f_type as i64)) {
        return Err(StoreError::unavailable(
            "the state directory is on a network file system; use a local one",
        ));
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn refuse_network(_: &Path) -> Result<(), StoreError> {
    Ok(())
}
