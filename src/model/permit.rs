//! What a writing call of the ZIA client asks to see.

use super::{OperationId, UserId};

/// A write that ZIA is asked to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    /// Create one user.
    CreateUser,
    /// Delete one user.
    DeleteUser(UserId),
    /// Publish the staged changes of the tenant.
    Activate,
}

impl Write {
    /// A stable name for records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateUser => "create_user",
            Self::DeleteUser(_) => "delete_user",
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
}
