//! Before-images that are kept no longer.

use jiff::SignedDuration;

use super::{Records, failure::Failure};
use crate::{
    model::{Actor, CaptureId, Channel},
    store::{Purge, Purgeable, Purged},
};

impl Records {
    /// Captures that were not purged yet, oldest first.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn purgeable(&self, which: Purge<'_>) -> Result<Vec<Purgeable>, Failure> {
        Ok(self.store.purgeable(which).await?)
    }

    /// Captures that are older than so many days and were not purged yet, oldest first.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn purgeable_of_age(&self, days: u32) -> Result<Vec<Purgeable>, Failure> {
        let age = SignedDuration::from_hours(24 * i64::from(days));
        self.purgeable(Purge::TakenBefore(self.clock.now() - age)).await
    }

    /// Destroys the keys of captures for the person at the terminal.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE` or `STORE_UNAVAILABLE`; some may have been purged then.
    pub async fn purge(&self, captures: &[CaptureId], why: &str) -> Result<Purged, Failure> {
        Ok(self.store.purge(captures, why, Some(&at_the_terminal())).await?)
    }

    /// Destroys what is older than so many days and belongs to operations that have ended.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE` or `STORE_UNAVAILABLE`; some may have been purged then.
    pub async fn purge_older_than(&self, days: u32) -> Result<Purged, Failure> {
        let found = self.purgeable_of_age(days).await?;
        let ids: Vec<_> = found.into_iter().filter(|c| c.ended).map(|c| c.id).collect();
        Ok(self.store.purge(&ids, "retention", None).await?)
    }
}

/// Whoever runs a command on the store.
pub(super) fn at_the_terminal() -> Actor {
    Actor::new("local", "zia-mcp captures", Channel::Stdio)
}
