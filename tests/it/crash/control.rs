//! The words by which the rig tells the child where to die.

use std::{fs::File, os::unix::fs::FileExt as _, path::Path};

/// The kinds of points; they add up.
pub(super) const SYNC: u32 = 1;
pub(super) const SEND: u32 = 2;
pub(super) const ANSWER: u32 = 4;
pub(super) const PAGE: u32 = 8;

/// How to die at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Before = 0,
    After = 1,
    /// Half of what is written or sent is.
    Half = 2,
}

/// How far the write of a user has to be before points count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    None = 0,
    Sent = 1,
    Answered = 2,
}

/// Where to die: at the `n`-th point of some kinds, from 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strike {
    pub(super) n: u32,
    pub(super) kinds: u32,
    pub(super) mode: Mode,
    pub(super) gate: Gate,
}

impl Strike {
    pub(super) fn at(n: u32, kinds: u32, mode: Mode) -> Self {
        Self { n, kinds, mode, gate: Gate::None }
    }

    pub(super) fn once(self, gate: Gate) -> Self {
        Self { gate, ..self }
    }
}

/// Seven 32-bit words in a file that the child maps, in the order of `struct control`.
#[derive(Debug)]
pub(super) struct Control(File);

const WORDS: usize = 7;
const STRUCK: usize = 6;

impl Control {
    pub(super) fn new(path: &Path) -> Self {
        let open = File::options().read(true).write(true).create(true).truncate(true).open(path);
        let control = Self(open.unwrap());
        control.disarm();
        control
    }

    pub(super) fn disarm(&self) {
        self.0.write_all_at(&[0; WORDS * 4], 0).unwrap();
    }

    /// Counts from now on; the target comes last, since the child may be running.
    pub(super) fn arm(&self, strike: Strike) {
        self.disarm();
        let words = [strike.mode as u32, strike.kinds, strike.gate as u32];
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        self.0.write_all_at(&bytes, 4).unwrap();
        self.0.write_all_at(&strike.n.to_le_bytes(), 0).unwrap();
    }

    /// The kind of the point at which the child died, if it did at one.
    pub(super) fn struck(&self) -> Option<u32> {
        let mut word = [0; 4];
        self.0.read_exact_at(&mut word, 4 * STRUCK as u64).unwrap();
        Some(u32::from_le_bytes(word)).filter(|kind| *kind != 0)
    }
}
