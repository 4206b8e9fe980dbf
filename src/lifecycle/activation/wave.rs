//! One activation: recorded with what it covers, sent, watched, and told to all that it covers.

use std::{future::pending, time::Duration};

use tokio::{sync::RwLockWriteGuard, time::sleep};

use super::{Ended, HOLD_AGAIN, OTHERS, PATIENCE, PROMPT};
use crate::{
    lifecycle::{
        Lifecycle,
        audit::entry,
        begin::internal,
        details::Details,
        failure::{Code, Failure},
        operation::may_follow,
        report::{Activation, ActivationState},
    },
    model::{Operation, OperationId, State},
    store::{MAX_SENDS, Permit, SendOutcome, SentWave, StoreError, Wave, Which},
    zia::{self, Deadline, Kind, Landed},
};

/// How long `PENDING` is read after an activation whose answer was lost, before it is sent again.
const LOST: Duration = Duration::from_secs(4);

/// Operations that are closed in one transaction.
const BATCH: usize = 50;

/// What became of an activation.
enum Answer {
    /// It ended so.
    Ended(Activation),
    /// It did not leave, for its limit: it is the next one's turn once the limit allows it.
    Limited(zia::Error),
    /// Its answer was lost, and the tenant goes on reading `PENDING`.
    Lost,
}

impl Lifecycle {
    /// Waits for company, and activates for all.
    pub(super) async fn gather_and_activate(&self, wave: &Wave, operation: Operation) -> Result<(), Failure> {
        self.gather(wave).await?;
        self.activate_in(wave, operation).await
    }

    /// Activates in the name of an operation, and tells all that it covers how that ended.
    pub(super) async fn activate_in(&self, wave: &Wave, mut operation: Operation) -> Result<(), Failure> {
        for attempt in 1..=MAX_SENDS {
            let details = Details::of(&operation);
            let gate = self.close_gate(wave).await?;
            let audit = entry("send.intended", []);
            let begun = self.store.begin_wave(wave, &operation, details.to_value(), audit).await;
            let by = operation.id.clone();
            let SentWave { operation: sent, permit, covered } = match begun {
                Err(StoreError::SendsExhausted) => {
                    let often = "activated as often as one operation may, and not confirmed; call `activate`";
                    let ended = Ended { activation: Activation::with(ActivationState::Failed, often), by };
                    return self.close_by(&ended, vec![operation]).await;
                }
                other => other?,
            };
            self.changed(&sent.id);
            let answer = self.held(wave, gate, self.send_and_watch(permit)).await?;
            let last = attempt == MAX_SENDS;
            match answer {
                // Sent again: an activation can be repeated (K11).
                Answer::Limited(_) | Answer::Lost if !last => {}
                Answer::Limited(error) => return self.tell(refused(error), by, sent, covered).await,
                Answer::Lost => return self.tell(lost(), by, sent, covered).await,
                Answer::Ended(activation) => {
                    if last || !self.is_hidden(&activation, &sent.id, &covered).await? {
                        return self.tell(activation, by, sent, covered).await;
                    }
                }
            }
            // What waits goes with the next one, which covers all of it.
            operation = sent;
            self.store.hold_wave(wave, false).await?;
            self.gather(wave).await?;
        }
        Ok(())
    }

    /// Does some work while no write begins, for a while; this process is at the wave all the time.
    pub(super) async fn held<T>(
        &self,
        wave: &Wave,
        gate: Option<RwLockWriteGuard<'_, ()>>,
        work: impl Future<Output = T>,
    ) -> T {
        let holding = async {
            sleep(OTHERS).await;
            drop(gate);
            loop {
                if let Err(error) = self.store.hold_wave(wave, false).await {
                    tracing::warn!(%error, "this process could not say that it still activates");
                }
                sleep(HOLD_AGAIN).await;
            }
        };
        tokio::select! {
            biased;
            done = work => done,
            () = holding => pending().await,
        }
    }

    /// Sends one activation and watches it.
    async fn send_and_watch(&self, permit: Permit) -> Result<Answer, Failure> {
        match self.zia.activate(&permit, Deadline::after(PATIENCE)).await {
            Ok(_) => {
                self.end_send(permit, SendOutcome::Done, None).await?;
                Ok(Answer::Ended(self.watch(PROMPT).await))
            }
            Err(error) => {
                let not_done = error.landed == Landed::No;
                let outcome = match not_done {
                    true if error.attempts == 0 => SendOutcome::NotSent,
                    true => SendOutcome::Refused,
                    false => SendOutcome::Unknown,
                };
                self.end_send(permit, outcome, error.code.as_deref()).await?;
                Ok(match (not_done, &error.kind) {
                    (true, Kind::RateLimited { .. }) => Answer::Limited(error),
                    (true, _) => Answer::Ended(refused(error)),
                    (false, Kind::Server) => Answer::Ended(unless_refused(self.watch(PROMPT).await, error)),
                    (false, _) => self.watch_lost().await,
                })
            }
        }
    }

    /// What became of an activation whose answer was lost.
    async fn watch_lost(&self) -> Answer {
        let soon = self.watch(LOST).await;
        match soon.state {
            ActivationState::Queued => Answer::Lost,
            // Still running, or not to be read.
            ActivationState::Pending => match self.watch(PROMPT).await {
                Activation { state: ActivationState::Queued, .. } => Answer::Lost,
                watched => Answer::Ended(watched),
            },
            _ => Answer::Ended(soon),
        }
    }

    /// Whether newer writes of ours are staged, so that the tenant cannot read `ACTIVE` for this one.
    async fn is_hidden(
        &self,
        activation: &Activation,
        sender: &OperationId,
        covered: &[Operation],
    ) -> Result<bool, Failure> {
        if !matches!(activation.state, ActivationState::Queued | ActivationState::Pending) {
            return Ok(false);
        }
        if !self.writes_under_way().await?.is_empty() {
            return Ok(true);
        }
        let waiting = self.store.operations(Some(self.tenant()), Which::Unactivated, 1_000).await?;
        let known = |o: &Operation| o.id == *sender || covered.iter().any(|c| c.id == o.id);
        Ok(waiting.iter().any(|o| o.state == State::Verified && !known(o)))
    }

    /// Tells an activation's end to all that it covers, and to the one that sent it.
    async fn tell(
        &self,
        activation: Activation,
        by: OperationId,
        sent: Operation,
        covered: Vec<Operation>,
    ) -> Result<(), Failure> {
        let ended = Ended { activation, by };
        // The others first: who reads this one as done may look at them next.
        let others = self.close_by(&ended, covered).await;
        self.close_by(&ended, vec![sent]).await?;
        if ended.activation.state != ActivationState::Active {
            self.watch_on();
        }
        others
    }

    /// Closes operations by an activation's end, but for those that somebody else moved on meanwhile.
    pub(super) async fn close_by(&self, ended: &Ended, operations: Vec<Operation>) -> Result<(), Failure> {
        let steps: Result<Vec<_>, _> = operations.into_iter().filter_map(|o| step_of(ended, o)).collect();
        let mut steps = steps?;
        while !steps.is_empty() {
            let rest = steps.split_off(steps.len().min(BATCH));
            for moved in self.store.advance_all(steps).await? {
                self.changed(&moved.id);
                self.count_end(&moved, &Details::of(&moved));
            }
            steps = rest;
        }
        Ok(())
    }

    /// Closes an operation whose write an activation of ours has published.
    pub(crate) async fn finish(&self, operation: &Operation, by: &OperationId) -> Result<(), Failure> {
        let activation = Activation::plain(ActivationState::Active);
        self.close_by(&Ended { activation, by: by.clone() }, vec![operation.clone()]).await
    }
}

type Step = (Operation, State, serde_json::Value, crate::store::AuditEntry);

/// The step that an activation's end is for an operation; none where it says nothing new.
fn step_of(ended: &Ended, operation: Operation) -> Option<Result<Step, Failure>> {
    let state = ended.activation.state;
    let (sent, active) = (state != ActivationState::Failed, state == ActivationState::Active);
    if operation.state == State::NotActive && !sent {
        return None;
    }
    let (to, event) = match active {
        true => (State::Done, "activation.active"),
        false => (State::NotActive, "activation.not_active"),
    };
    if !may_follow(operation.state, to) {
        return Some(Err(internal()));
    }
    let mut details = Details::of(&operation);
    details.activation = Some(ended.activation.clone());
    details.activated_by = sent.then(|| ended.by.clone());
    let fields = [
        ("activation_of", ended.by.as_str().into()),
        ("from", operation.state.as_str().into()),
        ("to", to.as_str().into()),
    ];
    Some(Ok((operation, to, details.to_value(), entry(event, fields))))
}

/// An error of ZIA's own that published nothing is a failure, not a place in a queue (guardrails F28).
fn unless_refused(watched: Activation, error: zia::Error) -> Activation {
    if watched.state == ActivationState::Queued { refused(error) } else { watched }
}

/// Nobody knows whether ZIA heard of an activation, however often it was sent.
fn lost() -> Activation {
    Activation::with(
        ActivationState::Pending,
        "ZIA's answers to the activation were lost and it still reads PENDING: whether it took one is not known; the \
         server goes on watching, `activate` sends another",
    )
}

fn refused(error: zia::Error) -> Activation {
    let code = error.code.clone().map(|c| format!("{c}: ")).unwrap_or_default();
    let failure = Failure::from(error);
    let next = match failure.code {
        Code::RateLimited => "wait until then",
        _ => failure.next.as_str(),
    };
    let detail = format!("{code}{}; the change stays staged. {next}; then call `activate`", failure.message);
    Activation::with(ActivationState::Failed, detail)
}
