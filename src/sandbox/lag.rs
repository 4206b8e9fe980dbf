//! Reads that do not yet see a write.

use std::collections::HashMap;
use std::sync::Arc;

use super::table::by_name;
use super::user::UserRow;

/// The users whose last write some reads still miss.
#[derive(Default)]
pub(super) struct Lag {
    held: HashMap<u64, Held>,
}

struct Held {
    before: Option<Arc<UserRow>>,
    reads: u32,
}

impl Lag {
    /// Shows the next `reads` reads a user as they were `before`; `None` is no such user.
    pub(super) fn hold(&mut self, id: u64, before: Option<Arc<UserRow>>, reads: u32) {
        self.held.insert(id, Held { before, reads });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// What a read by id sees of a user who is `now`.
    pub(super) fn read(&mut self, id: u64, now: Option<Arc<UserRow>>) -> Option<Arc<UserRow>> {
        let Some(held) = self.held.get_mut(&id) else { return now };
        held.reads = held.reads.saturating_sub(1);
        let before = held.before.clone();
        self.forget_spent();
        before
    }

    /// What a read of all users sees.
    pub(super) fn read_all<'a>(&mut self, now: impl Iterator<Item = &'a Arc<UserRow>>) -> Vec<Arc<UserRow>> {
        let mut rows: Vec<_> = now.filter(|row| !self.held.contains_key(&row.id)).cloned().collect();
        for held in self.held.values_mut() {
            held.reads = held.reads.saturating_sub(1);
            rows.extend(held.before.clone());
        }
        rows.sort_by(|a, b| by_name(a, b));
        self.forget_spent();
        rows
    }

    fn forget_spent(&mut self) {
        self.held.retain(|_, held| held.reads > 0);
    }
}
