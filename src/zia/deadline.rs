//! Until when a call can wait and what it is for, and calls that are still to be made.

use std::time::Duration;

use tokio::time::Instant;

use super::endpoints::Endpoint;
use crate::model::{Purpose, Write};

/// Until when a caller can wait for limits and repeats, and what the call is for.
///
/// A write that left is waited for even afterwards.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    pub(super) at: Instant,
    pub(super) purpose: Purpose,
}

impl Deadline {
    /// So long from now; at most a day.
    pub fn after(wait: Duration) -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self::at(Instant::now() + wait.min(DAY))
    }

    /// At a time, for somebody who wants to know something.
    pub fn at(at: Instant) -> Self {
        Self { at, purpose: Purpose::Read }
    }

    /// When it is.
    pub fn ends(self) -> Instant {
        self.at
    }

    /// For a write that was begun: its checks, its verification and its activation come first where
    /// calls are scarce.
    #[must_use]
    pub fn finishing(self) -> Self {
        Self { purpose: Purpose::Finish, ..self }
    }

    /// For work that nobody waits for, such as filling the index; a share of the calls at most.
    #[must_use]
    pub fn in_background(self) -> Self {
        Self { purpose: Purpose::Background, ..self }
    }
}

/// A call that is still to be made.
#[derive(Clone, Copy, Debug)]
pub enum Planned {
    /// A write.
    Write(Write),
    /// Reading the status.
    ReadStatus,
    /// Reading a user by id.
    ReadUser,
    /// Reading a list of users.
    ListUsers,
}

impl Planned {
    pub(super) fn endpoint(self) -> Endpoint {
        match self {
            Self::Write(Write::CreateUser) => Endpoint::CreateUser,
            Self::Write(Write::ReplaceUser(_)) => Endpoint::ReplaceUser,
            Self::Write(Write::DeleteUser(_)) => Endpoint::DeleteUser,
            Self::Write(Write::DeleteUsers) => Endpoint::DeleteUsers,
            Self::Write(Write::Activate) => Endpoint::Activate,
            Self::ReadStatus => Endpoint::Status,
            Self::ReadUser => Endpoint::ReadUser,
            Self::ListUsers => Endpoint::ListUsers,
        }
    }
}
