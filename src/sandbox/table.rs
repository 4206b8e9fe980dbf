//! The users, by id, by e-mail address, and in name order.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use super::user::UserRow;

/// The users as an administrator sees them, staged changes included.
#[derive(Default)]
pub(super) struct UserTable {
    rows: HashMap<u64, Arc<UserRow>>,
    by_email: HashMap<Arc<str>, u64>,
    /// Ids in name order, the order of `GET /users` (zia-facts §9).
    order: Vec<u64>,
}

impl UserTable {
    /// A table of users whose ids and e-mail addresses all differ.
    pub(super) fn new(users: Vec<UserRow>) -> Self {
        let mut table = Self { rows: HashMap::with_capacity(users.len()), ..Self::default() };
        let mut keys: Vec<(String, u64)> = users.iter().map(|row| (folded(&row.name), row.id)).collect();
        keys.sort_unstable();
        table.order = keys.into_iter().map(|(_, id)| id).collect();
        for row in users {
            table.by_email.insert(email_key(&row.email), row.id);
            table.rows.insert(row.id, Arc::new(row));
        }
        table
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn get(&self, id: u64) -> Option<Arc<UserRow>> {
        self.rows.get(&id).cloned()
    }

    pub(super) fn by_email(&self, email: &str) -> Option<Arc<UserRow>> {
        self.get(*self.by_email.get(folded(email).as_str())?)
    }

    /// All users in name order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<UserRow>> {
        self.order.iter().filter_map(|id| self.rows.get(id))
    }

    /// Up to `count` users from position `start`, in name order.
    pub(super) fn slice(&self, start: usize, count: usize) -> Vec<Arc<UserRow>> {
        let ids = self.order.iter().skip(start).take(count);
        ids.filter_map(|id| self.rows.get(id).cloned()).collect()
    }

    /// Adds a user, or replaces the one with the same id.
    pub(super) fn put(&mut self, row: UserRow) -> Arc<UserRow> {
        self.remove(row.id);
        let row = Arc::new(row);
        let at = self.position(&row).unwrap_or_else(|at| at);
        self.order.insert(at, row.id);
        self.by_email.insert(email_key(&row.email), row.id);
        self.rows.insert(row.id, Arc::clone(&row));
        row
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Arc<UserRow>> {
        let row = self.get(id)?;
        if let Ok(at) = self.position(&row) {
            self.order.remove(at);
        }
        self.by_email.remove(&email_key(&row.email));
        self.rows.remove(&id)
    }

    /// Where the row is in the order, or where it belongs.
    fn position(&self, row: &UserRow) -> Result<usize, usize> {
        self.order.binary_search_by(|id| match self.rows.get(id) {
            Some(other) => by_name(other, row),
            None => Ordering::Less,
        })
    }
}

/// Name order, whatever the case; the id decides between equal names.
pub(super) fn by_name(a: &UserRow, b: &UserRow) -> Ordering {
    fold(&a.name).cmp(fold(&b.name)).then(a.id.cmp(&b.id))
}

fn fold(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

/// The text without its case.
pub(super) fn folded(text: &str) -> String {
    fold(text).collect()
}

/// Shares the row's own text where that has no capitals.
fn email_key(email: &Arc<str>) -> Arc<str> {
    let key = folded(email);
    if key == **email { Arc::clone(email) } else { key.into() }
}

/// Whether `text` contains `folded_part`, whatever the case.
pub(super) fn contains(text: &str, folded_part: &str) -> bool {
    if text.is_ascii() {
        let (text, part) = (text.as_bytes(), folded_part.as_bytes());
        return part.is_empty() || text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part));
    }
    folded(text).contains(folded_part)
}

/// Whether `text` starts with `folded_part`, whatever the case.
pub(super) fn starts_with(text: &str, folded_part: &str) -> bool {
    let mut text = fold(text);
    folded_part.chars().all(|wanted| text.next() == Some(wanted))
}
