//! Carries operations out: the only caller of the endpoints that write.

mod create;
mod delete;

use std::{future::Future, sync::PoisonError, time::Duration};

use tokio::sync::broadcast::error::RecvError;

use super::{
    Lifecycle,
    audit::entry,
    details::Details,
    failure::{Code, Failure},
    report::{Activation, ActivationState},
};
use crate::{
    model::{Action, Operation, OperationId, State, Write},
    store::{Permit, SendOutcome},
    zia::{self, Landed},
};

/// How long an approved write waits for its turn and for ZIA's edit lock (guardrails F14).
const PATIENCE: Duration = Duration::from_secs(600);

/// How long one round of reading may take.
const READING: Duration = Duration::from_secs(60);

/// Pauses between the rounds that settle an unknown outcome.
const SETTLING: [Duration; 5] = [
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(120),
    Duration::from_secs(300),
];

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
        let this = self.clone();
        this.shared.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        tokio::spawn(async move {
            // A task of its own, so that a panic in it still ends in the lines below.
            match tokio::spawn(work).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(operation.id = %id, %error, "an operation stopped"),
                Err(_) => tracing::error!(operation.id = %id, "an operation met a fault of the server"),
            }
            this.shared.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            this.changed(&id);
        });
    }

    /// Waits for what this process carries out, at most for some time.
    ///
    /// What is not done by then is taken up at the next start.
    pub async fn drain(&self, most: Duration) {
        let end = tokio::time::Instant::now() + most;
        let mut changes = self.changes();
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

    async fn execute(&self, operation: Operation) -> Result<(), Failure> {
        match operation.action {
            Action::ProvisionUser | Action::RestoreUser => self.create_user(operation).await,
            Action::UpdateUser | Action::DeprovisionUsers => Err(super::begin::internal()),
            Action::DeprovisionUser => self.delete_user(operation).await,
            Action::Activate => self.activate_approved(operation).await,
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

    /// A write did not answer with success: `Some` if it may have happened all the same.
    async fn unanswered(
        &self,
        permit: Permit,
        sent: &Operation,
        details: &mut Details,
        error: zia::Error,
        lost: &str,
    ) -> Result<Option<Operation>, Failure> {
        let code = error.code.clone();
        if error.landed == Landed::No {
            self.end_send(permit, SendOutcome::Refused, code.as_deref()).await?;
            self.fail(sent, details.clone(), refusal(error)).await?;
            return Ok(None);
        }
        self.end_send(permit, SendOutcome::Unknown, code.as_deref()).await?;
        details.note(lost);
        self.step(sent, State::Unknown, details, "send.unknown").await.map(Some)
    }

    /// Ends an operation of which nothing was applied.
    pub(crate) async fn fail(
        &self,
        operation: &Operation,
        mut details: Details,
        failure: Failure,
    ) -> Result<(), Failure> {
        details.note(format!("{}; nothing was applied", failure.message));
        details.initial_password = None;
        details.failure = Some(failure);
        self.step(operation, State::Failed, &details, "operation.failed").await.map(drop)
    }
}

/// A refusal of a write, with ZIA's code where the caller can read it.
fn refusal(error: zia::Error) -> Failure {
    let code = error.code.clone();
    let mut failure = Failure::from(error);
    if let Some(code) = code {
        failure.message = format!("{code}: {}", failure.message);
    }
    if failure.code == Code::NotFound {
        failure.code = Code::Upstream;
    }
    failure
}

fn staged() -> Activation {
    Activation::with(
        ActivationState::Pending,
        "applied and verified; not activated yet. ZIA may also publish it by itself, on sign-out or time-out",
    )
}
