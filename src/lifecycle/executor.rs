//! Carries operations out: the only caller of the endpoints that write.

mod bulk;
mod look;
mod maintenance;
mod renamed;
mod send;
mod settle;
mod standing;
mod turn;
mod wording;

use std::{future::Future, sync::PoisonError, time::Duration};

use jiff::SignedDuration;
use tokio::sync::broadcast::error::RecvError;

pub(crate) use maintenance::Paused;
pub(crate) use standing::refusal_event;
pub(crate) use turn::waiting_note;

use super::{
    Lifecycle,
    audit::entry,
    details::Details,
    failure::Failure,
    reconcile::{self, Next},
    report::{Activation, ActivationState},
};
use crate::{
    model::{Action, Operation, OperationId, Write},
    store::{Permit, RENEW_EVERY, SendOutcome},
    telemetry::spans::{self, Span},
};

/// How the audit trail calls an operation of which nothing was applied.
pub(crate) const FAILED: &str = "operation.failed";

/// How it calls the proof that a write was done.
pub(crate) const VERIFIED: &str = "send.verified";

/// How long an approved write waits for its turn and for ZIA's edit lock (guardrails F14).
const PATIENCE: Duration = Duration::from_secs(600);

/// How long after the approval an operation may be carried out, or a write sent again (guardrails K4);
/// counted from its turn where it had to wait for ZIA's limits.
pub(crate) const EXECUTION: SignedDuration = SignedDuration::from_mins(15);

/// How long one round of reading may take.
const READING: Duration = Duration::from_secs(60);

impl Lifecycle {
    /// Starts to carry an approved operation out, in the background.
    pub(crate) fn carry_out(&self, operation: Operation) {
        let this = self.clone();
        self.in_background(operation.id.clone(), async move { this.execute(operation).await });
    }

    /// Does some work on an operation to its end, whoever waits for it.
    pub(crate) fn in_background(
        &self,
        id: OperationId,
        work: impl Future<Output = Result<(), Failure>> + Send + 'static,
    ) {
        let (this, work) = (self.clone(), spans::carried(work));
        this.shared.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        tokio::spawn(async move {
            // A task of its own, so that a panic in it still ends in the lines below.
            let beating = tokio::spawn(this.clone().keep_lease());
            let ended = tokio::spawn(work).await;
            beating.abort();
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(operation.id = %id, %error, "an operation stopped"),
                Err(_) => tracing::error!(operation.id = %id, "an operation met a fault of the server"),
            }
            this.shared.paused.end(&id);
            this.shared.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            this.changed(&id);
        });
    }

    /// Keeps this process known as alive while it carries something out (guardrails F32).
    async fn keep_lease(self) {
        loop {
            if let Err(error) = self.store.renew_lease().await {
                tracing::warn!(%error, "the lease could not be renewed; another process may take over");
            }
            tokio::time::sleep(RENEW_EVERY).await;
        }
    }

    /// Waits for what this process carries out, at most for some time.
    ///
    /// What is not done by then is taken up at the next start.
    pub async fn drain(&self, most: Duration) {
        let end = tokio::time::Instant::now() + most;
        let mut changes = self.changes();
        let _no_waiting_for_company = self.shared.activator.hurrying();
        while !self.shared.running.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            match tokio::time::timeout_at(end, changes.recv()).await {
                Ok(Ok(_) | Err(RecvError::Lagged(_))) => {}
                Ok(Err(RecvError::Closed)) => return,
                Err(_) => {
                    tracing::warn!("operations are still running; the next start takes them up");
                    return;
                }
            }
        }
    }

    /// Carries an operation on from where it stands, whoever began it.
    ///
    /// Everything is decided by the operation's state and its sends on record, so that a server
    /// which was killed anywhere, even in here, is followed by one that does the same.
    pub(crate) async fn execute(&self, mut operation: Operation) -> Result<(), Failure> {
        if operation.action == Action::Activate {
            let span = span_of("activate", &operation);
            let ended = span.around(Box::pin(self.carry_activation(operation))).await;
            return ended.inspect_err(|failure| span.failed(failure.code.as_str()));
        }
        let several = operation.action == Action::DeprovisionUsers;
        loop {
            let span = |name| span_of(name, &operation);
            let next = match reconcile::next(operation.state) {
                Next::Send | Next::FindOut if several => Box::pin(self.bulk_step(operation)).await?,
                Next::Send => told(span("send"), Box::pin(self.send(operation))).await?,
                Next::FindOut => told(span("verify"), Box::pin(self.settle(operation))).await?,
                Next::Activate => {
                    let span = span("activate");
                    let ended = span.around(Box::pin(self.activate_after(operation))).await;
                    return ended.inspect_err(|failure| span.failed(failure.code.as_str()));
                }
                Next::Rest => return Ok(()),
            };
            let Some(moved) = next else { return Ok(()) };
            operation = moved;
        }
    }

    async fn begin_send(
        &self,
        operation: &Operation,
        write: Write,
        details: &Details,
    ) -> Result<(Operation, Permit), Failure> {
        let audit = entry("send.intended", [("write", write.as_str().into())]);
        let begun = self.store.begin_send(operation, write, details.to_value(), audit).await?;
        self.changed(&begun.0.id);
        Ok(begun)
    }

    /// Records how a send ended.
    pub(crate) async fn end_send(
        &self,
        permit: Permit,
        outcome: SendOutcome,
        code: Option<&str>,
    ) -> Result<(), Failure> {
        let audit = entry("send.ended", [("code", code.into())]);
        Ok(self.store.end_send(permit, outcome, code, audit).await?)
    }
}

/// The span of a step of an operation.
fn span_of(step: &'static str, operation: &Operation) -> Span {
    spans::step(step, operation.action.as_str(), operation.id.as_str())
}

/// Takes a step within its span, which tells where the operation stands then.
async fn told(
    span: Span,
    step: impl Future<Output = Result<Option<Operation>, Failure>>,
) -> Result<Option<Operation>, Failure> {
    let moved = span.around(step).await;
    match &moved {
        Ok(Some(operation)) => span.outcome(operation.state.as_str()),
        Ok(None) => span.outcome("unsettled"),
        Err(failure) => span.failed(failure.code.as_str()),
    }
    moved
}

fn staged() -> Activation {
    Activation::with(
        ActivationState::Pending,
        "applied and verified; not activated yet. ZIA may also publish it by itself, on sign-out or time-out",
    )
}
