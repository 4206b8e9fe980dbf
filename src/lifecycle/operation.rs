//! The state machine of an operation, without I/O.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    bulk,
    details::Details,
    executor::waiting_note,
    failure::{Code, Failure},
    report::{Activation, HowToApprove, Outcome, Report},
    watch::GIVEN_UP,
};
use crate::model::{Operation, State};

/// Whether a step may follow another.
pub(crate) fn may_follow(from: State, to: State) -> bool {
    use State::*;
    match from {
        Awaiting => matches!(to, Awaiting | Approved | Declined | Expired | Failed),
        // Again, once there is more to record of it, such as a capture.
        Approved => {
            matches!(to, Approved | Sending | Activating | Changed | AlreadyDone | Done | Expired | Failed)
        }
        // Again, and with the same ends as before, where ZIA did not process what was sent.
        Sending => {
            matches!(to, Sending | Acked | Verified | AlreadyDone | Changed | Expired | Failed | Unknown)
        }
        Acked => matches!(to, Verified | Unknown),
        // Sent again only after reading showed that nothing was done (guardrails K6, F22).
        Unknown => matches!(to, Unknown | Sending | Verified | Failed),
        Verified => matches!(to, Activating | NotActive | Done),
        // An activation can be repeated (guardrails K11).
        Activating => matches!(to, Activating | Done | NotActive | Failed),
        NotActive => matches!(to, Activating | NotActive | Done),
        Done | AlreadyDone | Planned | Declined | Expired | Changed | Failed => false,
    }
}

/// Whether an undecided operation has lapsed.
pub(crate) fn has_lapsed(operation: &Operation, now: Timestamp) -> bool {
    operation.state == State::Awaiting && now >= operation.expires_at
}

/// Whether waiting longer may still change the answer.
pub(crate) fn is_moving(state: State) -> bool {
    matches!(state, State::Approved | State::Sending | State::Acked | State::Verified | State::Activating)
}

/// The outcome that a caller is told.
///
/// `running` says that a process carries the operation out.
pub(crate) fn outcome(operation: &Operation, now: Timestamp, running: bool) -> Outcome {
    match operation.state {
        State::Awaiting if has_lapsed(operation, now) => Outcome::Expired,
        State::Awaiting => Outcome::AwaitingApproval,
        State::Sending | State::Acked if !running => Outcome::Unknown,
        State::Approved | State::Sending | State::Acked => Outcome::InProgress,
        State::Done | State::NotActive if is_unmet(operation) => Outcome::Failed,
        State::Verified | State::Activating | State::NotActive => Outcome::AppliedNotActive,
        State::Done => Outcome::Done,
        State::AlreadyDone => Outcome::AlreadyDone,
        State::Planned => Outcome::Planned,
        State::Declined => Outcome::Declined,
        State::Expired => Outcome::Expired,
        State::Changed => Outcome::Changed,
        State::Failed => Outcome::Failed,
        State::Unknown => Outcome::Unknown,
    }
}

/// Whether a part of what was asked for shows not to be done (guardrails F26).
fn is_unmet(operation: &Operation) -> bool {
    operation.details.get("unmet").and_then(Value::as_array).is_some_and(|unmet| !unmet.is_empty())
}

/// The answer of the tool that began an operation.
///
/// # Errors
/// The failure that stopped the operation, where the caller can mend it.
pub(crate) fn report(operation: &Operation, now: Timestamp, running: bool) -> Result<Report, Failure> {
    let details = Details::of(operation);
    if let (State::Failed, Some(failure)) = (operation.state, &details.failure)
        && failure.code != Code::Forbidden
        && (failure.code != Code::Upstream || failure.retryable)
    {
        return Err(failure.clone().of(&operation.id));
    }
    let (outcome, items) = match (outcome(operation, now, running), details.asked.is_empty()) {
        (whole, true) => (whole, None),
        (whole, false) => (bulk::outcome(&details, whole), Some(bulk::items(&details, whole))),
    };
    let activation = activation(operation, &details, now);
    let mut notes = details.notes.clone();
    if matches!(operation.state, State::Approved | State::Sending | State::Unknown) {
        notes.extend(waiting_note(&details, now));
    }
    Ok(Report {
        outcome,
        operation_id: operation.id.clone(),
        user: details.user,
        counts: items.as_deref().map(bulk::counts),
        items,
        activation,
        capture: details.capture,
        changes: details.changes,
        approval: details.approval,
        how_to_approve: (outcome == Outcome::AwaitingApproval).then(|| how_to_approve(operation)),
        initial_password: details.initial_password,
        notes,
    })
}

/// Whether an activation that was sent is watched on in the background, for a day (guardrails F29).
pub(crate) fn is_watched(operation: &Operation, now: Timestamp) -> bool {
    was_sent(operation, &Details::of(operation)) && now.duration_since(operation.updated_at) < GIVEN_UP
}

/// Whether an operation waits for an activation that was sent.
fn was_sent(operation: &Operation, details: &Details) -> bool {
    operation.state == State::NotActive && details.activated_by.is_some()
}

/// The activation as it is told: one that took a day is watched no more (guardrails F29).
fn activation(operation: &Operation, details: &Details, now: Timestamp) -> Activation {
    let last = details.activation();
    if !was_sent(operation, details) || now.duration_since(operation.updated_at) < GIVEN_UP {
        return last;
    }
    let detail = "the activation was sent, the tenant did not read ACTIVE for 24 hours, and the server \
                  watches it no more: look at the portal, then call `activate`";
    Activation::with(last.state, detail)
}

/// Where a person can decide on an operation.
pub(crate) fn how_to_approve(operation: &Operation) -> HowToApprove {
    HowToApprove {
        page: None,
        cli: format!("zia-mcp approve {}", operation.id),
        expires_at: operation.expires_at,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_state() -> impl Strategy<Value = State> {
        prop::sample::select(State::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn nothing_follows_an_end(from in any_state(), to in any_state()) {
            prop_assert!(!(from.is_ended() && may_follow(from, to)));
        }

        #[test]
        fn a_send_needs_an_approval(from in any_state()) {
            let approved = matches!(from, State::Approved | State::Sending | State::Unknown);
            prop_assert_eq!(may_follow(from, State::Sending), approved);
        }
    }

    #[test]
    fn every_state_can_reach_an_end() {
        for start in State::ALL {
            let mut seen = vec![start];
            let mut next = 0;
            while let Some(&from) = seen.get(next) {
                let more = State::ALL.into_iter().filter(|&to| may_follow(from, to));
                for to in more.collect::<Vec<_>>() {
                    if !seen.contains(&to) {
                        seen.push(to);
                    }
                }
                next += 1;
            }
            assert!(seen.iter().any(|s| s.is_ended()), "{start:?}");
        }
    }

    #[test]
    fn an_unknown_outcome_becomes_success_or_failure_only_by_its_own_step() {
        assert!(!may_follow(State::Unknown, State::Done));
        assert!(!may_follow(State::Sending, State::Done));
        assert!(!may_follow(State::Awaiting, State::Sending));
    }
}
