//! Watching an activation until the tenant reads `ACTIVE`.

use std::{sync::atomic::Ordering, time::Duration};

use jiff::SignedDuration;

use super::{
    Lifecycle,
    details::Details,
    failure::Failure,
    report::{Activation, ActivationState},
};
use crate::{
    model::{Operation, OperationId, State},
    store::Which,
    zia::{ActivationStatus, Deadline},
};

/// After this long an activation that never came through is left to a person (guardrails F29).
pub(super) const GIVEN_UP: SignedDuration = SignedDuration::from_hours(24);

/// The pauses between two readings of the status, in seconds; then the longest one.
const PAUSES: [u64; 12] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 8, 15, 30];
const LONGEST: u64 = 30;

/// How long one reading of the status may take.
const READING: Duration = Duration::from_secs(30);

impl Lifecycle {
    /// Reads the status until it is `ACTIVE` or the time is over.
    pub(crate) async fn watch(&self, limit: Duration) -> Activation {
        let end = tokio::time::Instant::now() + limit;
        let mut last = None;
        for n in 0.. {
            let pause = PAUSES.get(n).copied().unwrap_or(LONGEST);
            let at = tokio::time::Instant::now() + Duration::from_secs(pause);
            if at > end {
                break;
            }
            tokio::time::sleep_until(at).await;
            last = self.zia.status(Deadline::after(READING).finishing()).await.ok().or(last);
            if last == Some(ActivationStatus::Active) {
                return Activation::plain(ActivationState::Active);
            }
        }
        self.not_active(last).await
    }

    /// Says why the tenant does not read `ACTIVE`.
    async fn not_active(&self, last: Option<ActivationStatus>) -> Activation {
        if self.zia.eusa_accepted(Deadline::after(READING).finishing()).await.is_ok_and(|accepted| !accepted)
        {
            let why =
                "ZIA activates nothing before its end user subscription agreement is accepted in the portal";
            return Activation::with(ActivationState::Failed, why);
        }
        match last {
            Some(ActivationStatus::Pending) => Activation::with(
                ActivationState::Queued,
                "ZIA took the activation and still reads PENDING: it may wait for another administrator; the server goes on watching",
            ),
            _ => Activation::with(
                ActivationState::Pending,
                "the tenant did not read ACTIVE in time; the server goes on watching, `activate` asks again",
            ),
        }
    }

    /// Waits for the activation that runs, and closes what it covers once the tenant reads `ACTIVE`.
    ///
    /// # Errors
    /// What ZIA answered.
    pub(super) async fn join_running(&self, wait: Duration) -> Result<ActivationStatus, Failure> {
        let waiting = self.sent_and_waiting().await;
        let status = self.status_at_rest(wait).await?;
        if status == ActivationStatus::Active {
            self.close(waiting).await;
        }
        Ok(status)
    }

    /// Goes on watching in the background the activations that were sent, if there are any.
    pub(crate) fn watch_on(&self) {
        if self.shared.activator.watching.swap(true, Ordering::SeqCst) {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            for pause in PAUSES.iter().skip(2).chain(std::iter::repeat(&LONGEST)) {
                // Listed before the reading: whatever is sent later is not covered by it.
                let waiting = this.sent_and_waiting().await;
                if waiting.is_empty() {
                    break;
                }
                let status = this.zia.status(Deadline::after(READING).finishing()).await;
                if status.is_ok_and(|status| status == ActivationStatus::Active) {
                    this.close(waiting).await;
                }
                tokio::time::sleep(Duration::from_secs(*pause)).await;
            }
            this.shared.activator.watching.store(false, Ordering::SeqCst);
        });
    }

    /// Operations whose activation was sent and is not through, with the one that sent it.
    async fn sent_and_waiting(&self) -> Vec<(Operation, OperationId)> {
        let found = self.store.operations(Some(self.tenant()), Which::Unactivated, 1_000).await;
        let young = |o: &Operation| self.clock.now().duration_since(o.updated_at) < GIVEN_UP;
        let waiting =
            found.unwrap_or_default().into_iter().filter(|o| o.state == State::NotActive && young(o));
        waiting.filter_map(|o| Details::of(&o).activated_by.map(|by| (o, by))).collect()
    }

    /// Closes what was sent before the tenant read `ACTIVE`.
    async fn close(&self, waiting: Vec<(Operation, OperationId)>) {
        for (operation, by) in waiting {
            if let Err(error) = self.finish(&operation, &by).await {
                tracing::warn!(operation.id = %operation.id, %error, "an activated operation could not be closed");
            }
        }
    }
}
