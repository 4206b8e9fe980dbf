//! Checkpoints outside the database: the newest beside it, all of them where the operator says.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use super::{
    StoreError,
    checkpoints::{Checkpoint, Newest},
    files,
};

/// The file's name in the state directory.
const FILE: &str = "checkpoints";

/// The longest line that is read, in bytes; a checkpoint has some 500.
const MAX_LINE: u64 = 16 * 1024;

/// What a line of a file is.
pub(super) enum Line {
    Checkpoint(Checkpoint),
    /// The end of one is missing, as after a crash; whoever could cut it could take it away too.
    Torn,
    /// Something else.
    Foreign,
}

/// Adds checkpoints to the end of a file, one JSON object a line, and makes them durable.
///
/// Only ever appends, so the file may be one that cannot be changed otherwise.
///
/// # Errors
/// What the system answered. Some lines may have been written.
pub fn append_checkpoints(path: &Path, checkpoints: &[Checkpoint]) -> io::Result<()> {
    let mut text = String::new();
    for checkpoint in checkpoints {
        text.push_str(&checkpoint.to_json().to_string());
        text.push('\n');
    }
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    if ends_torn(path)? {
        text.insert(0, '\n');
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Whether the last line lacks its end.
fn ends_torn(path: &Path) -> io::Result<bool> {
    // One that may be written and not read is taken to be whole.
    let Ok(mut file) = File::open(path) else { return Ok(false) };
    if file.metadata()?.len() == 0 || !file.metadata()?.is_file() {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// The file in the state directory.
pub(super) fn own(state_dir: &Path) -> PathBuf {
    state_dir.join(FILE)
}

/// The newest checkpoint of each tenant, as the state directory has it.
pub(super) fn newest(state_dir: &Path) -> Result<Newest, StoreError> {
    let mut newest = Newest::new();
    let Some(file) = files::open_existing(&own(state_dir))? else { return Ok(newest) };
    for_each_line(file, |_, line| match line {
        Line::Checkpoint(checkpoint) => {
            let seq = checkpoint.seq;
            if newest.get(&checkpoint.tenant).is_none_or(|other| other.seq < seq) {
                newest.insert(checkpoint.tenant.clone(), checkpoint);
            }
            Ok(())
        }
        Line::Torn | Line::Foreign => Err(StoreError::Corrupt),
    })?;
    Ok(newest)
}

/// Writes the file in the state directory anew, unless nothing in it changes.
pub(super) fn keep<'a>(
    state_dir: &Path,
    mut kept: Newest,
    newer: impl Iterator<Item = &'a Checkpoint>,
) -> Result<(), StoreError> {
    let mut changed = false;
    for checkpoint in newer {
        if kept.get(&checkpoint.tenant).is_none_or(|other| other.seq < checkpoint.seq) {
            kept.insert(checkpoint.tenant.clone(), checkpoint.clone());
            changed = true;
        }
    }
    if !changed {
        return Ok(());
    }
    let lines: String = kept.values().map(|checkpoint| format!("{}\n", checkpoint.to_json())).collect();
    files::replace_private(&own(state_dir), &lines)
}

/// Reads a file line by line, with the number of each from 1.
pub(super) fn for_each_line(
    file: File,
    mut each: impl FnMut(u64, Line) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let unreadable = |_| StoreError::unavailable("a file of checkpoints cannot be read");
    let mut reader = BufReader::new(file);
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        if (&mut reader).take(MAX_LINE).read_until(b'\n', &mut bytes).map_err(unreadable)? == 0 {
            break;
        }
        let text = std::str::from_utf8(&bytes).map(str::trim_end).unwrap_or("\u{FFFD}");
        if text.is_empty() {
            continue;
        }
        let line = match Checkpoint::parse(text) {
            Ok(checkpoint) => Line::Checkpoint(checkpoint),
            Err(Some(error)) if error.is_eof() => Line::Torn,
            Err(_) => Line::Foreign,
        };
        each(number, line)?;
    }
    Ok(())
}
