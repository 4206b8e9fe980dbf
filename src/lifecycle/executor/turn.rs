//! Waiting for the turn of an approved write, where ZIA's limits are used up.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::EXECUTION;
use crate::{
    lifecycle::{Lifecycle, audit::entry, details::Details, failure::Failure},
    model::{Action, Operation, Write},
    zia::{Error, Kind, Planned},
};

/// How long after its approval a write may still wait for its turn.
///
/// Longer than the hour of any window, since others may stand before it; shorter than a shift, so that
/// who approved can still be asked.
pub(crate) const LONGEST: SignedDuration = SignedDuration::from_hours(6);

/// A turn that comes so soon is waited for by the call itself.
const SOON: SignedDuration = SignedDuration::from_secs(30);

/// What is left to do once a write has its turn: its checks, verification and activation.
const AFTERWARDS: SignedDuration = SignedDuration::from_mins(1);

impl Lifecycle {
    /// Whether an operation may still be carried out (guardrails K4).
    ///
    /// The time that it waits for ZIA's limits does not count, up to [`LONGEST`].
    pub(crate) fn in_time(&self, operation: &Operation, details: &Details) -> bool {
        self.clock.now() < latest(operation, details)
    }

    /// Whether the calls of a write could leave now, or so soon that they can wait.
    ///
    /// True also where waiting makes no sense: the write then fails by itself, and says why.
    pub(super) async fn has_turn(&self, operation: &Operation, details: &Details) -> bool {
        match self.turn_of(operation, details).await {
            Some(at) => !self.is_worth_waiting(operation, details, at),
            None => true,
        }
    }

    fn is_worth_waiting(&self, operation: &Operation, details: &Details, at: Timestamp) -> bool {
        let last = since(operation, details).saturating_add(LONGEST).unwrap_or(Timestamp::MAX);
        at.duration_since(self.clock.now()) > SOON && at <= last && self.in_time(operation, details)
    }

    /// Whether a write that a limit kept back waits for its turn under the same approval.
    pub(super) fn waits_for_turn(&self, operation: &Operation, details: &Details, error: &Error) -> bool {
        let Kind::RateLimited { retry_at } = error.kind else { return false };
        let last = since(operation, details).saturating_add(LONGEST).unwrap_or(Timestamp::MAX);
        retry_at <= last && self.in_time(operation, details)
    }

    /// Waits for the turn of a write, on record, so that a restart waits on.
    pub(super) async fn await_turn(
        &self,
        mut operation: Operation,
        details: &mut Details,
    ) -> Result<Operation, Failure> {
        while let Some(at) = self.turn_of(&operation, details).await
            && self.is_worth_waiting(&operation, details, at)
        {
            if details.held_until.is_none_or(|told| at.duration_since(told) > SOON) {
                details.held_until = Some(at);
                operation = self.record_wait(&operation, details, at).await?;
            }
            let left = Duration::try_from(at.duration_since(self.clock.now())).unwrap_or_default();
            tokio::time::sleep(left.min(self.settings.pace.turn)).await;
        }
        Ok(operation)
    }

    async fn record_wait(
        &self,
        operation: &Operation,
        details: &Details,
        at: Timestamp,
    ) -> Result<Operation, Failure> {
        let audit = entry("send.waits", [("until", at.to_string().into())]);
        if operation.action == Action::DeprovisionUsers {
            let (to, value) = (operation.state, details.to_value());
            let noted = self.store.advance_bulk(operation, to, value, &[], audit).await?;
            self.changed(&noted.id);
            return Ok(noted);
        }
        self.step_with(operation, operation.state, details, audit).await
    }

    /// When every call of the write could leave; `None` if it has none, or that cannot be told.
    async fn turn_of(&self, operation: &Operation, details: &Details) -> Option<Timestamp> {
        let id = operation.subject;
        let (write, read) = match (operation.action, id) {
            (Action::ProvisionUser | Action::RestoreUser, _) => (Write::CreateUser, None),
            (Action::UpdateUser, Some(id)) => (Write::ReplaceUser(id), Some(Planned::ReadUser)),
            (Action::DeprovisionUser, Some(id)) => (Write::DeleteUser(id), Some(Planned::ReadUser)),
            (Action::DeprovisionUsers, _) if details.by_list => {
                (Write::DeleteUsers, Some(Planned::ListUsers))
            }
            (Action::DeprovisionUsers, _) => (Write::DeleteUsers, Some(Planned::ReadUser)),
            _ => return None,
        };
        let calls: Vec<_> = [Planned::Write(write), Planned::ReadStatus].into_iter().chain(read).collect();
        self.zia.turn_of(&calls).await.ok()
    }
}

/// When the time of an operation began.
fn since(operation: &Operation, details: &Details) -> Timestamp {
    details.approval.as_ref().map_or(operation.created_at, |approval| approval.at)
}

/// Until when an operation may be carried out.
pub(super) fn latest(operation: &Operation, details: &Details) -> Timestamp {
    let since = since(operation, details);
    let last = since.saturating_add(LONGEST).unwrap_or(Timestamp::MAX);
    let from = details.held_until.map_or(since, |held| held.clamp(since, last));
    from.saturating_add(EXECUTION).unwrap_or(Timestamp::MAX)
}

/// What a caller is told of an operation that waits for its turn.
pub(crate) fn waiting_note(details: &Details, now: Timestamp) -> Option<String> {
    let turn = details.held_until.filter(|turn| *turn > now)?;
    let end = turn.saturating_add(AFTERWARDS).unwrap_or(turn);
    Some(format!(
        "ZIA's call limits are used up for now: the server sends this by itself at about {turn:.0} and expects to be \
         done at about {end:.0}; follow it with get_operation"
    ))
}
