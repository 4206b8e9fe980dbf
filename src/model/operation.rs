//! An operation, as the store keeps it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Actor, Digest, OperationId, Scope, UserId};

/// What an operation does; its text is the name of the tool that began it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Create a user.
    ProvisionUser,
    /// Change a user.
    UpdateUser,
    /// Delete a user.
    DeprovisionUser,
    /// Delete several users.
    DeprovisionUsers,
    /// Create a user again from a before-image.
    RestoreUser,
    /// Publish staged changes.
    Activate,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 6] = [
        Self::ProvisionUser,
        Self::UpdateUser,
        Self::DeprovisionUser,
        Self::DeprovisionUsers,
        Self::RestoreUser,
        Self::Activate,
    ];

    /// The tool's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProvisionUser => "provision_user",
            Self::UpdateUser => "update_user",
            Self::DeprovisionUser => "deprovision_user",
            Self::DeprovisionUsers => "deprovision_users",
            Self::RestoreUser => "restore_user",
            Self::Activate => "activate",
        }
    }

    /// What a caller needs for it.
    pub fn scope(self) -> Scope {
        match self {
            Self::ProvisionUser | Self::UpdateUser | Self::RestoreUser => Scope::UsersWrite,
            Self::DeprovisionUser | Self::DeprovisionUsers => Scope::UsersDelete,
            Self::Activate => Scope::Activate,
        }
    }

    /// Whether it deletes users, for good.
    pub fn deletes(self) -> bool {
        matches!(self, Self::DeprovisionUser | Self::DeprovisionUsers)
    }
}

impl std::str::FromStr for Action {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|a| a.as_str() == text).ok_or(())
    }
}

/// Where an operation stands.
///
/// `lifecycle::operation` says which step may follow which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Recorded; a person has to decide.
    Awaiting,
    /// May be carried out.
    Approved,
    /// A write is on record and may have left.
    Sending,
    /// ZIA answered that it did the write.
    Acked,
    /// The write was verified; it may be staged.
    Verified,
    /// An activation that covers the write is on its way.
    Activating,
    /// Verified, and the tenant read `ACTIVE` afterwards.
    Done,
    /// Verified; activation failed, was queued or is held back.
    NotActive,
    /// Nothing had to be done.
    AlreadyDone,
    /// A dry run; nothing will be sent.
    Planned,
    /// A person said no.
    Declined,
    /// Nobody decided in time.
    Expired,
    /// The user changed after the approval; nothing was sent.
    Changed,
    /// ZIA refused, or certainly did nothing.
    Failed,
    /// A reply was lost and reading has not settled it.
    Unknown,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 15] = [
        Self::Awaiting,
        Self::Approved,
        Self::Sending,
        Self::Acked,
        Self::Verified,
        Self::Activating,
        Self::Done,
        Self::NotActive,
        Self::AlreadyDone,
        Self::Planned,
        Self::Declined,
        Self::Expired,
        Self::Changed,
        Self::Failed,
        Self::Unknown,
    ];

    /// A stable name for records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Awaiting => "awaiting",
            Self::Approved => "approved",
            Self::Sending => "sending",
            Self::Acked => "acked",
            Self::Verified => "verified",
            Self::Activating => "activating",
            Self::Done => "done",
            Self::NotActive => "not_active",
            Self::AlreadyDone => "already_done",
            Self::Planned => "planned",
            Self::Declined => "declined",
            Self::Expired => "expired",
            Self::Changed => "changed",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// Whether nothing more will happen by itself or by a person's decision.
    pub fn is_ended(self) -> bool {
        matches!(
            self,
            Self::Done
                | Self::AlreadyDone
                | Self::Planned
                | Self::Declined
                | Self::Expired
                | Self::Changed
                | Self::Failed
        )
    }
}

impl std::str::FromStr for State {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|s| s.as_str() == text).ok_or(())
    }
}

/// One operation, whole.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// The tenant it belongs to.
    pub tenant: String,
    /// What it does.
    pub action: Action,
    /// Who asked.
    pub actor: Actor,
    /// Where it stands.
    pub state: State,
    /// Grows by one with every change; a change names the version it saw.
    pub version: i64,
    /// The process that carries it out, by the name of its presence.
    pub owner: Option<String>,
    /// Grows with every change of hands: who was overtaken can change nothing more.
    pub epoch: i64,
    /// Digest of the canonical arguments, to join an equal request.
    pub arguments: Digest,
    /// The user it is about, once known.
    pub subject: Option<UserId>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When an undecided one lapses.
    pub expires_at: Timestamp,
    /// What the lifecycle remembers of it; sealed at rest.
    pub details: Value,
}
