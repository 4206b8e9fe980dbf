//! What really happened, decided from what reading shows; no I/O.

use std::{collections::BTreeSet, time::Duration};

use super::report::Draft;
use crate::model::{Named, User};

/// When a user who should be gone, or there, is looked at again: ZIA may answer from before a write.
pub(crate) const LOOKS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

/// The same where each look costs one of the hour's 40 user lists.
pub(crate) const SPARING_LOOKS: [Duration; 3] =
    [Duration::ZERO, Duration::from_secs(2), Duration::from_secs(8)];

/// What reading says about a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// ZIA's own answer says that there is no such user.
    Absent,
    /// The user is there, after every look.
    Present,
    /// Reading did not answer.
    Unsettled,
}

/// What to conclude for a delete, given how its send ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The write took effect.
    Applied,
    /// The write did not take effect.
    NotApplied,
    /// Not known.
    Unknown,
}

/// Concludes for a delete: `acked` says that ZIA answered success.
pub(crate) fn of_deletion(acked: bool, seen: Deletion) -> Verdict {
    match (seen, acked) {
        (Deletion::Absent, _) => Verdict::Applied,
        (Deletion::Present, false) => Verdict::NotApplied,
        // ZIA said that it deleted and still shows the user: no reading settles that here.
        (Deletion::Present, true) | (Deletion::Unsettled, _) => Verdict::Unknown,
    }
}

/// What reading says about a create whose reply was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Creation {
    /// The user is there as asked for.
    AsAsked(Box<User>),
    /// Another user has the address.
    Different(Box<User>),
    /// Nobody has the address, and ZIA's answers prove it.
    Absent,
    /// Reading did not answer, or proves nothing.
    Unsettled,
}

/// Compares a user found after a lost reply with what was asked for.
pub(crate) fn of_creation(draft: &Draft, found: User) -> Creation {
    let department = draft.department.as_ref().map(|d| d.id) == found.department.as_ref().map(|d| d.id);
    let same = draft.name == found.name && same_groups(&draft.groups, &found.groups) && department;
    if same { Creation::AsAsked(Box::new(found)) } else { Creation::Different(Box::new(found)) }
}

/// Whether two lists hold the same groups, in whatever order.
pub(crate) fn same_groups(a: &[Named], b: &[Named]) -> bool {
    let ids = |groups: &[Named]| groups.iter().map(|g| g.id).collect::<BTreeSet<_>>();
    ids(a) == ids(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deleted_is_said_only_where_reading_shows_absence() {
        for acked in [true, false] {
            for seen in [Deletion::Absent, Deletion::Present, Deletion::Unsettled] {
                let applied = of_deletion(acked, seen) == Verdict::Applied;
                assert_eq!(applied, seen == Deletion::Absent, "{acked} {seen:?}");
            }
        }
    }

    #[test]
    fn a_lost_reply_is_a_failure_only_where_the_user_is_still_there() {
        assert_eq!(of_deletion(false, Deletion::Present), Verdict::NotApplied);
        assert_eq!(of_deletion(true, Deletion::Present), Verdict::Unknown);
        assert_eq!(of_deletion(false, Deletion::Unsettled), Verdict::Unknown);
    }
}
