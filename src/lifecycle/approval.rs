//! Questions to a person, and what their answers do.

use std::time::Duration;

use serde_json::json;

use super::{
    Lifecycle,
    audit::entry,
    begin::Begun,
    bulk::{approved_users, is_ready},
    details::Details,
    executor::EXECUTION,
    failure::{Code, Failure},
    policy::Tier,
    report::{Approval, Subject},
    statement::{PUBLISH, Statement, statement},
};
use crate::{
    model::{Action, Actor, Digest, Operation, OperationId, State, shown},
    store,
};

const MISTYPED: &str = "the text that was typed did not match; nothing was sent";
const CLOSED: &str = "the form was closed without an answer; nothing was sent";
const SILENT: &str = "nobody answered in the client; nothing was sent";

/// Notes on answers that decided nothing; they say nothing of an operation that was approved later.
const NOT_GIVEN: [&str; 3] = [MISTYPED, CLOSED, SILENT];

/// A question for the person at the client.
#[derive(Clone, Debug)]
pub struct Question {
    /// The operation it decides.
    pub operation: OperationId,
    /// What will happen, made from the stored operation alone.
    pub message: String,
    /// What the one field asks for.
    pub hint: String,
    /// How long the person has.
    pub ask: Duration,
}

/// What came back from the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The person sent the form with this text.
    Accepted(String),
    /// The person said no.
    Declined,
    /// The form was closed, or could not be read.
    Cancelled,
    /// Nobody answered in time.
    Silent,
}

impl Lifecycle {
    /// Takes the answer to a question; an approval starts the operation.
    ///
    /// Only an accepted form with the right text approves. Whatever else comes leaves the operation
    /// waiting, but for a plain no.
    ///
    /// # Errors
    /// `NOT_FOUND` for another caller's operation, `CONFLICT` if it is decided already.
    pub async fn answer(&self, actor: Actor, id: OperationId, answer: Answer) -> Result<(), Failure> {
        let this = self.clone();
        self.detached(async move { this.answer_now(&actor, &id, answer).await }).await
    }

    async fn answer_now(&self, actor: &Actor, id: &OperationId, answer: Answer) -> Result<(), Failure> {
        let operation = self.owned(actor, id).await?;
        if operation.state != State::Awaiting {
            return Ok(());
        }
        if self.tier_of(&operation, actor) > Tier::Client {
            return Err(Failure::new(
                Code::Forbidden,
                "this operation is not decided in the client",
                format!("a person decides with `{}`", super::operation::how_to_approve(&operation).cli),
            ));
        }
        let mut details = Details::of(&operation);
        if !is_ready(&operation, &details) {
            let message = "the user is being captured; nothing was decided";
            return Err(Failure::new(Code::Conflict, message, "call again in a moment"));
        }
        match answer {
            Answer::Accepted(text) if self.is_confirmed(&operation, &details, &text) => {
                self.approve(actor, operation, details).await
            }
            Answer::Declined => {
                details.notes.clear();
                details.note("the person declined; nothing was sent");
                self.step(&operation, State::Declined, &details, "approval.declined").await.map(drop)
            }
            Answer::Accepted(_) => self.still_waiting(&operation, details, MISTYPED).await,
            Answer::Cancelled => self.still_waiting(&operation, details, CLOSED).await,
            Answer::Silent => self.still_waiting(&operation, details, SILENT).await,
        }
    }

    async fn still_waiting(
        &self,
        operation: &Operation,
        mut details: Details,
        note: &str,
    ) -> Result<(), Failure> {
        details.note(note);
        self.step(operation, State::Awaiting, &details, "approval.not_given").await.map(drop)
    }

    /// The person approves in the client: recorded, then carried out.
    async fn approve(
        &self,
        actor: &Actor,
        operation: Operation,
        mut details: Details,
    ) -> Result<(), Failure> {
        let by = format!("the person at {}", shown(&actor.client));
        let given = Approval { by: by.clone(), channel: "client".into(), at: self.clock.now() };
        details.approval = Some(given);
        forget_answers(&mut details);
        let digest = approved_digest(&operation, &details);
        let audit = entry(
            "approval.given",
            [
                ("channel", "client".into()),
                ("digest", digest.to_string().into()),
                ("approvers", vec![self.store.approver_digest(&by)].into()),
            ],
        );
        let approval = store::Approval { by, channel: "client".into(), digest };
        let approved = self.store.approve(&operation, approval, details.to_value(), true, audit).await?;
        self.changed(&approved.id);
        self.carry_out(approved);
        Ok(())
    }

    /// An operation of this caller; another's is as unknown as none.
    pub(crate) async fn owned(&self, actor: &Actor, id: &OperationId) -> Result<Operation, Failure> {
        self.load_if(id, |o| actor.is(&o.actor)).await
    }

    /// An operation that this caller may see; any other is as unknown as none (guardrails T15).
    pub(crate) async fn visible(&self, actor: &Actor, id: &OperationId) -> Result<Operation, Failure> {
        self.load_if(id, |o| actor.may_see(&o.actor)).await
    }

    /// Whether an operation of this caller still waits for a decision, with its question.
    ///
    /// # Errors
    /// `NOT_FOUND` for another caller's operation.
    pub async fn question(&self, actor: &Actor, id: &OperationId) -> Result<Option<Question>, Failure> {
        let operation = self.owned(actor, id).await?;
        Ok((operation.state == State::Awaiting).then(|| self.question_on(&operation)))
    }

    /// An operation as its tool leaves it: with a question, if a person can decide in the client, and
    /// with the page on which to decide otherwise, if there is one.
    pub(crate) fn asking(&self, actor: &Actor, operation: &Operation) -> Begun {
        let ready = operation.state == State::Awaiting && is_ready(operation, &Details::of(operation));
        let asks = ready && self.tier_of(operation, actor) <= Tier::Client;
        let question = asks.then(|| self.question_on(operation));
        Begun { operation: operation.id.clone(), question, visit: self.visit_to(actor, operation) }
    }

    /// Where an operation of this caller begins; the proof that it needs goes on record with it.
    ///
    /// Whoever decides or carries it out with other settings asks for no less.
    pub(crate) fn first_state(&self, action: Action, actor: &Actor, details: &mut Details) -> State {
        details.least = self.settings.policy.tier(action, actor.channel, details.least);
        if details.least == Tier::None { State::Approved } else { State::Awaiting }
    }

    /// The proof that an operation needs: what its own channel asks for, and the answer's.
    pub(super) fn tier_of(&self, operation: &Operation, actor: &Actor) -> Tier {
        let least = Details::of(operation).least;
        let over = |channel| self.settings.policy.tier(operation.action, channel, least);
        over(operation.actor.channel).max(over(actor.channel))
    }

    fn question_on(&self, operation: &Operation) -> Question {
        let Statement { mut lines, expected, .. } = statement(operation, self.zia.cloud());
        lines.push(format!(
            "To go ahead, type {expected}. What is approved is carried out within {} minutes, or not at all.",
            EXECUTION.as_mins()
        ));
        let cli = super::operation::how_to_approve(operation).cli;
        let page = self.console_page(&operation.id).map(|url| format!(", or open {url}")).unwrap_or_default();
        lines.push(format!("Operation {}; instead of this form a person can run: {cli}{page}", operation.id));
        Question {
            operation: operation.id.clone(),
            message: lines.join("\n"),
            hint: format!("Type {expected} to confirm"),
            ask: self.settings.ask,
        }
    }

    /// Uses up the nonce of a sealed question.
    ///
    /// # Errors
    /// `CONFLICT` if it was used before.
    pub async fn use_up(&self, nonce: &str) -> Result<(), Failure> {
        let until =
            self.clock.now() + jiff::SignedDuration::try_from(self.settings.expires).unwrap_or_default();
        if self.store.burn_nonce(nonce, until).await? {
            return Ok(());
        }
        Err(Failure::new(
            Code::Conflict,
            "this answer was used already",
            "read the operation with get_operation",
        ))
    }

    fn is_confirmed(&self, operation: &Operation, details: &Details, typed: &str) -> bool {
        let typed = typed.trim().to_lowercase();
        match (operation.action, &details.user) {
            (Action::Activate, _) => typed == PUBLISH,
            (_, Some(Subject::User(user))) => !user.email.is_empty() && typed == user.email.to_lowercase(),
            (_, Some(Subject::Draft(draft))) => typed == draft.email.to_lowercase(),
            _ => false,
        }
    }
}

/// Forgets the notes on answers that decided nothing.
pub(super) fn forget_answers(details: &mut Details) {
    details.notes.retain(|n| !NOT_GIVEN.contains(&n.as_str()));
}

/// What exactly was approved: the action, the user, the user's fields and the caller's arguments.
pub(crate) fn approved_digest(operation: &Operation, details: &Details) -> Digest {
    Digest::of_json(&json!({
        "operation": operation.id, "action": operation.action, "subject": operation.subject,
        "arguments": operation.arguments.to_string(), "object": details.object,
        "user": details.user, "replacement": details.replacement, "users": approved_users(details),
    }))
}
