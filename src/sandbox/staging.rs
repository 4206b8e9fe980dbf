//! Staged changes, and what is live meanwhile.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use super::user::UserRow;

/// A change that waits for activation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StagedChange {
    /// Whose edit it is.
    pub admin: Arc<str>,
    /// What was done, such as `delete user`.
    pub what: &'static str,
    /// The user concerned; none for other kinds of configuration.
    pub user_id: Option<u64>,
}

/// What was edited since the last activation.
#[derive(Default)]
pub(super) struct Staging {
    changes: Vec<StagedChange>,
    /// What enforcement still sees of the users with staged changes; `None` is no such user.
    live: HashMap<u64, Option<Arc<UserRow>>>,
}

impl Staging {
    /// Notes an edit of a user who was `before` until now.
    pub(super) fn user(
        &mut self,
        admin: &Arc<str>,
        what: &'static str,
        id: u64,
        before: Option<Arc<UserRow>>,
    ) {
        self.live.entry(id).or_insert(before);
        self.other(admin, what, Some(id));
    }

    /// Notes an edit of anything.
    pub(super) fn other(&mut self, admin: &Arc<str>, what: &'static str, user_id: Option<u64>) {
        self.changes.push(StagedChange { admin: Arc::clone(admin), what, user_id });
    }

    pub(super) fn changes(&self) -> &[StagedChange] {
        &self.changes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Makes every change live.
    pub(super) fn publish_all(&mut self) -> bool {
        let any = !self.changes.is_empty();
        self.changes.clear();
        self.live.clear();
        any
    }

    /// Makes one administrator's changes live; a user whom another is editing too waits for them.
    pub(super) fn publish_of(&mut self, admin: &str) -> bool {
        let before = self.changes.len();
        self.changes.retain(|change| *change.admin != *admin);
        let waiting: HashSet<u64> = self.changes.iter().filter_map(|change| change.user_id).collect();
        self.live.retain(|id, _| waiting.contains(id));
        self.changes.len() < before
    }

    /// Makes one administrator's changes to one user live.
    pub(super) fn publish_one(&mut self, admin: &str, id: u64) {
        self.changes.retain(|change| *change.admin != *admin || change.user_id != Some(id));
        if !self.changes.iter().any(|change| change.user_id == Some(id)) {
            self.live.remove(&id);
        }
    }

    /// What is live of a user who is staged as `staged`.
    pub(super) fn live(&self, id: u64, staged: Option<Arc<UserRow>>) -> Option<Arc<UserRow>> {
        self.live.get(&id).cloned().unwrap_or(staged)
    }

    /// The users whose live state differs from the staged one.
    pub(super) fn differing(&self) -> impl Iterator<Item = (&u64, &Option<Arc<UserRow>>)> {
        self.live.iter()
    }
}
