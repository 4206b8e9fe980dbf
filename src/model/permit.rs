//! What a writing call of the ZIA client asks to see.

use super::{OperationId, UserId};

/// A write that ZIA is asked to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    /// Create one user.
    CreateUser,
    /// Replace one user's fields.
    ReplaceUser(UserId),
    /// Delete one user.
    DeleteUser(UserId),
    /// Delete the users that the permit names.
    DeleteUsers,
    /// Publish the staged changes of the tenant.
    Activate,
}

impl Write {
    /// A stable name for records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateUser => "create_user",
            Self::ReplaceUser(_) => "replace_user",
            Self::DeleteUser(_) => "delete_user",
            Self::DeleteUsers => "delete_users",
            Self::Activate => "activate",
        }
    }
}

/// Proof that an approved operation recorded a send before making it.
///
/// Only `store` implements it, from an operation that was approved; `tests/it/layering.rs` checks
/// that. So a write that nobody approved or that is not on record cannot be called.
pub trait SendPermit: Send + Sync {
    /// The operation that sends.
    fn operation(&self) -> &OperationId;

    /// The one write this permit is for.
    fn write(&self) -> Write;

    /// Whose deletion [`Write::DeleteUsers`] is; empty for any other write.
    fn users(&self) -> &[UserId] {
        &[]
    }

    /// Whether the operation is still this process's own for so long (guardrails F32).
    fn holds_for(&self, time: std::time::Duration) -> bool;
}
