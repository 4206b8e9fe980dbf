//! The users seen lately, in memory.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{json, value::RawValue};
use tokio::time::Instant;

use super::users::{Known, Seen, to_user};
use crate::{
    model::{User, UserId},
    zia::{Raw, ZiaUser},
};

/// How long a row answers a search without ZIA being asked.
///
/// One full list every 90 s is what ZIA's 40 lists an hour allow (zia-facts §5).
const FRESH: Duration = Duration::from_secs(90);

/// The most users kept; a larger tenant is searched live.
const MAX_USERS: usize = 50_000;

/// How complete the index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexState {
    /// Users in it.
    pub users: usize,
    /// When the last full list was begun.
    pub as_of: Option<Timestamp>,
    /// Whether it holds every user of that time.
    pub complete: bool,
}

/// Rows by id, and the time of the last full list.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Plain, since no await happens under it.
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    rows: HashMap<UserId, Row>,
    by_email: HashMap<String, HashSet<UserId>>,
    /// When users were deleted, so that a list begun before does not bring them back.
    gone: HashMap<UserId, Instant>,
    full: Option<(Instant, Timestamp)>,
}

#[derive(Debug)]
struct Row {
    user: Arc<Entry>,
    seen: Instant,
    as_of: Timestamp,
}

/// A user and its row.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    user: Arc<User>,
    kind: Option<String>,
    row: Box<RawValue>,
    listed: bool,
}

/// A row of ZIA's list.
pub(super) fn listed(row: &Raw<ZiaUser>) -> Entry {
    let (user, kind) = (Arc::new(to_user(&row.value)), row.value.kind.clone());
    Entry { user, kind, row: row.raw.clone(), listed: true }
}

/// A user as our write left it, in the form of a list row.
pub(super) fn written(user: User) -> Entry {
    let row = json!({
        "id": user.id, "name": user.name, "email": user.email, "groups": user.groups,
        "department": user.department, "comments": user.comments, "adminUser": user.admin_user,
        "isNonEditable": !user.editable, "disabled": user.disabled,
    });
    let row = RawValue::from_string(row.to_string()).unwrap_or_default();
    Entry { user: Arc::new(user), kind: None, row, listed: false }
}

impl Index {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Keeps one row as read at a time.
    pub(super) fn keep(&self, user: Entry, as_of: Timestamp) {
        self.lock().keep(user, Instant::now(), as_of);
    }

    /// Forgets a user.
    pub(super) fn forget(&self, id: UserId) {
        let mut inner = self.lock();
        inner.forget(id);
        inner.gone.insert(id, Instant::now());
    }

    /// Replaces everything by a full list that was begun at a time.
    pub(super) fn replace(&self, users: Vec<Entry>, began: Instant, as_of: Timestamp) {
        let mut inner = self.lock();
        // What was read one by one since the list began is newer than the list.
        let newer: Vec<_> = inner
            .rows
            .drain()
            .filter(|(_, r)| r.seen > began)
            .map(|(_, r)| (r.user, r.seen, r.as_of))
            .collect();
        let gone: HashMap<_, _> = inner.gone.drain().filter(|(_, at)| *at > began).collect();
        *inner = Inner::default();
        if users.len() > MAX_USERS {
            return;
        }
        for user in users.into_iter().filter(|u| !gone.contains_key(&u.user.id)) {
            inner.keep(user, began, as_of);
        }
        inner.gone = gone;
        for (user, seen, as_of) in newer {
            inner.keep(Arc::unwrap_or_clone(user), seen, as_of);
        }
        inner.full = Some((began, as_of));
    }

    /// A user by id, if seen lately.
    pub(super) fn by_id(&self, id: UserId) -> Option<(Arc<User>, Timestamp)> {
        let inner = self.lock();
        inner.rows.get(&id).filter(|r| r.seen.elapsed() <= FRESH).map(|r| (Arc::clone(&r.user.user), r.as_of))
    }

    /// A user by address, if seen lately and only one has it.
    pub(super) fn by_email(&self, folded: &str) -> Option<(Arc<User>, Timestamp)> {
        let inner = self.lock();
        let row = inner.only_with(folded)?;
        (row.seen.elapsed() <= FRESH).then(|| (Arc::clone(&row.user.user), row.as_of))
    }

    pub(super) fn known_by_id(&self, id: UserId) -> Option<Known> {
        self.lock().rows.get(&id).map(Row::known)
    }

    pub(super) fn known_by_email(&self, folded: &str) -> Option<Known> {
        self.lock().only_with(folded).map(Row::known)
    }

    pub(super) fn absent(&self, folded: &str) -> Option<Timestamp> {
        let inner = self.lock();
        let (_, as_of) = inner.full?;
        (!inner.by_email.contains_key(folded)).then_some(as_of)
    }

    /// All users, if a full list was read lately.
    pub(super) fn all(&self) -> Option<(Vec<Arc<User>>, Timestamp)> {
        let inner = self.lock();
        let (began, as_of) = inner.full?;
        (began.elapsed() <= FRESH)
            .then(|| (inner.rows.values().map(|r| Arc::clone(&r.user.user)).collect(), as_of))
    }

    /// All users, if a full list was begun after some time.
    pub(super) fn all_begun_after(&self, asked: Instant) -> Option<(Vec<Arc<User>>, Timestamp)> {
        let began_after = self.lock().full.is_some_and(|(began, _)| began >= asked);
        began_after.then(|| self.all()).flatten()
    }

    pub(super) fn state(&self) -> IndexState {
        let inner = self.lock();
        IndexState {
            users: inner.rows.len(),
            as_of: inner.full.map(|(_, at)| at),
            complete: inner.full.is_some(),
        }
    }
}

impl Row {
    fn known(&self) -> Known {
        let Entry { user, kind, row, listed } = (*self.user).clone();
        let seen = Seen { user: Arc::unwrap_or_clone(user), kind, row, by_id: None };
        Known { seen, seen_at: self.as_of, listed }
    }
}

impl Inner {
    fn keep(&mut self, entry: Entry, seen: Instant, as_of: Timestamp) {
        let id = entry.user.id;
        self.forget(id);
        self.gone.remove(&id);
        self.by_email.entry(entry.user.email.to_lowercase()).or_default().insert(id);
        self.rows.insert(id, Row { user: Arc::new(entry), seen, as_of });
    }

    fn only_with(&self, folded: &str) -> Option<&Row> {
        let ids = self.by_email.get(folded).filter(|ids| ids.len() == 1)?;
        self.rows.get(ids.iter().next()?)
    }

    fn forget(&mut self, id: UserId) {
        let Some(row) = self.rows.remove(&id) else { return };
        let folded = row.user.user.email.to_lowercase();
        if let Some(ids) = self.by_email.get_mut(&folded) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_email.remove(&folded);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: i64, email: &str) -> Entry {
        written(User {
            id: UserId::new(id).unwrap(),
            name: "n".into(),
            email: email.into(),
            department: None,
            groups: vec![],
            comments: None,
            admin_user: false,
            editable: true,
            disabled: false,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_answers_for_ninety_seconds() {
        let index = Index::default();
        index.keep(user(1, "A@x.example"), Timestamp::UNIX_EPOCH);
        assert!(index.by_email("a@x.example").is_some());
        tokio::time::advance(FRESH + Duration::from_secs(1)).await;
        assert!(index.by_email("a@x.example").is_none());
        assert!(index.by_id(UserId::new(1).unwrap()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_after_a_list_began_outlives_the_list() {
        let index = Index::default();
        let began = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        index.keep(user(2, "new@x.example"), Timestamp::UNIX_EPOCH);
        index.replace(vec![user(1, "old@x.example")], began, Timestamp::UNIX_EPOCH);
        assert!(index.by_email("new@x.example").is_some());
        assert!(index.by_email("old@x.example").is_some());
        assert!(index.state().complete);
    }

    #[tokio::test(start_paused = true)]
    async fn two_users_with_one_address_are_never_picked_from() {
        let index = Index::default();
        index.keep(user(1, "a@x.example"), Timestamp::UNIX_EPOCH);
        index.keep(user(2, "A@x.example"), Timestamp::UNIX_EPOCH);
        assert!(index.by_email("a@x.example").is_none());
    }
}
