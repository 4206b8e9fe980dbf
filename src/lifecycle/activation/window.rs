//! How long an activation waits for writes that are under way; pure.

use std::time::Duration;

/// With a full allowance, for one more write.
const SHORT: Duration = Duration::from_secs(1);

/// For each further write that is under way: ZIA takes two a second at most.
const EACH: Duration = Duration::from_millis(500);

/// The most that a crowd is waited for with a full allowance: who asks gives up at 45 s.
const CROWD: Duration = Duration::from_secs(25);

/// The most while there is an activation left.
const LONG: Duration = Duration::from_secs(300);

/// From this share of the allowance on, an operation alone waits for company, too.
const SCARCE: f64 = 0.25;

/// The activations that ZIA still takes in this hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowance {
    /// Left now.
    pub(super) left: u32,
    /// In a whole hour.
    pub(super) limit: u32,
    /// Until one more is free.
    pub(super) more_in: Duration,
}

impl Allowance {
    /// Nothing is known to limit activations.
    pub(super) const FULL: Self = Self { left: 40, limit: 40, more_in: Duration::ZERO };
}

/// How long to wait for so many writes under way, counted from the first write that waits.
///
/// An operation alone does not wait, unless few activations are left. With none left there is no
/// choice: then it is until one is free.
pub(super) fn window(allowance: Allowance, under_way: usize) -> Duration {
    if allowance.left == 0 {
        return allowance.more_in;
    }
    let share = f64::from(allowance.left) / f64::from(allowance.limit.max(1));
    if under_way == 0 && share > SCARCE {
        return Duration::ZERO;
    }
    // Even spacing of what is left, as far as it has become scarce.
    let scarce =
        allowance.more_in.div_f64(f64::from(allowance.left)).mul_f64((1.0 - share).clamp(0.0, 1.0).powi(3));
    let crowd = EACH.saturating_mul(u32::try_from(under_way).unwrap_or(u32::MAX));
    let short = if under_way == 0 { Duration::ZERO } else { SHORT.saturating_add(crowd).min(CROWD) };
    short.saturating_add(scarce).min(LONG)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn left(left: u32, minutes: u64) -> Allowance {
        Allowance { left, limit: 40, more_in: Duration::from_secs(60 * minutes) }
    }

    #[test]
    fn an_operation_alone_is_activated_at_once() {
        for n in 11..=40 {
            assert_eq!(window(left(n, 59), 0), Duration::ZERO, "{n} left");
        }
    }

    #[test]
    fn company_is_waited_for_about_a_second_with_a_full_allowance() {
        assert_eq!(window(Allowance::FULL, 1), Duration::from_millis(1_500));
        assert_eq!(window(left(40, 0), 2), Duration::from_secs(2));
    }

    #[test]
    fn a_crowd_is_waited_for_as_long_as_its_callers_have_patience() {
        assert_eq!(window(Allowance::FULL, 20), Duration::from_secs(11));
        assert_eq!(window(Allowance::FULL, 500), CROWD);
    }

    #[test]
    fn near_the_end_it_is_minutes_even_alone() {
        assert!(window(left(4, 50), 0) > Duration::from_secs(240));
        assert_eq!(window(left(1, 55), 3), LONG);
        assert!(window(left(10, 50), 0) > Duration::from_secs(60));
    }

    #[test]
    fn with_none_left_it_is_until_one_is_free() {
        assert_eq!(window(left(0, 7), 0), Duration::from_secs(420));
        assert_eq!(window(left(0, 55), 9), Duration::from_secs(3_300));
    }

    proptest! {
        #[test]
        fn it_only_widens_as_the_allowance_shrinks(n in 1_u32..40, minutes in 0_u64..60, under_way in 0_usize..600) {
            let (more, fewer) = (window(left(n + 1, minutes), under_way), window(left(n, minutes), under_way));
            prop_assert!(fewer >= more, "{fewer:?} with {n}, {more:?} with one more");
        }

        #[test]
        fn it_only_widens_with_company(n in 1_u32..=40, minutes in 0_u64..60, under_way in 0_usize..600) {
            prop_assert!(window(left(n, minutes), under_way + 1) >= window(left(n, minutes), under_way));
        }

        #[test]
        fn it_never_exceeds_minutes_while_something_is_left(n in 1_u32..=40, minutes in 0_u64..60, under_way in 0_usize..600) {
            prop_assert!(window(left(n, minutes), under_way) <= LONG);
        }
    }
}
