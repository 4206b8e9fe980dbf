//! What a delete of several users still costs and how long it may take; pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::zia::{BudgetLine, MAX_BULK};

/// How long one call takes, its answer included.
const ANSWER: Duration = Duration::from_millis(500);

/// The endpoints of a delete of several users, as budgets name them.
pub(super) const LISTS: &str = "GET /users";
pub(super) const READS: &str = "GET /users/{id}";
const DELETES: &str = "POST /users/bulkDelete";
const STATUS: &str = "GET /status";
const ACTIVATIONS: &str = "POST /status/activate";

/// So many calls of one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Calls {
    endpoint: &'static str,
    count: u32,
    one: &'static str,
    several: &'static str,
}

/// The calls that follow an approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan(Vec<Calls>);

/// What is left of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) endpoint: &'static str,
    pub(super) per: Duration,
    pub(super) limit: u32,
    pub(super) remaining: u32,
    /// Until one more call is free.
    pub(super) more_in: Duration,
}

/// The calls that ZIA still takes in this hour, of both ways to read users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// User lists.
    pub(super) lists: u32,
    /// Reads by id.
    pub(super) reads: u32,
}

impl Left {
    /// Of the hour; all, where nothing is counted.
    pub(super) fn of(lines: &[Line]) -> Self {
        let left = |endpoint: &str, all: u32| {
            let of = lines.iter().filter(|l| l.endpoint == endpoint && l.per == HOUR);
            of.map(|l| l.remaining).min().unwrap_or(all)
        };
        Self { lists: left(LISTS, 40), reads: left(READS, 1_000) }
    }
}

const HOUR: Duration = Duration::from_secs(3_600);

impl Line {
    /// A line of the budget as it is at a time.
    pub(super) fn of(line: &BudgetLine, now: Timestamp) -> Self {
        let per = match line.per {
            "second" => Duration::from_secs(1),
            "minute" => Duration::from_secs(60),
            _ => HOUR,
        };
        let more_in = Duration::try_from(line.resets_at.duration_since(now)).unwrap_or_default();
        Self { endpoint: line.endpoint, per, limit: line.limit, remaining: line.remaining, more_in }
    }

    /// Until the last of so many calls has left.
    fn until(&self, calls: u32) -> Duration {
        let Some(beyond) = calls.checked_sub(self.remaining).and_then(|over| over.checked_sub(1)) else {
            return Duration::ZERO;
        };
        self.more_in.saturating_add(self.per.saturating_mul(beyond / self.limit.max(1)))
    }
}

/// Whether reading whole lists uses up less of what is left than reading each user by id.
pub(super) fn lists_are_cheaper(lists: u64, reads: u64, left: Left) -> bool {
    lists.saturating_mul(u64::from(left.reads.max(1))) < reads.saturating_mul(u64::from(left.lists.max(1)))
}

impl Plan {
    /// The plan for so many users: each is read before and after, in lists of so many pages or by id.
    pub(super) fn new(users: usize, pages: Option<u32>) -> Self {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let chunks = count(users.div_ceil(MAX_BULK));
        let reading = match pages {
            Some(pages) => {
                calls(LISTS, pages.saturating_mul(2).saturating_mul(chunks), "user list", "user lists")
            }
            None => calls(READS, count(users).saturating_mul(2), "read of a user", "reads of a user"),
        };
        Self(vec![
            reading,
            calls(DELETES, chunks, "bulk delete", "bulk deletes"),
            calls(STATUS, 2, "status", "statuses"),
            calls(ACTIVATIONS, 1, "activation", "activations"),
        ])
    }

    fn total(&self) -> u32 {
        self.0.iter().map(|calls| calls.count).fold(0, u32::saturating_add)
    }

    /// How long it takes with what is left of the limits, one kind of call after the other.
    fn duration(&self, lines: &[Line]) -> Duration {
        let waits = |calls: &Calls| {
            let of = lines.iter().filter(|l| l.endpoint == calls.endpoint);
            of.map(|l| l.until(calls.count)).max().unwrap_or_default()
        };
        self.0.iter().map(waits).fold(ANSWER.saturating_mul(self.total()), Duration::saturating_add)
    }

    /// The plan in words, with its end if it began now.
    pub(super) fn in_words(&self, lines: &[Line], now: Timestamp) -> String {
        let told = |c: &Calls| format!("{} {}", c.count, if c.count == 1 { c.one } else { c.several });
        let calls: Vec<_> = self.0.iter().map(told).collect();
        let takes = SignedDuration::try_from(self.duration(lines)).unwrap_or(SignedDuration::MAX);
        format!(
            "about {} calls to ZIA: {}; done by about {} if approved at once",
            self.total(),
            calls.join(", "),
            by(now, takes)
        )
    }
}

fn calls(endpoint: &'static str, count: u32, one: &'static str, several: &'static str) -> Calls {
    Calls { endpoint, count, one, several }
}

/// The minute that has begun by then; with the day, where that is not soon.
fn by(now: Timestamp, takes: SignedDuration) -> String {
    let end = now.saturating_add(takes + SignedDuration::from_secs(60)).unwrap_or(Timestamp::MAX);
    let format = if takes < SignedDuration::from_hours(12) { "%H:%M UTC" } else { "%-d %b, %H:%M UTC" };
    end.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(endpoint: &'static str, per: Duration, limit: u32, remaining: u32, more_in: u64) -> Line {
        Line { endpoint, per, limit, remaining, more_in: Duration::from_secs(more_in) }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_plan_names_its_calls_and_its_end() {
        let told = Plan::new(500, Some(1)).in_words(&[], at("2026-11-26T14:03:20Z"));
        assert_eq!(
            told,
            "about 6 calls to ZIA: 2 user lists, 1 bulk delete, 2 statuses, 1 activation; done by about 14:04 UTC if approved at once"
        );
        let told = Plan::new(3, None).in_words(&[], at("2026-11-26T14:03:20Z"));
        assert!(told.starts_with("about 10 calls to ZIA: 6 reads of a user, 1 bulk delete"), "{told}");
    }

    #[test]
    fn what_is_left_now_needs_no_waiting() {
        let hour = line(LISTS, HOUR, 40, 2, 3_000);
        assert_eq!((hour.until(2), hour.until(3)), (Duration::ZERO, Duration::from_secs(3_000)));
    }

    #[test]
    fn a_window_that_is_used_up_moves_the_end() {
        let used = line(DELETES, HOUR, 4, 0, 1_800);
        let told = Plan::new(500, Some(1)).in_words(&[used], at("2026-11-26T14:00:00Z"));
        assert!(told.contains("done by about 14:31 UTC"), "{told}");
        let late = line(ACTIVATIONS, HOUR, 40, 0, 50 * 3_600);
        let told = Plan::new(500, Some(1)).in_words(&[late], at("2026-11-26T14:00:00Z"));
        assert!(told.contains("28 Nov, 16:01 UTC"), "{told}");
    }

    #[test]
    fn calls_beyond_a_window_leave_in_the_next_ones() {
        let second = line(READS, Duration::from_secs(1), 2, 2, 1);
        assert_eq!(second.until(2), Duration::ZERO);
        assert_eq!(second.until(4), Duration::from_secs(1));
        assert_eq!(second.until(100), Duration::from_secs(49));
        let none = line(LISTS, HOUR, 40, 0, 600);
        assert_eq!(none.until(41), Duration::from_secs(600 + 3_600));
    }

    #[test]
    fn the_way_that_uses_up_less_of_its_limit_is_taken() {
        let full = Left { lists: 40, reads: 1_000 };
        assert!(lists_are_cheaper(3, 1_500, full));
        assert!(!lists_are_cheaper(3, 15, full));
        // Of a million users, a list has a hundred pages.
        assert!(!lists_are_cheaper(300, 60, full));
        // With few lists left, even many reads are cheaper.
        assert!(!lists_are_cheaper(3, 60, Left { lists: 3, ..full }));
        assert!(lists_are_cheaper(3, 60, Left { reads: 60, ..full }));
    }

    #[test]
    fn what_is_left_is_that_of_the_hour() {
        let lines = [line(LISTS, Duration::from_secs(1), 1, 0, 1), line(LISTS, HOUR, 40, 17, 60)];
        assert_eq!(Left::of(&lines), Left { lists: 17, reads: 1_000 });
    }

    proptest::proptest! {
        #[test]
        fn more_calls_never_end_sooner(calls in 0_u32..2_000, remaining in 0_u32..40, more_in in 0_u64..3_600) {
            let hour = line(LISTS, HOUR, 40, remaining, more_in);
            proptest::prop_assert!(hour.until(calls + 1) >= hour.until(calls));
        }
    }
}
