//! What is known at rest: the tenant's own journal and state, and what the store holds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use zia_mcp::{
    model::{Action, State},
    sandbox::{Endpoint, JournalEntry, SandboxUser, StagedChange},
};

use super::windows::Limit;

/// Everything that the oracles look at.
#[derive(Clone)]
pub(super) struct Facts {
    pub(super) journal: Vec<JournalEntry>,
    pub(super) operations: Vec<Op>,
    pub(super) captures: Vec<Capture>,
    pub(super) intents: Vec<Intent>,
    /// What checking the audit trail found.
    pub(super) chain: Result<(), String>,
    /// The users before the first operation, and now.
    pub(super) before: BTreeMap<u64, SandboxUser>,
    pub(super) now: BTreeMap<u64, SandboxUser>,
    pub(super) staged: Vec<StagedChange>,
    /// Addresses of users whom another administrator changed.
    pub(super) foreign: BTreeSet<String>,
    /// Operations that came to rest since the last look: the tenant still is as they left it.
    pub(super) fresh: BTreeSet<String>,
    /// The first passwords of the creates among them.
    pub(super) passwords: BTreeMap<String, Password>,
    /// The tenant's limits, which the servers know.
    pub(super) limits: Vec<Limit>,
    /// Calls on the servers' account by endpoint, where every call has to be on it.
    pub(super) departures: Option<BTreeMap<String, usize>>,
}

/// A first password, from both ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Password {
    /// What a person was shown, if anything.
    pub(super) shown: Option<String>,
    /// What the user signs in with.
    pub(super) signs_in: Option<String>,
}

/// An operation on record.
#[derive(Clone, Debug)]
pub(super) struct Op {
    pub(super) id: String,
    pub(super) action: Action,
    pub(super) state: State,
    pub(super) subject: Option<u64>,
    pub(super) details: Value,
    pub(super) sends: Vec<Send>,
    /// When it was approved and when that was used, in Unix milliseconds.
    pub(super) approved_ms: Option<i64>,
    pub(super) used_ms: Option<i64>,
}

/// A send on record.
#[derive(Clone, Debug)]
pub(super) struct Send {
    pub(super) write: String,
    pub(super) attempt: i64,
    pub(super) begun_ms: i64,
}

/// A before-image.
#[derive(Clone, Debug)]
pub(super) struct Capture {
    pub(super) operation: String,
    pub(super) user: u64,
    pub(super) taken_ms: i64,
    /// The id of the user that it holds, if it opens.
    pub(super) opens: Option<u64>,
}

/// An audit record of a send, from before it.
#[derive(Clone, Debug)]
pub(super) struct Intent {
    pub(super) operation: String,
    pub(super) write: String,
    pub(super) attempt: i64,
    pub(super) at_ms: i64,
}

/// The write that an endpoint makes, by its name on record.
pub(super) fn write_of(endpoint: Endpoint) -> Option<&'static str> {
    match endpoint {
        Endpoint::CreateUser => Some("create_user"),
        Endpoint::ReplaceUser => Some("replace_user"),
        Endpoint::DeleteUser => Some("delete_user"),
        Endpoint::Activate => Some("activate"),
        _ => None,
    }
}

impl Op {
    /// The write that it was approved for, by its name on record.
    pub(super) fn main_write(&self) -> &'static str {
        match self.action {
            Action::ProvisionUser | Action::RestoreUser => "create_user",
            Action::UpdateUser => "replace_user",
            Action::DeprovisionUser => "delete_user",
            Action::DeprovisionUsers => "delete_users",
            Action::Activate => "activate",
        }
    }

    pub(super) fn email(&self) -> &str {
        self.details["user"]["email"].as_str().unwrap_or_default()
    }

    /// Whether it says that its write was done.
    pub(super) fn claims_effect(&self) -> bool {
        use State::{Activating, Done, NotActive, Verified};
        matches!(self.state, Verified | Activating | NotActive | Done)
    }

    fn made(&self, entry: &JournalEntry) -> bool {
        let same_user = match entry.endpoint {
            Endpoint::Activate => true,
            Endpoint::CreateUser => {
                entry.body.as_ref().is_some_and(|b| b["email"].as_str() == Some(self.email()))
            }
            _ => entry.path.rsplit('/').next().and_then(|id| id.parse().ok()) == self.subject,
        };
        same_user
            && (entry.endpoint == Endpoint::Activate || write_of(entry.endpoint) == Some(self.main_write()))
    }
}

impl Facts {
    /// The calls that ask for a change, oldest first.
    pub(super) fn writes(&self) -> impl Iterator<Item = &JournalEntry> {
        self.journal.iter().filter(|e| write_of(e.endpoint).is_some())
    }

    /// Whose write a call is: the newest send on record before it.
    pub(super) fn sender(&self, entry: &JournalEntry) -> Option<&Op> {
        let write = write_of(entry.endpoint)?;
        let begun = |op: &Op| {
            let sends = op.sends.iter().filter(|s| s.write == write && s.begun_ms <= entry.at_ms);
            sends.map(|s| s.begun_ms).max()
        };
        let makers = self.operations.iter().filter(|op| op.made(entry));
        makers.filter_map(|op| Some((begun(op)?, op))).max_by_key(|(at, _)| *at).map(|(_, op)| op)
    }

    /// The calls of one operation for its own write.
    pub(super) fn calls_of<'a>(&'a self, op: &'a Op) -> impl Iterator<Item = &'a JournalEntry> {
        self.writes().filter(|e| {
            write_of(e.endpoint) == Some(op.main_write()) && self.sender(e).is_some_and(|o| o.id == op.id)
        })
    }

    pub(super) fn is_foreign(&self, op: &Op) -> bool {
        self.foreign.contains(op.email())
    }
}
