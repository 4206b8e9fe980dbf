//! What the lifecycle remembers of an operation; the store seals it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    bulk::Asked,
    failure::Failure,
    policy::Tier,
    report::{Activation, ActivationState, Approval, Capture, Change, InitialPassword, Subject},
};
use crate::model::{Named, Operation, OperationId};

/// The sealed part of an operation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Details {
    /// The user it is about.
    pub user: Option<Subject>,
    /// The caller's reason, as given; untrusted.
    pub reason: Option<String>,
    /// Digest of the documented fields of the user as read by id, to compare before the send.
    pub object: Option<String>,
    /// The before-image.
    pub capture: Option<Capture>,
    /// Field by field.
    pub changes: Option<Vec<Change>>,
    /// Fields that were to change and that ZIA, which answered that it wrote them, shows otherwise.
    pub unmet: Vec<String>,
    /// Who approved.
    pub approval: Option<Approval>,
    /// When the write was verified.
    pub verified_at: Option<Timestamp>,
    /// What became of the activation.
    pub activation: Option<Activation>,
    /// The first password's fate.
    pub initial_password: Option<InitialPassword>,
    /// The proof that the circumstances ask for, whatever the policy says.
    pub least: Tier,
    /// The first approval, where two people have to give one.
    pub first_approval: Option<Approval>,
    /// Who gave the first, at the identity provider, where they signed in there.
    pub first_subject: Option<String>,
    /// Every approval that was given out of band.
    pub approvals: Vec<Approval>,
    /// A person said no out of band.
    pub rejected: bool,
    /// Other administrators' changes were staged before our first write.
    pub foreign: bool,
    /// An activation ran, and went on running, when this one was asked for.
    pub running: bool,
    /// What an update writes.
    pub replacement: Option<Replacement>,
    /// The users of an operation on several, in the caller's order.
    pub asked: Vec<Asked>,
    /// ZIA's list stands for its answers by id: the operation is on many users.
    pub by_list: bool,
    /// When ZIA's limits let the write leave, where it had to wait for them.
    pub held_until: Option<Timestamp>,
    /// What an operation on several will cost, and until when, in words.
    pub plan: Option<String>,
    /// The operation whose activation covered this one's write.
    pub activated_by: Option<OperationId>,
    /// What else to know.
    pub notes: Vec<String>,
    /// Why it failed, if the caller can mend it.
    pub failure: Option<Failure>,
}

/// Every writable field of a user, as an update writes it (zia-facts §3.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replacement {
    /// Display name.
    pub name: String,
    /// Login address; stays for life.
    pub email: String,
    /// Department, if any.
    pub department: Option<Named>,
    /// Every group.
    pub groups: Vec<Named>,
    /// Comments, if any.
    pub comments: Option<String>,
    /// Temporary authentication address, if any.
    pub temp_auth_email: Option<String>,
}

impl Details {
    /// Reads the details of an operation; unreadable ones are empty.
    pub(crate) fn of(operation: &Operation) -> Self {
        serde_json::from_value(operation.details.clone()).unwrap_or_default()
    }

    /// The JSON to be sealed.
    pub(crate) fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or(Value::Null)
    }

    /// Adds a note once.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// Who approved, each by themself.
    pub(crate) fn approvals(&self) -> Vec<Approval> {
        match self.approvals.is_empty() {
            true => self.approval.iter().cloned().collect(),
            false => self.approvals.clone(),
        }
    }

    /// The activation so far.
    pub(crate) fn activation(&self) -> Activation {
        self.activation.clone().unwrap_or_else(|| Activation::plain(ActivationState::NotNeeded))
    }
}
