//! Publishing staged changes: once for all writes that wait together.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    Lifecycle,
    audit::entry,
    details::Details,
    failure::Failure,
    report::{Activation, ActivationState},
};
use crate::{
    model::{Action, Operation, State, Write},
    store::{SendOutcome, Which},
    zia::{ActivationStatus, Deadline},
};

/// How long an activation is watched before the caller is told that it is not live yet.
const PROMPT: Duration = Duration::from_secs(20);

/// How long one that is queued or running is watched in all (guardrails F29).
const WATCHED: Duration = Duration::from_secs(300);

/// The pauses between two readings of the status; the last one repeats.
const PAUSES: [u64; 12] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 8, 15, 30];

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
    /// The newest write covered by a finished activation, and how that ended.
    covered: Mutex<(u64, Option<Activation>)>,
}

impl Activator {
    fn covering(&self, write: u64) -> Option<Activation> {
        let covered = self.covered.lock().unwrap_or_else(PoisonError::into_inner);
        covered.1.clone().filter(|_| covered.0 >= write)
    }

    fn cover(&self, upto: u64, ended: Activation) {
        *self.covered.lock().unwrap_or_else(PoisonError::into_inner) = (upto, Some(ended));
    }
}

impl Lifecycle {
    /// Notices other administrators' staged changes before our first write.
    ///
    /// # Errors
    /// What ZIA answered: then nothing may be sent.
    pub(crate) async fn before_write(&self, details: &mut Details) -> Result<(), Failure> {
        details.foreign = self.others_wait(self.status_at_rest(OTHERS).await?).await?;
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
        let ours = self.possibly_staged().await?;
        Ok(ours.is_empty() || ours.iter().any(|o| Details::of(o).foreign))
    }

    /// Our operations whose write may be staged.
    pub(crate) async fn possibly_staged(&self) -> Result<Vec<Operation>, Failure> {
        let mut ours = self.store.operations(Some(self.tenant()), Which::Unactivated, 1_000).await?;
        let open = self.store.operations(Some(self.tenant()), Which::Open, 1_000).await?;
        let sent = |o: &Operation| matches!(o.state, State::Sending | State::Acked | State::Unknown);
        ours.extend(open.into_iter().filter(sent));
        Ok(ours)
    }

    /// The tenant's status, once no activation is running or the wait is over.
    async fn status_at_rest(&self, wait: Duration) -> Result<ActivationStatus, Failure> {
        let end = tokio::time::Instant::now() + wait;
        loop {
            let status = self.zia.status(self.interactive()).await?;
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

    /// Carries out `activate` itself.
    pub(crate) async fn activate_approved(&self, operation: Operation) -> Result<(), Failure> {
        let details = Details::of(&operation);
        let _turn = self.shared.activator.turn.lock().await;
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
    ) -> Result<(Operation, Activation), Failure> {
        let audit = entry("send.intended", [("write", Write::Activate.as_str().into())]);
        let (sent, permit) =
            self.store.begin_send(&operation, Write::Activate, details.to_value(), audit).await?;
        self.changed(&sent.id);
        let ended = match self.zia.activate(&permit, Deadline::after(WATCHED)).await {
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
        Ok((sent, ended))
    }

    /// Reads the status until it is `ACTIVE` or the time is over.
    async fn watch(&self, limit: Duration) -> Activation {
        let end = tokio::time::Instant::now() + limit;
        let mut last = None;
        for n in 0.. {
            let pause = PAUSES.get(n).or(PAUSES.last()).copied().unwrap_or(30);
            let at = tokio::time::Instant::now() + Duration::from_secs(pause);
            if at > end {
                break;
            }
            tokio::time::sleep_until(at).await;
            last = self.zia.status(Deadline::after(READING)).await.ok().or(last);
            if last == Some(ActivationStatus::Active) {
                return Activation::plain(ActivationState::Active);
            }
        }
        self.not_active(last).await
    }

    /// Says why the tenant does not read `ACTIVE`.
    async fn not_active(&self, last: Option<ActivationStatus>) -> Activation {
        if self.zia.eusa_accepted(Deadline::after(READING)).await.is_ok_and(|accepted| !accepted) {
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

    async fn end_activation(
        &self,
        operation: &Operation,
        mut details: Details,
        ended: Activation,
    ) -> Result<(), Failure> {
        let active = ended.state == ActivationState::Active;
        let watch_on = matches!(ended.state, ActivationState::Queued | ActivationState::Pending);
        details.activation = Some(ended);
        if active {
            // The others first: who reads this one as done may look at them next.
            let others = self.finish_all().await;
            self.step(operation, State::Done, &details, "activation.active").await?;
            return others;
        }
        let waiting = self.step(operation, State::NotActive, &details, "activation.not_active").await?;
        if watch_on {
            self.watch_on(waiting);
        }
        Ok(())
    }

    /// Goes on watching in the background an activation that was sent.
    fn watch_on(&self, operation: Operation) {
        let this = self.clone();
        tokio::spawn(async move {
            if this.watch(WATCHED).await.state != ActivationState::Active {
                return;
            }
            if let Err(error) = this.finish(&operation).await {
                tracing::warn!(operation.id = %operation.id, %error, "an activated operation could not be closed");
            }
        });
    }

    /// Closes what an activation of ours, read back as `ACTIVE`, has published too.
    async fn finish_all(&self) -> Result<(), Failure> {
        for operation in self.store.operations(Some(self.tenant()), Which::Unactivated, 1_000).await? {
            // Others are closed by their own task, which holds or waits for the turn.
            if operation.state == State::NotActive && operation.action != Action::Activate {
                self.finish(&operation).await?;
            }
        }
        Ok(())
    }

    async fn finish(&self, operation: &Operation) -> Result<(), Failure> {
        let mut details = Details::of(operation);
        details.activation = Some(Activation::plain(ActivationState::Active));
        match self.step(operation, State::Done, &details, "activation.active").await {
            // Somebody else closed it meanwhile.
            Err(Failure { code: super::failure::Code::Conflict, .. }) | Ok(_) => Ok(()),
            Err(other) => Err(other),
        }
    }
}

/// How long one reading of the status may take.
const READING: Duration = Duration::from_secs(30);

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
