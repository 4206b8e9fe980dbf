//! Publishing staged changes: once for all writes that wait together.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    Lifecycle,
    audit::entry,
    details::Details,
    executor::{FAILED, refusal_event},
    failure::Failure,
    report::{Activation, ActivationState},
};
use crate::{
    model::{Operation, OperationId, State, Write},
    store::{SendOutcome, StoreError, Which},
    zia::{ActivationStatus, Deadline},
};

/// How long an activation is watched before the caller is told that it is not live yet.
const PROMPT: Duration = Duration::from_secs(20);

/// How long an activation waits for its turn and for ZIA's edit lock.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long a running activation of somebody else is waited for before our first write.
const OTHERS: Duration = Duration::from_secs(10);

/// How long an activation waits for writes that are queued already, so that it covers them too.
const GATHERING: Duration = Duration::from_secs(5);

/// Counts our writes and the activations that cover them.
#[derive(Debug, Default)]
pub(crate) struct Activator {
    /// One activation at a time; who waits here may find itself covered.
    turn: tokio::sync::Mutex<()>,
    staged: AtomicU64,
    /// The newest write covered by a finished activation, how that ended, and who sent it.
    covered: Mutex<(u64, Option<Ended>)>,
    /// Whether activations that were sent are watched in the background.
    pub(crate) watching: AtomicBool,
}

/// How an activation ended, and the operation that sent it.
#[derive(Clone, Debug)]
struct Ended {
    activation: Activation,
    by: OperationId,
    /// Other operations whose write was waiting before it was sent: it covers them too (I5).
    others: Vec<Operation>,
}

impl Activator {
    fn covering(&self, write: u64) -> Option<Ended> {
        let covered = self.covered.lock().unwrap_or_else(PoisonError::into_inner);
        covered.1.clone().filter(|_| covered.0 >= write)
    }

    fn cover(&self, upto: u64, ended: Ended) {
        *self.covered.lock().unwrap_or_else(PoisonError::into_inner) = (upto, Some(ended));
    }
}

impl Lifecycle {
    /// Notices other administrators' staged changes before our first write.
    ///
    /// # Errors
    /// What ZIA answered: then nothing may be sent.
    pub(crate) async fn before_write(&self, details: &mut Details) -> Result<(), Failure> {
        // Listed first: a write of ours that is published meanwhile would look like nobody's.
        let ours = self.possibly_staged().await?;
        let status = self.status_at_rest(OTHERS).await?;
        details.foreign =
            if ours.is_empty() { self.others_wait(status).await? } else { are_others(status, &ours) };
        if details.foreign {
            details.note("the tenant had staged changes of other administrators before this write");
        }
        Ok(())
    }

    /// Whether changes wait that are not ours, given the tenant's status.
    pub(crate) async fn others_wait(&self, status: ActivationStatus) -> Result<bool, Failure> {
        if status != ActivationStatus::Pending {
            return Ok(false);
        }
        Ok(are_others(status, &self.possibly_staged().await?))
    }

    /// Our operations whose write may be staged.
    pub(crate) async fn possibly_staged(&self) -> Result<Vec<Operation>, Failure> {
        // In this order, so that one which moves on meanwhile is in one list at least.
        let mut ours = self.store.operations(Some(self.tenant()), Which::Open, 1_000).await?;
        let unsent = |o: &Operation| matches!(o.state, State::Awaiting | State::Approved);
        ours.retain(|o| !unsent(o));
        let waiting = self.store.operations(Some(self.tenant()), Which::Unactivated, 1_000).await?;
        ours.extend(waiting.into_iter().filter(|o| o.state == State::NotActive));
        Ok(ours)
    }

    /// The tenant's status, once no activation is running or the wait is over.
    async fn status_at_rest(&self, wait: Duration) -> Result<ActivationStatus, Failure> {
        let end = tokio::time::Instant::now() + wait;
        loop {
            let status = self.zia.status(self.interactive().finishing()).await?;
            if status != ActivationStatus::InProgress || tokio::time::Instant::now() >= end {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Activates a verified write, alone or with others that wait.
    pub(crate) async fn activate_after(&self, verified: Operation) -> Result<(), Failure> {
        let mut details = Details::of(&verified);
        if details.foreign {
            let held = "not activated: other administrators' staged changes would go live with it; `activate` asks a person first";
            details.activation = Some(Activation::with(ActivationState::Pending, held));
            return self.step(&verified, State::NotActive, &details, "activation.held").await.map(drop);
        }
        let write = self.shared.activator.staged.fetch_add(1, Ordering::SeqCst) + 1;
        let _turn = self.shared.activator.turn.lock().await;
        if let Some(ended) = self.shared.activator.covering(write) {
            return self.end_activation(&verified, details, ended).await;
        }
        // The lock is fair: whoever asked for it before writes before.
        drop(tokio::time::timeout(GATHERING, self.shared.writing.lock()).await);
        let upto = self.shared.activator.staged.load(Ordering::SeqCst);
        let (sent, ended) = self.send_activation(verified, details.clone()).await?;
        self.shared.activator.cover(upto, ended.clone());
        self.end_activation(&sent, details, ended).await
    }

    /// Waits for an activation that this process has on its way; tells whether there was one.
    pub(crate) async fn own_activation_ends(&self, most: Duration) -> bool {
        let Err(_) = self.shared.activator.turn.try_lock() else { return false };
        // Whether it ended in time or not, the tenant's status is read next.
        drop(tokio::time::timeout(most, self.shared.activator.turn.lock()).await);
        true
    }

    /// Carries out `activate` itself, from wherever it stands: an activation can be repeated (K11).
    pub(crate) async fn carry_activation(&self, operation: Operation) -> Result<(), Failure> {
        if operation.state == State::Approved && !self.in_time(&operation, &Details::of(&operation)) {
            let mut details = Details::of(&operation);
            details.note("approved, but not carried out in time; nothing was sent; ask again");
            return self.step(&operation, State::Expired, &details, "operation.expired").await.map(drop);
        }
        let mut details = Details::of(&operation);
        let _turn = self.shared.activator.turn.lock().await;
        if let Err(failure) = self.check_standing(&operation, &details).await {
            if operation.state == State::Approved {
                let event = refusal_event(&failure, FAILED);
                return self.fail_as(&operation, details, failure, event).await.map(drop);
            }
            // An earlier send may have published what waited: that is read, and nothing is repeated (K11).
            details.note(format!("not activated again: {}", failure.message));
            let activation = self.watch(PROMPT).await;
            let ended = Ended { activation, by: operation.id.clone(), others: Vec::new() };
            return self.end_activation(&operation, details, ended).await;
        }
        let upto = self.shared.activator.staged.load(Ordering::SeqCst);
        let (sent, ended) = self.send_activation(operation, details.clone()).await?;
        self.shared.activator.cover(upto, ended.clone());
        self.end_activation(&sent, details, ended).await
    }

    /// Sends one activation and watches it.
    async fn send_activation(
        &self,
        operation: Operation,
        details: Details,
    ) -> Result<(Operation, Ended), Failure> {
        // Listed first: what is written from now on is not covered, even if it waits at the end.
        let others = self.waiting_but_not_sent(&operation.id).await?;
        let audit = entry("send.intended", []);
        let begun = self.store.begin_send(&operation, Write::Activate, details.to_value(), audit).await;
        let by = operation.id.clone();
        let (sent, permit) = match begun {
            Err(StoreError::SendsExhausted) => {
                let often = "activated as often as one operation may, and not confirmed; call `activate`";
                let activation = Activation::with(ActivationState::Failed, often);
                return Ok((operation, Ended { activation, by, others: Vec::new() }));
            }
            other => other?,
        };
        self.changed(&sent.id);
        let ended = match self.zia.activate(&permit, Deadline::after(PATIENCE)).await {
            Ok(_) => {
                self.end_send(permit, SendOutcome::Done, None).await?;
                self.watch(PROMPT).await
            }
            Err(error) => {
                let not_done = error.landed == crate::zia::Landed::No;
                let outcome = if not_done { SendOutcome::Refused } else { SendOutcome::Unknown };
                self.end_send(permit, outcome, error.code.as_deref()).await?;
                if not_done { refused(error) } else { unless_refused(self.watch(PROMPT).await, error) }
            }
        };
        Ok((sent, Ended { activation: ended, by, others }))
    }

    async fn end_activation(
        &self,
        operation: &Operation,
        mut details: Details,
        ended: Ended,
    ) -> Result<(), Failure> {
        let state = ended.activation.state;
        let sent = state != ActivationState::Failed;
        details.activation = Some(ended.activation);
        details.activated_by = sent.then(|| ended.by.clone());
        let audit = |event| entry(event, [("activation_of", ended.by.as_str().into())]);
        if state == ActivationState::Active {
            // The others first: who reads this one as done may look at them next.
            let others = self.finish_all(ended.others, &ended.by).await;
            self.step_with(operation, State::Done, &details, audit("activation.active")).await?;
            return others;
        }
        self.step_with(operation, State::NotActive, &details, audit("activation.not_active")).await?;
        self.watch_on();
        Ok(())
    }

    /// Operations that wait for an activation which nobody is about to send, earlier activations too.
    async fn waiting_but_not_sent(&self, but: &OperationId) -> Result<Vec<Operation>, Failure> {
        let mut waiting = self.store.operations(Some(self.tenant()), Which::Unactivated, 1_000).await?;
        // Others are closed by their own task, which holds or waits for the turn.
        waiting.retain(|o| o.state == State::NotActive && o.id != *but);
        Ok(waiting)
    }

    /// Closes what an activation of ours, read back as `ACTIVE`, has published too.
    async fn finish_all(&self, published: Vec<Operation>, by: &OperationId) -> Result<(), Failure> {
        for operation in published {
            self.finish(&operation, by).await?;
        }
        Ok(())
    }

    /// Closes an operation whose write an activation of ours has published.
    pub(crate) async fn finish(&self, operation: &Operation, by: &OperationId) -> Result<(), Failure> {
        let mut details = Details::of(operation);
        details.activation = Some(Activation::plain(ActivationState::Active));
        details.activated_by = Some(by.clone());
        let audit = entry("activation.active", [("activation_of", by.as_str().into())]);
        match self.step_with(operation, State::Done, &details, audit).await {
            // Somebody else closed it meanwhile.
            Err(Failure { code: super::failure::Code::Conflict, .. }) | Ok(_) => Ok(()),
            Err(other) => Err(other),
        }
    }
}

/// Whether a status tells of changes that are not ours, given what we may have staged.
fn are_others(status: ActivationStatus, ours: &[Operation]) -> bool {
    let foreign = |o: &Operation| Details::of(o).foreign;
    status == ActivationStatus::Pending && (ours.is_empty() || ours.iter().any(foreign))
}

/// An error of ZIA's own that published nothing is a failure, not a place in a queue (guardrails F28).
fn unless_refused(watched: Activation, error: crate::zia::Error) -> Activation {
    let queued = watched.state == ActivationState::Queued;
    if queued && error.kind == crate::zia::Kind::Server { refused(error) } else { watched }
}

fn refused(error: crate::zia::Error) -> Activation {
    let code = error.code.clone().map(|c| format!("{c}: ")).unwrap_or_default();
    let failure = Failure::from(error);
    let detail =
        format!("{code}{}; the change stays staged. {}; then call `activate`", failure.message, failure.next);
    Activation::with(ActivationState::Failed, detail)
}
