//! Approval, limits and passwords.

use std::time::Duration;

use super::{
    callers::{self, CallerRule},
    reader::Reader,
};

/// Who decides on an action, from weakest to strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Approval {
    /// The person at the client.
    Client,
    /// An enrolled approver, outside the client.
    OutOfBand,
    /// Two of them.
    TwoPeople,
}

const APPROVALS: [(&str, Approval); 3] =
    [("client", Approval::Client), ("out_of_band", Approval::OutOfBand), ("two_people", Approval::TwoPeople)];

/// `[approval]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalSettings {
    /// How long a question in the client waits for its answer; 1 to 600 s.
    pub ask: Duration,
    /// How long an undecided operation stays open; 1 to 1440 min.
    pub expires: Duration,
    /// Actions that need more than by default.
    pub raises: Raises,
    /// Names of callers and approvers that are one person's, list by list.
    pub same_person: Vec<Vec<String>>,
}

/// The least approval that an action needs; `None` leaves its default.
///
/// A raise is never below the default over stdio, which `load` checks; where a channel's own default
/// is higher, as over HTTP, the higher one holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Raises {
    /// For `provision_user`.
    pub provision_user: Option<Approval>,
    /// For `update_user`.
    pub update_user: Option<Approval>,
    /// For `restore_user`.
    pub restore_user: Option<Approval>,
    /// For `deprovision_user`.
    pub deprovision_user: Option<Approval>,
    /// For `deprovision_users`.
    pub deprovision_users: Option<Approval>,
    /// For publishing what other administrators staged.
    pub publish_others: Option<Approval>,
}

/// `[policy]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Operations that a caller may have open; 1 to 20.
    pub max_open: u32,
    /// Users deleted in 24 hours, by all callers; 1 to 100,000.
    pub max_deletes_per_day: u32,
    /// Address patterns of users that are never touched; `*` stands for any text.
    pub protected: Vec<String>,
    /// Groups, by name or id, whose members are never touched.
    pub protected_groups: Vec<String>,
    /// Departments, by name or id, of which the same is true.
    pub protected_departments: Vec<String>,
    /// What single callers may touch.
    pub callers: Vec<CallerRule>,
    /// Users of one operation above which two people decide; 1 to 500.
    pub two_person_threshold: Option<u32>,
    /// Users that one operation deletes at most; 1 to 500.
    pub max_users_per_operation: u32,
}

/// `[provision] initial_password`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InitialPassword {
    /// It is made, sent and forgotten.
    #[default]
    Discard,
    /// It is kept, sealed, for one person to see once.
    Handoff,
}

pub(super) fn approval(reader: &mut Reader<'_>) -> ApprovalSettings {
    let ask = reader.number(("approval", "ask_seconds"), 1..=600, 55);
    let expires = reader.number(("approval", "expires_minutes"), 1..=1440, 15);
    let same_person = callers::same_person(reader);
    let mut raise = |action, default| raise(reader, action, default);
    ApprovalSettings {
        ask: Duration::from_secs(ask.into()),
        expires: Duration::from_secs(60 * u64::from(expires)),
        same_person,
        raises: Raises {
            provision_user: raise("provision_user", Approval::Client),
            update_user: raise("update_user", Approval::Client),
            restore_user: raise("restore_user", Approval::Client),
            deprovision_user: raise("deprovision_user", Approval::Client),
            deprovision_users: raise("deprovision_users", Approval::OutOfBand),
            publish_others: raise("publish_others", Approval::Client),
        },
    }
}

/// Reads one raise, which may not be below `least`, since settings raise and never lower.
fn raise(reader: &mut Reader<'_>, action: &'static str, least: Approval) -> Option<Approval> {
    let words: Vec<_> = APPROVALS.into_iter().filter(|(_, approval)| *approval >= least).collect();
    reader.choice(("approval", action), &words)
}

pub(super) fn policy(reader: &mut Reader<'_>) -> Policy {
    Policy {
        max_open: reader.number(("policy", "max_open"), 1..=20, 20),
        max_deletes_per_day: reader.number(("policy", "max_deletes_per_day"), 1..=100_000, 500),
        protected: reader.texts("policy", "protected"),
        protected_groups: reader.texts("policy", "protected_groups"),
        protected_departments: reader.texts("policy", "protected_departments"),
        callers: callers::callers(reader),
        two_person_threshold: reader.number_if_set(("policy", "two_person_threshold"), 1..=500),
        max_users_per_operation: reader.number(("policy", "max_users_per_operation"), 1..=500, 500),
    }
}

pub(super) fn initial_password(reader: &mut Reader<'_>) -> InitialPassword {
    let words = [("discard", InitialPassword::Discard), ("handoff", InitialPassword::Handoff)];
    reader.choice(("provision", "initial_password"), &words).unwrap_or_default()
}
