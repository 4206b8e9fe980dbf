//! Small files that only their owner can read.
//!
//! Secrets live in them. A file that others could have read or replaced is refused, not repaired.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
    path::Path,
};

use rustix::fs::{FileType, Mode, OFlags};
use zeroize::Zeroizing;

/// Largest content read, in bytes; keys and tokens are far smaller.
const MAX: usize = 64 * 1024;

/// Why a private file is not used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// Nothing is there.
    #[error("the file does not exist")]
    Missing,
    /// The path leads elsewhere.
    #[error("the file is a symbolic link")]
    Symlink,
    /// A directory, pipe, device or socket.
    #[error("it is no regular file")]
    NotRegular,
    /// Another user could change it.
    #[error("the file belongs to another user")]
    OtherOwner,
    /// The group or everyone has some access.
    #[error("others can access the file (mode {0:04o}); make it 0600")]
    Loose(u32),
    /// Not the content that is looked for.
    #[error("the file is empty, above 64 KiB, or no UTF-8 text")]
    Content,
    /// The system refused.
    #[error("the file cannot be used: {}", .0.kind())]
    Io(io::Error),
}

impl From<io::Error> for PrivateFileError {
    fn from(error: io::Error) -> Self {
        match rustix::io::Errno::from_io_error(&error) {
            Some(rustix::io::Errno::NOENT) => Self::Missing,
            Some(rustix::io::Errno::LOOP) => Self::Symlink,
            _ => Self::Io(error),
        }
    }
}

/// Reads a private file as text, without the line ends at its end.
///
/// # Errors
///
/// See [`PrivateFileError`]. The checks are made on the opened file, so it cannot be swapped between.
pub fn read(path: &Path) -> Result<Zeroizing<String>, PrivateFileError> {
    // Not blocking, because opening a pipe would wait for its writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?;
    check(&file)?;
    let mut text = Zeroizing::new(String::with_capacity(MAX));
    let read = File::from(file).take(MAX as u64 + 1).read_to_string(&mut text);
    let text = match read {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(PrivateFileError::Content),
        Err(error) => return Err(error.into()),
        Ok(size) if size > MAX => return Err(PrivateFileError::Content),
        Ok(_) => Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()),
    };
    if text.is_empty() { Err(PrivateFileError::Content) } else { Ok(text) }
}

fn check(file: &OwnedFd) -> Result<(), PrivateFileError> {
    let stat = rustix::fs::fstat(file).map_err(io::Error::from)?;
    let mode = stat.st_mode & 0o7777;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        Err(PrivateFileError::NotRegular)
    } else if stat.st_uid != rustix::process::geteuid().as_raw() {
        Err(PrivateFileError::OtherOwner)
    } else if mode & 0o077 != 0 {
        Err(PrivateFileError::Loose(mode))
    } else {
        Ok(())
    }
}

/// Writes a new file of mode 0600 and makes it durable.
///
/// # Errors
///
/// [`PrivateFileError::Io`], also when something is there already.
pub fn create(path: &Path, text: &str) -> Result<(), PrivateFileError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(io::Error::from)?;
    let mut file = File::from(file);
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    Ok(file.sync_all()?)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_private_file_is_read_without_its_line_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        create(&path, "s3cret pass ").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(*read(&path).unwrap(), "s3cret pass ");
        assert!(create(&path, "other").is_err());
        mode(&path, 0o400);
        assert_eq!(*read(&path).unwrap(), "s3cret pass ");
    }

    #[test]
    fn a_file_others_can_access_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        create(&path, "s3cret").unwrap();
        for loose in [0o644, 0o640, 0o604, 0o620, 0o601] {
            mode(&path, loose);
            assert!(matches!(read(&path), Err(PrivateFileError::Loose(m)) if m == loose), "{loose:o}");
        }
    }

    #[test]
    fn links_directories_pipes_and_nothing_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let [path, link, pipe] = ["secret", "link", "pipe"].map(|name| dir.path().join(name));
        assert!(matches!(read(&path), Err(PrivateFileError::Missing)));
        create(&path, "s3cret").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(read(&link), Err(PrivateFileError::Symlink)));
        assert!(matches!(read(dir.path()), Err(PrivateFileError::NotRegular)));
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(matches!(read(&pipe), Err(PrivateFileError::NotRegular)));
    }

    #[test]
    fn an_empty_a_huge_and_a_binary_file_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in [("empty", vec![b'\n']), ("huge", vec![b'x'; MAX + 1]), ("binary", vec![0xff])]
        {
            let path = dir.path().join(name);
            fs::write(&path, content).unwrap();
            mode(&path, 0o600);
            assert!(matches!(read(&path), Err(PrivateFileError::Content)), "{name}");
        }
    }
}
