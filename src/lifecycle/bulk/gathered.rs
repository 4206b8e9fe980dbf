//! Users who were read for a call that could not read all of its users in time.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

use crate::{directory::Seen, lifecycle::subject::name_of, model::UserRef};

/// How old a reading may be when an operation is drafted from it.
///
/// Each user is read again and compared right before the delete, so that an old one costs a `changed`.
const GOOD_FOR: SignedDuration = SignedDuration::from_mins(15);

/// The most users that are kept; what is beyond is read again.
const MOST: usize = 1_000;

/// What was read, by the name that a call gave.
#[derive(Default)]
pub(crate) struct Gathered(Mutex<HashMap<String, (Timestamp, Seen)>>);

/// Users are personal data, which no debug form shows.
impl std::fmt::Debug for Gathered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gathered")
    }
}

impl Gathered {
    /// A user who was read a moment ago; each reading is given once.
    pub(super) fn take(&self, who: &UserRef, now: Timestamp) -> Option<(Timestamp, Seen)> {
        let (at, seen) = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&name_of(who))?;
        (now.duration_since(at) < GOOD_FOR).then_some((at, seen))
    }

    /// Keeps what was read, for the same call once more.
    pub(super) fn keep(&self, all: impl Iterator<Item = (UserRef, Timestamp, Seen)>, now: Timestamp) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (at, _)| now.duration_since(*at) < GOOD_FOR);
        for (who, at, seen) in all.take(MOST.saturating_sub(kept.len())) {
            kept.insert(name_of(&who), (at, seen));
        }
    }
}
