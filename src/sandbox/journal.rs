//! Every call that the sandbox tenant received.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use serde_json::Value;

use super::Endpoint;

/// How many entries are kept: older ones go, the counters stay.
const KEPT: usize = 100_000;

/// A body longer than this is not kept in the journal, in bytes.
const LONGEST_BODY: usize = 64 * 1024;

/// One call as the tenant received and answered it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JournalEntry {
    /// Counts up from 1, in the order of arrival.
    pub seq: u64,
    /// When it arrived, by the tenant's clock, in Unix milliseconds.
    pub at_ms: i64,
    /// The HTTP method.
    pub method: String,
    /// The whole path, without the query.
    pub path: String,
    /// The query as it was sent.
    pub query: String,
    /// Which call of the API it is.
    pub endpoint: Endpoint,
    /// The status answered; `None` while it is being worked on, or when no answer was sent.
    pub status: Option<u16>,
    /// Whether the tenant's configuration was changed by it, activation included.
    pub applied: bool,
    /// Who called, once known.
    pub admin: Option<String>,
    /// The fault that shaped the answer.
    pub fault: Option<String>,
    /// Why it was refused, in words that the caller is not told.
    pub note: Option<String>,
    /// The JSON body, with passwords and keys masked.
    pub body: Option<Value>,
}

/// The calls, and how many there were of each.
#[derive(Default)]
pub(super) struct Journal {
    entries: VecDeque<JournalEntry>,
    counters: BTreeMap<Endpoint, u64>,
    last: u64,
}

impl Journal {
    /// Notes a call that has arrived; its number is in the answer.
    pub(super) fn open(&mut self, mut entry: JournalEntry) -> u64 {
        self.last += 1;
        entry.seq = self.last;
        *self.counters.entry(entry.endpoint).or_default() += 1;
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
        self.last
    }

    /// Adds what became of a call.
    pub(super) fn note(&mut self, seq: u64, add: impl FnOnce(&mut JournalEntry)) {
        let first = self.entries.front().map_or(0, |entry| entry.seq);
        let at = seq.checked_sub(first).and_then(|at| usize::try_from(at).ok());
        if let Some(entry) = at.and_then(|at| self.entries.get_mut(at)) {
            add(entry);
        }
    }

    /// The entries after number `since`.
    pub(super) fn since(&self, since: u64) -> Vec<JournalEntry> {
        self.entries.iter().filter(|entry| entry.seq > since).cloned().collect()
    }

    pub(super) fn counters(&self) -> BTreeMap<String, u64> {
        self.counters.iter().map(|(endpoint, count)| (endpoint.name().to_owned(), *count)).collect()
    }

    /// Forgets entries and counters; the numbers go on.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.counters.clear();
    }
}

/// The JSON body of a call, fit to be kept.
pub(super) fn kept_body(body: &[u8]) -> Option<Value> {
    let short = (!body.is_empty() && body.len() <= LONGEST_BODY).then_some(body)?;
    let mut value: Value = serde_json::from_slice(short).ok()?;
    if let Value::Object(fields) = &mut value {
        for secret in ["password", "apiKey"] {
            if let Some(value) = fields.get_mut(secret) {
                *value = Value::String("***".to_owned());
            }
        }
    }
    Some(value)
}
