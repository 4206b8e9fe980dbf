//! The sandbox tenant's own time of day.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A clock in Unix milliseconds that can be moved forward.
///
/// Sessions, tokens, limits and the check of a login's timestamp read it. Clones share the
/// same time, so that a test keeps one and hands the other to the tenant.
#[derive(Clone, Debug)]
pub struct SandboxClock {
    fixed: Option<i64>,
    ahead: Arc<AtomicI64>,
}

impl SandboxClock {
    /// The operating system's clock.
    pub fn system() -> Self {
        Self { fixed: None, ahead: Arc::default() }
    }

    /// A clock that stands at `unix_ms` until it is advanced.
    pub fn standing_at(unix_ms: i64) -> Self {
        Self { fixed: Some(unix_ms), ahead: Arc::default() }
    }

    /// Now, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        self.fixed.unwrap_or_else(system_ms).saturating_add(self.ahead.load(Ordering::SeqCst))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.ahead.fetch_add(millis(by), Ordering::SeqCst);
    }
}

/// A duration in whole milliseconds, capped at what an `i64` holds.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

#[allow(clippy::disallowed_methods)] // this room imports nothing of the crate, its Clock neither
fn system_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}
