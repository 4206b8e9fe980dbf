//! Taking up what an earlier process left behind.

use super::{
    Lifecycle,
    details::Details,
    failure::{Code, Failure},
    operation::STEP_LIMIT,
    report::{Activation, ActivationState, Subject},
};
use crate::{
    model::{Action, Operation, State},
    store::Which,
};

/// The most operations taken up at one start.
const MOST: u32 = 1_000;

impl Lifecycle {
    /// Settles by reading what a process that is gone left open, and expires what nobody decided.
    ///
    /// Only operations that stood still for longer than any step takes are touched: another
    /// process on the same store may be carrying the others out.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn recover(&self) -> Result<(), Failure> {
        let mut left = self.store.operations(Some(self.tenant()), Which::Open, MOST).await?;
        left.extend(self.store.operations(Some(self.tenant()), Which::Unactivated, MOST).await?);
        for operation in left {
            let still = self.clock.now().duration_since(operation.updated_at);
            if operation.state == State::Awaiting {
                self.load(&operation.id).await?;
            } else if still > STEP_LIMIT && !self.is_running(&operation.id) {
                self.take_up(operation).await?;
            }
        }
        Ok(())
    }

    async fn take_up(&self, operation: Operation) -> Result<(), Failure> {
        let mut details = Details::of(&operation);
        let taken = match operation.state {
            State::Approved => {
                let failure = Failure::new(
                    Code::Conflict,
                    "the server stopped after the approval and before anything was sent",
                    "ask again",
                );
                self.fail(&operation, details, failure).await
            }
            State::Sending | State::Acked | State::Unknown => {
                details.note("the server stopped before the outcome was known; it reads ZIA to settle it");
                let unknown = self.step(&operation, State::Unknown, &details, "send.unknown").await;
                unknown.map(|unknown| self.settle(unknown, details))
            }
            State::Verified | State::Activating => {
                let why = "applied and verified; the server stopped before activation was confirmed; ZIA may have \
                           published it by itself; `activate` confirms it";
                details.activation = Some(Activation::with(ActivationState::Pending, why));
                self.step(&operation, State::NotActive, &details, "activation.interrupted").await.map(drop)
            }
            _ => Ok(()),
        };
        match taken {
            // Another process took it up first.
            Err(Failure { code: Code::Conflict, .. }) => Ok(()),
            other => other,
        }
    }

    /// Settles an unknown write in the background, by reading only.
    fn settle(&self, unknown: Operation, details: Details) {
        let this = self.clone();
        tokio::spawn(async move {
            let id = unknown.id.clone();
            let settled = match (unknown.action, unknown.subject, &details.user) {
                (Action::DeprovisionUser, Some(user), _) => {
                    this.settle_deletion(unknown, details, user, false).await
                }
                (Action::ProvisionUser, _, Some(Subject::Draft(draft))) => {
                    let draft = draft.clone();
                    this.settle_creation(unknown, details, &draft).await
                }
                _ => Ok(None),
            };
            let ended = match settled {
                Ok(Some(verified)) => this.activate_after(verified).await,
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                tracing::warn!(operation.id = %id, %error, "an operation left behind could not be settled yet");
            }
        });
    }
}
