//! One user of a call on several, and what the caller is told of each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    lifecycle::{
        details::Details,
        failure::Failure,
        report::{Item, Outcome},
    },
    model::{CaptureId, State, User},
};

/// One user of a call on several.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// As the caller named them.
    pub asked: String,
    /// The user, if there is one.
    pub user: Option<User>,
    /// Digest of what was seen, to compare before the send.
    pub object: Option<String>,
    /// The before-image.
    pub capture: Option<CaptureId>,
    /// `Approved` until sent, then as an operation's.
    pub state: State,
    /// Why nothing can be done, or was.
    pub failure: Option<Failure>,
}

impl Asked {
    pub(super) fn to_delete(asked: &str) -> Self {
        let asked = asked.to_owned();
        Self { asked, user: None, object: None, capture: None, state: State::Approved, failure: None }
    }

    pub(super) fn already(asked: &str) -> Self {
        Self { state: State::AlreadyDone, ..Self::to_delete(asked) }
    }

    pub(super) fn refused(asked: &str, failure: Failure) -> Self {
        Self { state: State::Failed, failure: Some(failure), ..Self::to_delete(asked) }
    }
}

/// What the caller is told of each user, given where the whole operation stands.
pub(crate) fn items(details: &Details, whole: Outcome) -> Vec<Item> {
    details.asked.iter().map(|asked| item(asked, whole)).collect()
}

fn item(asked: &Asked, whole: Outcome) -> Item {
    let told = match asked.state {
        State::Verified => match whole {
            Outcome::Done | Outcome::AppliedNotActive => whole,
            _ => Outcome::AppliedNotActive,
        },
        State::AlreadyDone => Outcome::AlreadyDone,
        State::Changed => Outcome::Changed,
        State::Failed => Outcome::Failed,
        State::Sending | State::Unknown if whole == Outcome::InProgress => Outcome::InProgress,
        State::Sending | State::Unknown => Outcome::Unknown,
        _ => whole,
    };
    let error = asked.failure.clone().filter(|_| told == Outcome::Failed);
    Item {
        user: asked.asked.clone(),
        id: asked.user.as_ref().map(|u| u.id),
        email: asked.user.as_ref().map(|u| u.email.clone()),
        outcome: error.is_none().then_some(told),
        capture: asked.capture.clone(),
        error,
    }
}

/// The outcome of the whole, once its users have theirs: the one that all have, or `partial`.
pub(crate) fn outcome(details: &Details, whole: Outcome) -> Outcome {
    if !matches!(whole, Outcome::Done | Outcome::AppliedNotActive | Outcome::AlreadyDone | Outcome::Failed) {
        return whole;
    }
    let told = items(details, whole);
    let first = told.first().and_then(|i| i.outcome).unwrap_or(Outcome::Failed);
    let same = told.iter().all(|i| i.outcome.unwrap_or(Outcome::Failed) == first);
    if same { first } else { Outcome::Partial }
}

/// How many users ended how.
pub(crate) fn counts(items: &[Item]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for item in items {
        let outcome = item.outcome.unwrap_or(Outcome::Failed);
        let name = serde_json::to_value(outcome).ok().and_then(|v| v.as_str().map(str::to_owned));
        *counts.entry(name.unwrap_or_default()).or_default() += 1;
    }
    counts
}
