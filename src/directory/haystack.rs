//! Names and addresses in one compact buffer, to search parts of them.
//!
//! They come from the sealed rows and lie here in memory only: some fifty bytes a user. Rows that
//! changed are added at the end; what they replace stays until there is too much of it, since every
//! hit is looked up again anyway.

use memchr::memmem;
use serde::Deserialize;

use crate::{
    model::UserId,
    store::{Indexed, Store, StoreError},
};

/// Bytes of text in one part; a part is never moved.
const PART: usize = 1024 * 1024;

/// Rows that are read from the store at a time.
const BATCH: u32 = 2_000;

/// Ends every name and address; no UTF-8 text holds it, so that no hit spans two of them.
const END: u8 = 0xFF;

/// Entries beyond those needed that are put up with.
const SPARE: usize = 10_000;

/// The names and addresses of a tenant's users, in lower case.
#[derive(Default)]
pub(super) struct Haystack {
    parts: Vec<Part>,
    /// The last row that was added.
    seq: i64,
}

/// Some entries.
#[derive(Default)]
struct Part {
    text: Vec<u8>,
    /// Where each entry ends.
    ends: Vec<u32>,
    ids: Vec<i64>,
}

/// What is searched of a row.
#[derive(Deserialize)]
struct Names {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    email: Option<String>,
}

impl Haystack {
    /// Adds what was written since; begins anew where too much was replaced.
    pub(super) async fn refresh(&mut self, store: &Store, tenant: &str) -> Result<(), StoreError> {
        let state = store.index_state(tenant).await?;
        let users = usize::try_from(state.users).unwrap_or(usize::MAX);
        if self.seq > state.seq || self.entries() > users.saturating_add(users / 4).saturating_add(SPARE) {
            *self = Self::default();
        }
        while self.seq < state.seq {
            let (rows, last) = store.indexed_after(tenant, self.seq, BATCH).await?;
            if last == self.seq {
                // What had the numbers up to the last one was replaced or is gone.
                self.seq = state.seq;
            }
            rows.iter().for_each(|row| self.add(row));
            self.seq = self.seq.max(last);
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// The users whose name or address may hold a text in lower case, by id, each once.
    pub(super) fn find(&self, text: &str, after: i64) -> Vec<UserId> {
        let finder = memmem::Finder::new(text);
        let mut found = Vec::new();
        for part in &self.parts {
            part.find(&finder, after, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        found.into_iter().filter_map(UserId::new).collect()
    }

    fn entries(&self) -> usize {
        self.parts.iter().map(|part| part.ids.len()).sum()
    }

    fn add(&mut self, row: &Indexed) {
        // A field of another type is none, as everywhere.
        let read = serde_json::from_str::<Names>(&row.row);
        let names = read.unwrap_or_else(|_| slow_names(&row.row));
        let mut entry = names.name.unwrap_or_default().to_lowercase().into_bytes();
        entry.push(END);
        entry.extend(names.email.unwrap_or_default().to_lowercase().into_bytes());
        entry.push(END);
        if self.parts.last().is_none_or(|part| part.text.len() + entry.len() > PART) {
            self.parts.last_mut().into_iter().for_each(Part::settle);
            self.parts.push(Part::default());
        }
        if let Some(part) = self.parts.last_mut() {
            part.text.extend(entry);
            part.ends.push(u32::try_from(part.text.len()).unwrap_or(u32::MAX));
            part.ids.push(row.id.get());
        }
    }
}

impl Part {
    /// Nothing more is added.
    fn settle(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.ids.shrink_to_fit();
    }

    fn find(&self, finder: &memmem::Finder<'_>, after: i64, found: &mut Vec<i64>) {
        let mut from = 0;
        while let Some(hit) = self.text.get(from..).and_then(|rest| finder.find(rest)) {
            let at = u32::try_from(from + hit).unwrap_or(u32::MAX);
            let entry = self.ends.partition_point(|end| *end <= at);
            let (Some(end), Some(id)) = (self.ends.get(entry), self.ids.get(entry)) else { return };
            found.extend((*id > after).then_some(*id));
            from = usize::try_from(*end).unwrap_or(usize::MAX);
        }
    }
}

/// Names and addresses are personal data, which no debug form shows.
impl std::fmt::Debug for Haystack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Haystack({} entries)", self.entries())
    }
}

/// The same, of a row that is not as documented.
fn slow_names(row: &str) -> Names {
    let user = super::fields::read(row).map(|raw| raw.value);
    user.map_or(Names { name: None, email: None }, |user| Names { name: user.name, email: user.email })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn of(users: &[(i64, &str, &str)]) -> Haystack {
        let mut haystack = Haystack::default();
        for (id, name, email) in users {
            let row = json!({"id": id, "name": name, "email": email}).to_string();
            let id = UserId::new(*id).unwrap();
            haystack.add(&Indexed { id, row, listed: true, seen_at: Timestamp::UNIX_EPOCH, seq: 1 });
        }
        haystack
    }

    fn found(haystack: &Haystack, text: &str) -> Vec<i64> {
        haystack.find(text, 0).into_iter().map(UserId::get).collect()
    }

    #[test]
    fn parts_of_names_and_addresses_are_found_whatever_the_case() {
        let haystack = of(&[
            (3, "Zoë Ünal", "z.u@x.example"),
            (1, "ZOË Kim", "k@x.example"),
            (2, "Ann", "ann@y.example"),
        ]);
        assert_eq!(found(&haystack, "zoë"), [1, 3]);
        assert_eq!(found(&haystack, "@x.ex"), [1, 3]);
        assert_eq!(found(&haystack, "ann"), [2]);
        assert_eq!(found(&haystack, ""), [1, 2, 3]);
        assert_eq!(haystack.find("zoë", 1).len(), 1);
    }

    #[test]
    fn no_hit_spans_a_name_and_an_address_or_two_users() {
        let haystack = of(&[(1, "ab", "cd"), (2, "ef", "gh")]);
        for text in ["bc", "de", "abcd", "cdef"] {
            assert_eq!(found(&haystack, text), Vec::<i64>::new(), "{text}");
        }
    }

    #[test]
    fn a_user_that_was_added_twice_is_found_once_and_many_parts_are_searched() {
        let long = "x".repeat(100);
        let users: Vec<_> = (1..=30_000).map(|id| (id, long.as_str(), "y@x.example")).collect();
        let mut haystack = of(&users);
        assert!(haystack.parts.len() > 2);
        assert_eq!(haystack.find("xy", 0).len(), 0);
        assert_eq!(haystack.find("xx", 0).len(), 30_000);
        let row = json!({"id": 7, "name": "xx again"}).to_string();
        let id = UserId::new(7).unwrap();
        haystack.add(&Indexed { id, row, listed: true, seen_at: Timestamp::UNIX_EPOCH, seq: 1 });
        assert_eq!(haystack.find("xx", 0).len(), 30_000);
        assert_eq!(found(&haystack, "again"), [7]);
    }
}
