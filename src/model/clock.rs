//! Where the time of day comes from.

use std::sync::Arc;

use jiff::Timestamp;

/// The time of day, as an argument.
///
/// Timeouts and pacing use tokio's monotonic clock instead, so that tests can pause it.
#[derive(Clone)]
pub struct Clock {
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    is_steered: bool,
}

impl Clock {
    /// The operating system's clock.
    #[allow(clippy::disallowed_methods)] // the one place that reads it
    pub fn system() -> Self {
        Self::of_host(Timestamp::now)
    }

    /// A machine's clock, which may be wrong.
    pub fn of_host(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { now: Arc::new(now), is_steered: false }
    }

    /// A clock that a test steers: what it says is the time.
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { now: Arc::new(now), is_steered: true }
    }

    /// Whether it is right by decree.
    pub fn is_steered(&self) -> bool {
        self.is_steered
    }

    /// Now, in UTC.
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}
