//! A tenant that counts: the documented windows, and how often one was exceeded.

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
    time::Duration,
};

use tokio::time::Instant;

/// The documented windows of the endpoints that are called here (zia-facts §5), in seconds.
///
/// Written down once more: the server's own table must not agree with itself.
pub(super) fn windows(endpoint: &str) -> &'static [(usize, u64)] {
    match endpoint {
        "GET /users" => &[(1, 1), (10, 60), (40, 3_600)],
        "POST /users" | "GET /status" => &[(2, 1), (1_000, 3_600)],
        "DELETE /users/{id}" => &[(1, 1), (400, 3_600)],
        "POST /users/bulkDelete" => &[(1, 60), (4, 3_600)],
        "POST /status/activate" => &[(10, 60), (40, 3_600)],
        unknown => panic!("no windows for {unknown}"),
    }
}

/// When the next call may be counted, given the earlier ones in order.
pub(super) fn opens(endpoint: &str, earlier: &VecDeque<Duration>) -> Duration {
    let full = windows(endpoint).iter().filter_map(|(limit, seconds)| {
        let nth_last = earlier.len().checked_sub(*limit)?;
        Some(earlier[nth_last] + Duration::from_secs(*seconds))
    });
    full.max().unwrap_or_default()
}

/// Counts calls on the paused clock.
pub(super) struct Tenant {
    start: Instant,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    passed: HashMap<&'static str, VecDeque<Duration>>,
    calls: u64,
    refused: u64,
}

impl Default for Tenant {
    fn default() -> Self {
        Self { start: Instant::now(), counts: Mutex::default() }
    }
}

impl Tenant {
    /// A call arrives.
    pub(super) fn count(&self, endpoint: &'static str) {
        let now = self.start.elapsed();
        let mut counts = self.counts.lock().expect("no panic");
        counts.calls += 1;
        let earlier = counts.passed.entry(endpoint).or_default();
        if opens(endpoint, earlier) > now {
            counts.refused += 1;
        } else {
            earlier.push_back(now);
        }
    }

    /// The calls, and those of them that a 429 would have answered.
    pub(super) fn counted(&self) -> (u64, u64) {
        let counts = self.counts.lock().expect("no panic");
        (counts.calls, counts.refused)
    }
}
