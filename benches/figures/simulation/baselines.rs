//! What to compare with: the best schedule that the limits allow, and a script's.
//!
//! Both are computed from the windows alone; answers take no time and nothing goes wrong.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use zia_mcp::zia::MAX_BULK;

use super::{Outcome, tenant::opens};

/// Calls, each as early as the windows and its predecessor let it.
#[derive(Default)]
struct Schedule {
    passed: HashMap<&'static str, VecDeque<Duration>>,
    calls: u64,
    end: Duration,
}

impl Schedule {
    /// Makes a call not before a time; when it is made.
    fn call(&mut self, endpoint: &'static str, not_before: Duration) -> Duration {
        let earlier = self.passed.entry(endpoint).or_default();
        let at = opens(endpoint, earlier).max(not_before);
        earlier.push_back(at);
        self.calls += 1;
        self.end = self.end.max(at);
        at
    }

    fn outcome(self) -> Outcome {
        Outcome { took: self.end, calls: self.calls, refused: 0 }
    }
}

/// Every write as early as its own windows let it, in the fewest calls, and one activation at the end.
pub(super) fn best(leavers: usize, joiners: usize) -> Outcome {
    let mut schedule = Schedule::default();
    for _ in 0..leavers.div_ceil(MAX_BULK) {
        schedule.call("POST /users/bulkDelete", Duration::ZERO);
    }
    for _ in 0..joiners {
        schedule.call("POST /users", Duration::ZERO);
    }
    let written = schedule.end;
    schedule.call("POST /status/activate", written);
    schedule.outcome()
}

/// Each user looked up by a list, written and activated, one after the other.
pub(super) fn naive(leavers: usize, joiners: usize) -> Outcome {
    let mut schedule = Schedule::default();
    let writes = std::iter::repeat_n("DELETE /users/{id}", leavers);
    let mut now = Duration::ZERO;
    for write in writes.chain(std::iter::repeat_n("POST /users", joiners)) {
        for endpoint in ["GET /users", write, "POST /status/activate"] {
            now = schedule.call(endpoint, now);
        }
    }
    schedule.outcome()
}
