//! What really happened, decided from the journal and from what reading shows; no I/O.

use std::collections::BTreeSet;

use crate::{
    model::{Action, Named, State},
    store::{MAX_SENDS, SendOutcome},
};

/// What a write does to one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Make the user.
    Create,
    /// Replace the user's fields.
    Replace,
    /// Delete the user.
    Delete,
}

impl Wish {
    /// What an action does; `None` where it is not about one user.
    pub(crate) fn of(action: Action) -> Option<Self> {
        match action {
            Action::ProvisionUser | Action::RestoreUser => Some(Self::Create),
            Action::UpdateUser => Some(Self::Replace),
            Action::DeprovisionUser => Some(Self::Delete),
            Action::DeprovisionUsers | Action::Activate => None,
        }
    }
}

/// The sends of one write, as they are on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Journal {
    /// What is wanted.
    pub wish: Wish,
    /// What became of each send, oldest first; `None` where that is not on record.
    pub sends: Vec<Option<SendOutcome>>,
    /// Whether the time in which the operation may be carried out goes on.
    pub in_time: bool,
}

impl Journal {
    /// Whether ZIA answered that it did the write.
    pub(crate) fn acked(&self) -> bool {
        self.sends.contains(&Some(SendOutcome::Done))
    }

    /// Whether no send can have done anything: no reading is needed to know that.
    pub(crate) fn did_nothing(&self) -> bool {
        self.sends.iter().all(|s| s.is_some_and(did_nothing))
    }

    /// Whether the write may be sent again although nobody has looked what the sends did.
    pub(crate) fn may_send_again_unread(&self) -> bool {
        let last = self.sends.last().copied().flatten();
        let unprocessed = matches!(last, Some(SendOutcome::NotSent | SendOutcome::Refused));
        self.did_nothing() && unprocessed && self.may_send_again()
    }

    fn may_send_again(&self) -> bool {
        let sent = i64::try_from(self.sends.len()).unwrap_or(i64::MAX);
        self.in_time && sent < MAX_SENDS && !self.acked()
    }
}

/// Whether a send that ended so certainly changed nothing.
fn did_nothing(outcome: SendOutcome) -> bool {
    matches!(outcome, SendOutcome::NotSent | SendOutcome::Refused | SendOutcome::Rejected)
}

/// How ZIA answered a send, or did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It did it.
    Done,
    /// It did nothing: there is no such user.
    NoSuchUser,
    /// It said no.
    Rejected,
    /// It did not process it: a lock, a limit, maintenance.
    Refused,
    /// Nothing left.
    NotSent,
    /// Not known.
    Lost,
}

impl Answer {
    /// What goes on record.
    pub(crate) fn outcome(self) -> SendOutcome {
        match self {
            Self::Done => SendOutcome::Done,
            Self::NoSuchUser | Self::Rejected => SendOutcome::Rejected,
            Self::Refused => SendOutcome::Refused,
            Self::NotSent => SendOutcome::NotSent,
            Self::Lost => SendOutcome::Unknown,
        }
    }
}

/// What an answer makes of an operation, given which send it answers, from 1.
pub(crate) fn after_answer(wish: Wish, attempt: i64, answer: Answer) -> State {
    match (answer, attempt, wish) {
        (Answer::Done, ..) => State::Acked,
        (Answer::NoSuchUser, 1, Wish::Delete) => State::AlreadyDone,
        (Answer::Lost, ..) => State::Unknown,
        (_, 1, _) => State::Failed,
        // An earlier send may have done it: what this one was refused for does not tell.
        _ => State::Unknown,
    }
}

/// What to do next with an operation that changes one user, from its record alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Check a last time and send.
    Send,
    /// Read what became of the sends.
    FindOut,
    /// Activate what was verified.
    Activate,
    /// Nothing.
    Rest,
}

/// What to do next with an operation in a state.
pub(crate) fn next(state: State) -> Next {
    match state {
        State::Approved => Next::Send,
        State::Sending | State::Acked | State::Unknown => Next::FindOut,
        State::Verified | State::Activating | State::NotActive => Next::Activate,
        _ => Next::Rest,
    }
}

/// What reading shows, once the time in which ZIA may answer from before is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// What the write wants.
    AsWanted,
    /// What was there before the write.
    AsBefore,
    /// Neither: somebody else wrote too.
    Otherwise,
    /// No answer, or one that proves nothing.
    Unsettled,
}

/// What to conclude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The write took effect.
    Applied,
    /// It took no effect, and may be sent again under the same approval.
    Resend,
    /// It took no effect, and is not sent again.
    NotApplied,
    /// What ZIA shows contradicts what it answered, or is neither as before nor as wanted: a person
    /// has to look.
    Overtaken,
    /// Not known; reading goes on.
    Unknown,
}

/// Concludes from the journal of a write and from what reading shows (guardrails F21–F26, I10).
pub(crate) fn conclude(journal: &Journal, seen: Seen) -> Verdict {
    match (seen, journal.acked(), journal.wish) {
        (Seen::AsWanted, _, _) => Verdict::Applied,
        // ZIA said that it did it and shows otherwise: a lag, or somebody who undid it.
        (Seen::AsBefore, true, _) | (Seen::Otherwise, true, Wish::Delete) => {
            if journal.in_time {
                Verdict::Unknown
            } else {
                Verdict::Overtaken
            }
        }
        // Done by us, and changed by another since or at once.
        (Seen::Otherwise, true, Wish::Create | Wish::Replace) => Verdict::Applied,
        (Seen::AsBefore, false, _) if journal.may_send_again() => Verdict::Resend,
        (Seen::AsBefore, false, _) => Verdict::NotApplied,
        (Seen::Otherwise, false, _) => Verdict::Overtaken,
        (Seen::Unsettled, _, _) => Verdict::Unknown,
    }
}

/// Whether a look may be the last one: later ones can only repeat it.
pub(crate) fn is_final(seen: Seen) -> bool {
    seen == Seen::AsWanted
}

/// Whether two lists hold the same groups, in whatever order.
pub(crate) fn same_groups(a: &[Named], b: &[Named]) -> bool {
    let ids = |groups: &[Named]| groups.iter().map(|g| g.id).collect::<BTreeSet<_>>();
    ids(a) == ids(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    use SendOutcome as O;
    use Verdict as V;

    const WISHES: [Wish; 3] = [Wish::Create, Wish::Replace, Wish::Delete];
    const SEEN: [Seen; 4] = [Seen::AsWanted, Seen::AsBefore, Seen::Otherwise, Seen::Unsettled];

    fn journal(wish: Wish, sends: &[Option<O>]) -> Journal {
        Journal { wish, sends: sends.to_vec(), in_time: true }
    }

    /// Every journal of up to three sends.
    fn journals() -> Vec<Journal> {
        let all = [O::NotSent, O::Refused, O::Rejected, O::Done, O::Unknown];
        let outcomes: Vec<_> = all.into_iter().map(Some).chain([None]).collect();
        let mut sends: Vec<Vec<Option<O>>> = vec![vec![]];
        for _ in 0..3 {
            let longer = sends.iter().flat_map(|s| outcomes.iter().map(|o| [s.clone(), vec![*o]].concat()));
            sends = longer.chain(sends.iter().cloned()).collect();
        }
        sends.retain(|s| !s.is_empty());
        let wishes = WISHES.iter().flat_map(|w| sends.iter().map(|s| journal(*w, s)));
        wishes.flat_map(|j| [j.clone(), Journal { in_time: false, ..j }]).collect()
    }

    #[test]
    fn the_whole_table() {
        // Rows: what is seen; columns: lost in time, lost and sent thrice, acked.
        let lost = [Some(O::Unknown)];
        let spent = [Some(O::Unknown), None, Some(O::Unknown)];
        let acked = [Some(O::Done)];
        for wish in WISHES {
            let changed = if wish == Wish::Delete { V::Unknown } else { V::Applied };
            let table = [
                (Seen::AsWanted, [V::Applied, V::Applied, V::Applied]),
                (Seen::AsBefore, [V::Resend, V::NotApplied, V::Unknown]),
                (Seen::Otherwise, [V::Overtaken, V::Overtaken, changed]),
                (Seen::Unsettled, [V::Unknown, V::Unknown, V::Unknown]),
            ];
            for (seen, verdicts) in table {
                for (sends, verdict) in [&lost[..], &spent[..], &acked[..]].into_iter().zip(verdicts) {
                    assert_eq!(conclude(&journal(wish, sends), seen), verdict, "{wish:?} {seen:?} {sends:?}");
                }
            }
        }
    }

    #[test]
    fn what_contradicts_zias_own_answer_is_left_to_a_person_once_the_time_is_over() {
        for wish in WISHES {
            let late = Journal { in_time: false, ..journal(wish, &[Some(O::Done)]) };
            assert_eq!(conclude(&late, Seen::AsBefore), V::Overtaken, "{wish:?}");
        }
    }

    #[test]
    fn deleted_is_said_only_where_reading_shows_absence() {
        for journal in journals().into_iter().filter(|j| j.wish == Wish::Delete) {
            for seen in SEEN {
                let applied = conclude(&journal, seen) == V::Applied;
                assert_eq!(applied, seen == Seen::AsWanted, "{journal:?} {seen:?}");
            }
        }
    }

    #[test]
    fn nothing_is_concluded_without_an_answer() {
        for journal in journals() {
            assert_eq!(conclude(&journal, Seen::Unsettled), V::Unknown);
        }
    }

    #[test]
    fn nothing_is_sent_again_that_was_done_or_too_often_or_too_late_or_unread() {
        for journal in journals() {
            for seen in SEEN {
                if conclude(&journal, seen) == V::Resend {
                    assert_eq!(seen, Seen::AsBefore);
                    assert!(journal.sends.len() < 3 && journal.in_time && !journal.acked(), "{journal:?}");
                }
            }
        }
    }

    #[test]
    fn only_sends_that_certainly_did_nothing_need_no_reading() {
        let nothing = journals().into_iter().filter(Journal::did_nothing);
        assert!(nothing.clone().count() > 0);
        for journal in nothing {
            assert!(journal.sends.iter().all(|s| matches!(s, Some(O::NotSent | O::Refused | O::Rejected))));
        }
    }

    #[test]
    fn only_what_was_not_processed_is_sent_again_without_a_reading() {
        for journal in journals().into_iter().filter(Journal::may_send_again_unread) {
            assert!(matches!(journal.sends.last(), Some(Some(O::NotSent | O::Refused))), "{journal:?}");
            assert!(journal.did_nothing() && journal.in_time && journal.sends.len() < 3, "{journal:?}");
        }
    }
}
