//! How operations begin, are joined and are waited for.

use std::{future::Future, time::Duration};

use jiff::SignedDuration;
use tokio::time::Instant;

use super::{
    Lifecycle,
    approval::Question,
    audit::entry,
    details::Details,
    failure::{Code, Failure},
    handoff,
    operation::{self, has_lapsed, is_moving, is_watched, may_follow},
    report::Report,
    visit::Visit,
};
use crate::{
    model::{Action, Actor, Digest, Operation, OperationId, State, UserId},
    store::{AuditEntry, NewOperation, Which},
    telemetry::{meter, spans},
};

/// How often an operation that another process may carry out is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What a caller waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Awaited {
    /// The write and its own activation.
    Write,
    /// A person's decision, too.
    Decision,
    /// Whatever may still change by itself.
    Activation,
}

/// An operation as it stands after a call, and the question to a person if one is due.
#[derive(Debug)]
pub struct Begun {
    /// The operation's id.
    pub operation: OperationId,
    /// What to ask the person in the client.
    pub question: Option<Question>,
    /// The page to send them to instead, where the client does not decide.
    pub visit: Option<Visit>,
}

impl Begun {
    pub(crate) fn plain(operation: &Operation) -> Self {
        Self { operation: operation.id.clone(), question: None, visit: None }
    }
}

impl Lifecycle {
    /// The answer of the tool that began an operation, as it stands now.
    ///
    /// # Errors
    /// The failure that stopped it, or `STORE_UNAVAILABLE`.
    pub async fn report(&self, id: &OperationId) -> Result<Report, Failure> {
        if let Some(paused) = self.shared.paused.of(id) {
            return Err(paused);
        }
        let operation = self.load(id).await?;
        self.report_on(&operation, self.is_running(&operation)).await
    }

    async fn report_on(&self, operation: &Operation, running: bool) -> Result<Report, Failure> {
        let mut report = operation::report(operation, self.clock.now(), running)?;
        if let Some(how) = &mut report.how_to_approve {
            how.page = self.console_page(&operation.id);
        }
        if matches!(operation.state, State::Verified | State::Activating)
            && let Some(at) = self.next_activation().await
        {
            report.activation.detail = Some(format!(
                "applied and verified; ZIA takes no more activations until {at:.0}: it is activated then, by itself"
            ));
        }
        handoff::tell(&mut report, operation, &self.store, || self.password_page(&operation.id)).await?;
        Ok(report)
    }

    /// Waits until an operation no longer moves, or for some time, then reports it.
    ///
    /// Giving up waiting abandons nothing.
    ///
    /// # Errors
    /// The failure that stopped it, or `STORE_UNAVAILABLE`.
    pub async fn wait(&self, id: &OperationId, most: Duration) -> Result<Report, Failure> {
        self.wait_for(id, most, Awaited::Write).await
    }

    /// The same, waiting for a person's decision, too.
    ///
    /// # Errors
    /// As [`Lifecycle::wait`].
    pub async fn follow(&self, id: &OperationId, most: Duration) -> Result<Report, Failure> {
        self.wait_for(id, most, Awaited::Decision).await
    }

    /// The same, waiting for an activation that is watched on in the background, too.
    ///
    /// # Errors
    /// As [`Lifecycle::wait`].
    pub(crate) async fn follow_to_the_end(
        &self,
        id: &OperationId,
        most: Duration,
    ) -> Result<Report, Failure> {
        self.wait_for(id, most, Awaited::Activation).await
    }

    async fn wait_for(&self, id: &OperationId, most: Duration, awaited: Awaited) -> Result<Report, Failure> {
        let until = Instant::now() + most;
        let mut changes = self.shared.changes.subscribe();
        loop {
            if let Some(paused) = self.shared.paused.of(id) {
                return Err(paused);
            }
            let operation = self.load(id).await?;
            let running = self.is_running(&operation);
            // Its task has ended and could not even record that.
            let stuck = operation.state == State::Approved && self.is_own(&operation) && !self.runs_here(id);
            // Read again: it may have ended between the two looks.
            if stuck && self.load(id).await?.state == State::Approved {
                return Err(stopped().of(id));
            }
            // An unknown outcome that this process is reading ZIA for may yet be settled.
            let moving = is_moving(operation.state) || (operation.state == State::Unknown && running);
            let waits = match operation.state {
                State::Awaiting => awaited >= Awaited::Decision,
                State::NotActive => {
                    awaited == Awaited::Activation && is_watched(&operation, self.clock.now())
                }
                _ => false,
            };
            if !(moving || waits) || Instant::now() >= until || self.shared.leaving.is_cancelled() {
                return self.report_on(&operation, running).await;
            }
            let look = tokio::time::sleep(LOOK_AGAIN);
            tokio::select! {
                _ = changes.recv() => {}
                () = look => {}
                () = tokio::time::sleep_until(until) => {}
                () = self.shared.leaving.cancelled() => {}
            }
        }
    }

    /// Has whoever waits for an operation answered as it is now: the process ends soon.
    pub fn stop_waiting(&self) {
        self.shared.leaving.cancel();
    }

    /// Returns once nobody is to wait any more.
    pub async fn leaving(&self) {
        self.shared.leaving.cancelled().await;
    }

    /// Runs a use case to its end even if the caller stops waiting; a panic in it is an error of
    /// this one call.
    pub(crate) async fn detached<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        tokio::spawn(spans::carried(Box::pin(work))).await.unwrap_or_else(|_| Err(internal()))
    }

    pub(crate) async fn load(&self, id: &OperationId) -> Result<Operation, Failure> {
        self.load_if(id, |_| true).await
    }

    /// The same, unless it is one that its reader has no business with: then nothing is done to it.
    pub(crate) async fn load_if(
        &self,
        id: &OperationId,
        shows: impl Fn(&Operation) -> bool,
    ) -> Result<Operation, Failure> {
        let found = self.store.operation(id).await?.filter(|o| o.tenant == self.tenant() && shows(o));
        self.unless_lapsed(found.ok_or_else(no_such_operation)?).await
    }

    /// An operation as it is now, which is expired if nobody decided it in time.
    pub(crate) async fn unless_lapsed(&self, operation: Operation) -> Result<Operation, Failure> {
        if has_lapsed(&operation, self.clock.now()) { self.expire(operation).await } else { Ok(operation) }
    }

    async fn expire(&self, operation: Operation) -> Result<Operation, Failure> {
        let mut details = Details::of(&operation);
        details.note("nobody approved in time; nothing was sent");
        match self.step(&operation, State::Expired, &details, "operation.expired").await {
            Err(Failure { code: Code::Conflict, .. }) => {
                self.store.operation(&operation.id).await?.ok_or_else(no_such_operation)
            }
            other => other,
        }
    }

    /// Moves an operation a step on, if the state machine allows it.
    pub(crate) async fn step(
        &self,
        from: &Operation,
        to: State,
        details: &Details,
        event: &'static str,
    ) -> Result<Operation, Failure> {
        self.step_with(from, to, details, entry(event, [])).await
    }

    /// The same, with more on record.
    pub(crate) async fn step_with(
        &self,
        from: &Operation,
        to: State,
        details: &Details,
        audit: AuditEntry,
    ) -> Result<Operation, Failure> {
        if !may_follow(from.state, to) {
            tracing::error!(operation.id = %from.id, from = from.state.as_str(), to = to.as_str(), "step refused");
            return Err(internal());
        }
        let audit = audit.with("from", from.state.as_str()).with("to", to.as_str());
        let moved = self.store.advance(from, to, details.to_value(), audit).await?;
        self.changed(&moved.id);
        self.count_end(&moved, details);
        Ok(moved)
    }

    /// Counts an operation that has just ended.
    pub(crate) fn count_end(&self, moved: &Operation, details: &Details) {
        if !moved.state.is_ended() {
            return;
        }
        meter::operation_ended(moved.action.as_str(), moved.state.as_str());
        if let (State::Done, Some(verified)) = (moved.state, details.verified_at) {
            meter::activated_after(self.since(verified));
        }
    }

    pub(crate) fn changed(&self, id: &OperationId) {
        // Nobody listening is fine.
        let _ = self.shared.changes.send(id.clone());
    }

    /// Records a new operation.
    pub(crate) async fn create(
        &self,
        actor: &Actor,
        action: Action,
        state: State,
        arguments: Digest,
        subject: Option<UserId>,
        details: &Details,
    ) -> Result<Operation, Failure> {
        self.create_whatever(actor, action, state, arguments, (subject, Vec::new()), details).await
    }

    /// Records a new operation on several users.
    pub(crate) async fn create_about(
        &self,
        actor: &Actor,
        action: Action,
        state: State,
        arguments: Digest,
        users: Vec<(UserId, String)>,
        details: &Details,
    ) -> Result<Operation, Failure> {
        self.create_whatever(actor, action, state, arguments, (None, users), details).await
    }

    async fn create_whatever(
        &self,
        actor: &Actor,
        action: Action,
        state: State,
        arguments: Digest,
        (subject, users): (Option<UserId>, Vec<(UserId, String)>),
        details: &Details,
    ) -> Result<Operation, Failure> {
        let expires =
            SignedDuration::try_from(self.settings.expires).unwrap_or(SignedDuration::from_mins(15));
        let new = NewOperation {
            tenant: self.tenant().to_owned(),
            action,
            actor: actor.clone(),
            state,
            // A draft is its process's until it is captured.
            own: state == State::Approved || action.deletes(),
            // Another process on the store may have begun the same at this moment.
            alone: !state.is_ended(),
            arguments,
            subject,
            users: users.clone(),
            expires_at: self.clock.now() + expires,
            details: details.to_value(),
        };
        let subject = match subject {
            Some(id) => id.get().into(),
            None if users.is_empty() => serde_json::Value::Null,
            None => users.iter().map(|(id, _)| id.get()).collect(),
        };
        let audit = entry(
            "operation.created",
            [("tool", action.as_str().into()), ("state", state.as_str().into()), ("user_id", subject)],
        );
        let created = self.store.create_operation(new, audit).await?;
        self.changed(&created.id);
        self.count_end(&created, details);
        Ok(created)
    }

    /// The caller's open operation with the same arguments.
    pub(crate) async fn joinable(
        &self,
        actor: &Actor,
        action: Action,
        arguments: &Digest,
    ) -> Result<Option<Operation>, Failure> {
        let found = self.store.joinable(self.tenant(), &actor.caller, action, arguments).await?;
        let Some(operation) = found else { return Ok(None) };
        let live = self.load(&operation.id).await?;
        let is_open = |s: State| matches!(s, State::Awaiting | State::Unknown) || is_moving(s);
        Ok(Some(live).filter(|o| o.actor.is(actor) && is_open(o.state)))
    }

    /// The same operation that another process has begun meanwhile, where that is why this one failed.
    ///
    /// # Errors
    /// The failure, where there is none; what the store answered.
    pub(crate) async fn or_joined(
        &self,
        actor: &Actor,
        action: Action,
        arguments: &Digest,
        created: Result<Operation, Failure>,
    ) -> Result<Operation, Failure> {
        match created {
            Err(failure) if failure.code == Code::Conflict => {
                match self.joinable(actor, action, arguments).await? {
                    Some(open) if !self.discarded_draft(&open).await? => Ok(open),
                    _ => Err(failure),
                }
            }
            other => other,
        }
    }

    /// Refuses a caller who already has the most operations waiting.
    pub(crate) async fn check_open(&self, actor: &Actor) -> Result<(), Failure> {
        let most = self.settings.policy.max_open;
        if self.store.count_awaiting(self.tenant(), &actor.caller).await? < most {
            return Ok(());
        }
        let open = self.store.operations(Some(self.tenant()), Which::Open, 100).await?;
        let waiting = open.iter().filter(|o| o.state == State::Awaiting && o.actor.is(actor));
        let failure = Failure::new(
            Code::RateLimited,
            format!("{most} operations of this caller wait for a person already"),
            "have them decided, or call again once one has expired",
        );
        Err(waiting.map(|o| o.expires_at).min().into_iter().fold(failure, Failure::retry_at))
    }
}

/// The store takes nothing any more, after the approval and before the send.
fn stopped() -> Failure {
    Failure::new(
        Code::StoreUnavailable,
        "the operation could not be recorded any further; nothing was sent",
        "run `zia-mcp doctor`, free the store, then ask again",
    )
}

pub(crate) fn no_such_operation() -> Failure {
    Failure::new(Code::NotFound, "there is no such operation", "list your open operations with tenant_status")
        .at("operation_id")
}

pub(crate) fn internal() -> Failure {
    Failure::new(
        Code::StoreUnavailable,
        "the server met a fault of its own",
        "see the server's log; read the operation",
    )
}
