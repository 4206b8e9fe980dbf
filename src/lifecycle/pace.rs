//! When ZIA is read again to find out what became of a write.

use std::time::Duration;

/// Pauses before each reading; ZIA may answer from before a write (guardrails F23).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Before each look at a user by id. What the last one shows counts.
    pub looks: Vec<Duration>,
    /// The same where each look costs one of the hour's 40 user lists.
    pub sparing_looks: Vec<Duration>,
    /// After each round of looks that settled nothing. The next round of recovery begins anew.
    pub rounds: Vec<Duration>,
    /// Between two looks at a tenant in maintenance (guardrails F49).
    pub probe: Duration,
    /// Between two looks whether a write that waits for ZIA's limits has its turn: other processes may
    /// have left earlier.
    pub turn: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            looks: seconds(&[0, 1, 2, 4, 8]),
            sparing_looks: seconds(&[0, 2, 8]),
            rounds: seconds(&[10, 30, 60, 120, 300]),
            probe: Duration::from_secs(300),
            turn: Duration::from_secs(15),
        }
    }
}

fn seconds(all: &[u64]) -> Vec<Duration> {
    all.iter().copied().map(Duration::from_secs).collect()
}
