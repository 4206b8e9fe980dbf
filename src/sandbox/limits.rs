//! The documented rate limits, per endpoint and method.

use std::collections::{HashMap, VecDeque};

use super::{Endpoint, LimitPolicy};

/// The length of a window of the limits table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Window {
    Second,
    Minute,
    Hour,
}

impl Window {
    fn millis(self) -> i64 {
        match self {
            Self::Second => 1_000,
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
        }
    }

    /// As the vendor's message spells it (zia-facts §5).
    fn word(self) -> &'static str {
        match self {
            Self::Second => "SECOND",
            Self::Minute => "MINUTE",
            Self::Hour => "HOUR",
        }
    }
}

/// A limit that a call ran into.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exceeded {
    /// Such as `1/SECOND`.
    pub(super) limit: String,
    /// Whole seconds until the next call is let through.
    pub(super) retry_after: i64,
}

/// The calls let through in the last hour.
#[derive(Default)]
pub(super) struct Limits {
    passed: HashMap<Endpoint, VecDeque<i64>>,
}

impl Limits {
    /// Lets a call through, or says which limit it exceeds; a refused call does not count.
    pub(super) fn admit(
        &mut self,
        endpoint: Endpoint,
        now: i64,
        policy: LimitPolicy,
    ) -> Result<(), Exceeded> {
        let times = match policy {
            LimitPolicy::Off => return Ok(()),
            LimitPolicy::Documented => 1,
            LimitPolicy::Times(times) => times,
        };
        let passed = self.passed.entry(endpoint).or_default();
        while passed.front().is_some_and(|at| now - at >= Window::Hour.millis()) {
            passed.pop_front();
        }
        for (count, window) in documented(endpoint) {
            exceeded(passed, now, count.saturating_mul(times), *window)?;
        }
        passed.push_back(now);
        Ok(())
    }

    pub(super) fn reset(&mut self) {
        self.passed.clear();
    }
}

/// The window slides: no span of its length ever holds more than `count` calls.
fn exceeded(passed: &VecDeque<i64>, now: i64, count: u32, window: Window) -> Result<(), Exceeded> {
    let Some(oldest) = usize::try_from(count).ok().and_then(|count| passed.len().checked_sub(count)) else {
        return Ok(());
    };
    let opens = passed.get(oldest).map_or(now, |at| at + window.millis());
    if opens <= now {
        return Ok(());
    }
    Err(Exceeded { limit: format!("{count}/{}", window.word()), retry_after: (opens - now + 999) / 1_000 })
}

/// The table of zia-facts §5, the recorded 1/SECOND of `GET /users` and `GET /groups` included.
fn documented(endpoint: Endpoint) -> &'static [(u32, Window)] {
    use Window::{Hour, Minute, Second};
    match endpoint {
        Endpoint::ListUsers => &[(1, Second), (10, Minute), (40, Hour)],
        Endpoint::DeleteUser | Endpoint::ListGroups => &[(1, Second), (400, Hour)],
        Endpoint::BulkDelete => &[(1, Minute), (4, Hour)],
        Endpoint::Activate => &[(10, Minute), (40, Hour)],
        Endpoint::AcceptEusa => &[(1, Second), (400, Hour)],
        Endpoint::Token => &[(500, Second)],
        Endpoint::Other => &[],
        _ => &[(2, Second), (1000, Hour)],
    }
}
