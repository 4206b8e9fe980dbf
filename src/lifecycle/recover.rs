//! Taking up what an earlier process left behind.

use jiff::SignedDuration;

use super::{
    Lifecycle,
    details::Details,
    failure::{Code, Failure},
    records::is_under_way,
    report::{Activation, ActivationState, Subject},
};
use crate::{
    model::{Action, Operation, State},
    store::Which,
};

/// How long an approved operation may take until its task runs.
const ABOUT_TO_START: SignedDuration = SignedDuration::from_secs(5);

/// The most operations taken up at one start.
const MOST: u32 = 1_000;

impl Lifecycle {
    /// Settles by reading what a process that is gone left open, and expires what nobody decided.
    ///
    /// Operations that a living process carries out are left to it.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn recover(&self) -> Result<(), Failure> {
        let mut left = self.store.operations(Some(self.tenant()), Which::Open, MOST).await?;
        left.extend(self.store.operations(Some(self.tenant()), Which::Unactivated, MOST).await?);
        for operation in left {
            if operation.state == State::Awaiting {
                self.load(&operation.id).await?;
            } else if is_under_way(operation.state) && self.is_left(&operation) {
                self.take_up(operation).await?;
            }
        }
        Ok(())
    }

    /// Whether nobody carries an operation on; one of our own that stopped half-way is tried again.
    fn is_left(&self, operation: &Operation) -> bool {
        let own = self.is_own(operation);
        // An approved one may be about to start; any later state is reached by a task that runs.
        let about_to = operation.state == State::Approved
            && self.clock.now().duration_since(operation.updated_at) < ABOUT_TO_START;
        let given_up = own && !about_to && !self.runs_here(&operation.id);
        given_up || !self.is_running(operation)
    }

    async fn take_up(&self, operation: Operation) -> Result<(), Failure> {
        let Some(operation) = self.store.claim(&[operation]).await?.pop() else { return Ok(()) };
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
                let acked = operation.state == State::Acked;
                details.note("the server stopped before the outcome was known; it reads ZIA to settle it");
                let unknown = self.step(&operation, State::Unknown, &details, "send.unknown").await;
                unknown.map(|unknown| self.settle(unknown, details, acked))
            }
            State::Verified | State::Activating => {
                let why = "applied and verified; the server stopped before activation was confirmed; ZIA may have \
                           published it by itself";
                details.activation = Some(Activation::with(ActivationState::Pending, why));
                let waiting =
                    self.step(&operation, State::NotActive, &details, "activation.interrupted").await;
                waiting.map(|waiting| self.resume_activation(waiting, &details))
            }
            _ => Ok(()),
        };
        match taken {
            // Another process took it up first.
            Err(Failure { code: Code::Conflict, .. }) => Ok(()),
            other => other,
        }
    }

    /// Activates again what was verified: an activation can be repeated (guardrails K10, K11).
    ///
    /// One that would publish others' changes too is left to `activate`, which asks.
    fn resume_activation(&self, waiting: Operation, details: &Details) {
        if details.foreign {
            return;
        }
        let this = self.clone();
        self.in_background(waiting.id.clone(), async move { this.activate_after(waiting).await });
    }

    /// Settles an unknown write in the background, by reading only.
    fn settle(&self, unknown: Operation, details: Details, acked: bool) {
        let this = self.clone();
        self.in_background(unknown.id.clone(), async move {
            let settled = match (unknown.action, unknown.subject, &details.user) {
                (Action::DeprovisionUser, Some(user), _) => {
                    this.settle_deletion(unknown, details, user, acked).await
                }
                (Action::ProvisionUser, _, Some(Subject::Draft(draft))) => {
                    let draft = draft.clone();
                    this.settle_creation(unknown, details, &draft).await
                }
                _ => Ok(None),
            };
            match settled? {
                Some(verified) => this.activate_after(verified).await,
                None => Ok(()),
            }
        });
    }
}
