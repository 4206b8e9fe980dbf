//! Taking up what an earlier process left behind.

use jiff::SignedDuration;

use super::{Lifecycle, details::Details, failure::Failure, records::is_under_way};
use crate::{
    model::{Operation, State},
    store::Which,
};

/// How long an approved operation may take until its task runs.
const ABOUT_TO_START: SignedDuration = SignedDuration::from_secs(5);

/// Operations looked at in one round; the next round goes on.
const MOST: u32 = 20_000;

impl Lifecycle {
    /// Takes up what nobody carries on, and expires what nobody decided.
    ///
    /// Operations that a living process carries out are left to it. What is taken up goes on in the
    /// background, from where its record says that it stands (guardrails K1–K14).
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn recover(&self) -> Result<(), Failure> {
        let mut left = self.store.operations(Some(self.tenant()), Which::Open, MOST).await?;
        left.extend(self.store.operations(Some(self.tenant()), Which::Unactivated, MOST).await?);
        let (undecided, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(|o| o.state == State::Awaiting);
        for operation in undecided {
            self.unless_lapsed(operation).await?;
        }
        let mut under_way: Vec<_> = rest.into_iter().filter(|o| is_under_way(o.state)).collect();
        if !under_way.is_empty() {
            let living = self.store.living().await?;
            under_way.retain(|o| self.is_left(o, &living) && self.is_ours_to_send(o));
        }
        under_way.sort_by(|a, b| a.id.as_str().cmp(b.id.as_str()));
        under_way.dedup_by(|a, b| a.id == b.id);
        for operation in self.store.claim(&under_way).await? {
            let this = self.clone();
            self.in_background(operation.id.clone(), async move {
                // Some at a time: each reads ZIA, which counts the calls of all together.
                // One that waits for ZIA's limits reads nothing meanwhile, and keeps nobody waiting.
                let held = Details::of(&operation).held_until.is_some_and(|at| at > this.clock.now());
                let _turn = if held { None } else { Some(this.shared.taken_up.acquire().await) };
                this.execute(operation).await
            });
        }
        self.watch_on();
        Ok(())
    }

    /// Whether somebody approved an operation that no server has taken on yet.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn has_unclaimed(&self) -> Result<bool, Failure> {
        if !self.store.has_unclaimed(self.tenant()).await? {
            return Ok(false);
        }
        let open = self.store.operations(Some(self.tenant()), Which::Open, MOST).await?;
        let unclaimed = |o: &&Operation| o.state == State::Approved && o.owner.is_none();
        Ok(open.iter().filter(unclaimed).any(|o| self.is_ours_to_send(o)))
    }

    /// Whether the next step is no send, or one for a caller of whom this server's settings tell.
    ///
    /// Once the time to send is over, anybody may end an operation.
    fn is_ours_to_send(&self, operation: &Operation) -> bool {
        let sends =
            matches!(operation.state, State::Approved | State::Sending | State::Unknown | State::Activating);
        !sends
            || self.settings.authority.knows(&operation.actor)
            || !self.in_time(operation, &Details::of(operation))
    }

    /// Whether nobody carries an operation on; one of our own that stopped half-way is tried again.
    fn is_left(&self, operation: &Operation, living: &std::collections::HashSet<String>) -> bool {
        let Some(owner) = &operation.owner else { return true };
        if !self.is_own(operation) {
            return !living.contains(owner);
        }
        // An approved one may be about to start; any later state is reached by a task that runs.
        let about_to = operation.state == State::Approved
            && self.clock.now().duration_since(operation.updated_at) < ABOUT_TO_START;
        !about_to && !self.runs_here(&operation.id)
    }
}
