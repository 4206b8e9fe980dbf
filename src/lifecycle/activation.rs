//! Publishing staged changes: once for all writes that wait together.

mod gather;
mod wave;
mod window;

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use super::{
    Lifecycle,
    details::Details,
    executor::{FAILED, refusal_event},
    failure::{Code, Failure},
    report::{Activation, ActivationState},
};
use crate::{
    model::{Operation, OperationId, State},
    store::{Wave, Which},
    zia::ActivationStatus,
};

/// How long an activation is watched before the caller is told that it is not live yet.
const PROMPT: Duration = Duration::from_secs(20);

/// How long an activation waits for its turn and for ZIA's edit lock.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long a running activation of somebody else is waited for before our first write.
const OTHERS: Duration = Duration::from_secs(10);

/// How long `activate` waits for a running one, on top of what its caller waited.
const RUNNING: Duration = Duration::from_secs(60);

/// How often a process says that it is still at its wave.
const HOLD_AGAIN: Duration = Duration::from_secs(30);

/// Lets one activation go at a time, and no write while it is on its way.
#[derive(Debug, Default)]
pub(crate) struct Activator {
    /// One wave at a time in this process; who waits here may find itself covered.
    turn: tokio::sync::Mutex<()>,
    /// Shared by writes; an activation holds it alone until the tenant read `ACTIVE`, since a write
    /// meanwhile would hide that it came through.
    pub(crate) gate: tokio::sync::RwLock<()>,
    /// Calls that will soon have something to write.
    starting: AtomicUsize,
    /// Those who want what waits to be activated now.
    hurrying: AtomicUsize,
    /// Whether activations that were sent are watched in the background.
    pub(crate) watching: AtomicBool,
}

/// How an activation ended, and the operation that sent it.
#[derive(Clone, Debug)]
struct Ended {
    activation: Activation,
    by: OperationId,
}

/// Counts something as going on, until it is dropped.
pub(crate) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Activator {
    /// Counts a call that will write without asking a person first.
    pub(crate) fn starting(&self) -> Counted<'_> {
        Counted::new(&self.starting)
    }

    /// Has what waits activated without waiting for more.
    pub(crate) fn hurrying(&self) -> Counted<'_> {
        Counted::new(&self.hurrying)
    }
}

impl Lifecycle {
    /// Notices other administrators' staged changes before our first write.
    ///
    /// While something of ours may be staged, the status tells nothing of others, and is not read.
    ///
    /// # Errors
    /// What ZIA answered: then nothing may be sent.
    pub(crate) async fn before_write(&self, details: &mut Details) -> Result<(), Failure> {
        self.wait_for_anothers_activation().await?;
        // Listed first: a write of ours that is published meanwhile would look like nobody's.
        let ours = self.possibly_staged().await?;
        details.foreign = if ours.is_empty() {
            let status = self.status_at_rest(OTHERS).await?;
            self.others_wait(status).await?
        } else {
            ours.iter().any(is_foreign) && are_others(self.status_at_rest(OTHERS).await?, &ours)
        };
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
    pub(super) async fn status_at_rest(&self, wait: Duration) -> Result<ActivationStatus, Failure> {
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
    ///
    /// It ends as soon as the operation is closed, by this process's activation or another's.
    pub(crate) async fn activate_after(&self, verified: Operation) -> Result<(), Failure> {
        let mut details = Details::of(&verified);
        if details.foreign {
            let held = "not activated: other administrators' staged changes would go live with it; `activate` asks a person first";
            details.activation = Some(Activation::with(ActivationState::Pending, held));
            return self.step(&verified, State::NotActive, &details, "activation.held").await.map(drop);
        }
        let _turn = self.shared.activator.turn.lock().await;
        let Some((wave, operation)) = self.open_wave(&verified).await? else { return Ok(()) };
        let result = self.gather_and_activate(&wave, operation).await;
        self.end_wave(&wave).await;
        result
    }

    /// Waits for an activation that this process has on its way; tells whether there was one.
    pub(crate) async fn own_activation_ends(&self, most: Duration) -> bool {
        let Err(_) = self.shared.activator.turn.try_lock() else { return false };
        let _hurry = self.shared.activator.hurrying();
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
        let (_turn, waited) = match self.shared.activator.turn.try_lock() {
            Ok(turn) => (turn, false),
            Err(_) => {
                let _hurry = self.shared.activator.hurrying();
                (self.shared.activator.turn.lock().await, true)
            }
        };
        let Some((wave, operation)) = self.open_wave(&operation).await? else { return Ok(()) };
        let result = self.activate_by_itself(&wave, operation, waited).await;
        self.end_wave(&wave).await;
        result
    }

    /// Waits for the activation that runs (guardrails B28): one is not sent beside another.
    async fn running_ends(&self) -> Result<(), Failure> {
        match self.join_running(RUNNING).await? {
            ActivationStatus::Active => Ok(()),
            ActivationStatus::InProgress => Err(not_after_running(
                "an activation is running in ZIA and does not end",
                "the server watches what it sent; call again later, or look at the activation in the ZIA portal",
            )),
            status if self.others_wait(status).await? => Err(not_after_running(
                "the activation that ran is over, and changes of other administrators wait",
                "call again: a person decides on those",
            )),
            ActivationStatus::Pending => Ok(()),
        }
    }

    async fn activate_by_itself(
        &self,
        wave: &Wave,
        operation: Operation,
        waited: bool,
    ) -> Result<(), Failure> {
        let mut details = Details::of(&operation);
        let unsent = operation.state == State::Approved;
        if let Err(failure) = self.check_standing(&operation, &details).await {
            if unsent {
                let event = refusal_event(&failure, FAILED);
                return self.fail_as(&operation, details, failure, event).await.map(drop);
            }
            // An earlier send may have published what waited: that is read, and nothing is repeated (K11).
            details.note(format!("not activated again: {}", failure.message));
            let activation = self.watch(PROMPT).await;
            let ended = Ended { activation, by: operation.id.clone() };
            let operation = Operation { details: details.to_value(), ..operation };
            return self.close_by(&ended, vec![operation]).await;
        }
        let joins = unsent && details.running;
        if joins && let Err(failure) = self.held(wave, None, self.running_ends()).await {
            return self.fail_as(&operation, details, failure, FAILED).await.map(drop);
        }
        if (waited || joins) && unsent && !details.foreign && self.possibly_staged().await?.is_empty() {
            details.activation = Some(Activation::plain(ActivationState::NotNeeded));
            details.note("the activation that ran already has published what waited; nothing was sent");
            return self.step(&operation, State::AlreadyDone, &details, "activation.covered").await.map(drop);
        }
        self.activate_in(wave, operation).await
    }
}

/// Why an `activate` sends nothing after it waited for the activation that ran.
fn not_after_running(message: &str, next: &str) -> Failure {
    Failure::new(Code::Conflict, format!("{message}; nothing was sent"), next)
}

fn is_foreign(operation: &Operation) -> bool {
    Details::of(operation).foreign
}

/// Whether a status tells of changes that are not ours, given what we may have staged.
fn are_others(status: ActivationStatus, ours: &[Operation]) -> bool {
    status == ActivationStatus::Pending && (ours.is_empty() || ours.iter().any(is_foreign))
}
