//! Questions to a person, and what their answers do.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Lifecycle,
    audit::entry,
    begin::Begun,
    bulk::approved_users,
    deprovision::quoted_reason,
    details::Details,
    executor::EXECUTION,
    failure::{Code, Failure},
    policy::Tier,
    report::{Approval, Change, Subject},
};
use crate::{
    model::{Action, Actor, Digest, Named, Operation, OperationId, State, shown},
    store,
};

/// What a person types to publish other administrators' changes.
pub(crate) const PUBLISH: &str = "activate";

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
        details.notes.retain(|n| !NOT_GIVEN.contains(&n.as_str()));
        let digest = approved_digest(&operation, &details);
        let approval = store::Approval { by, channel: "client".into(), digest };
        let audit =
            entry("approval.given", [("channel", "client".into()), ("digest", digest.to_string().into())]);
        let approved = self.store.approve(&operation, approval, details.to_value(), true, audit).await?;
        self.changed(&approved.id);
        self.carry_out(approved);
        Ok(())
    }

    /// An operation of this caller; another's is as unknown as none.
    pub(crate) async fn owned(&self, actor: &Actor, id: &OperationId) -> Result<Operation, Failure> {
        let operation = self.load(id).await?;
        if operation.actor.caller == actor.caller {
            Ok(operation)
        } else {
            Err(super::begin::no_such_operation())
        }
    }

    /// Whether an operation of this caller still waits for a decision, with its question.
    ///
    /// # Errors
    /// `NOT_FOUND` for another caller's operation.
    pub async fn question(&self, actor: &Actor, id: &OperationId) -> Result<Option<Question>, Failure> {
        let operation = self.owned(actor, id).await?;
        Ok((operation.state == State::Awaiting).then(|| self.question_on(&operation)))
    }

    /// An operation as its tool leaves it: with a question, if a person can decide in the client.
    pub(crate) fn asking(&self, actor: &Actor, operation: &Operation) -> Begun {
        let asks = self.tier_of(operation, actor) <= Tier::Client && operation.state == State::Awaiting;
        Begun { operation: operation.id.clone(), question: asks.then(|| self.question_on(operation)) }
    }

    /// Where an operation of this caller begins.
    pub(crate) fn first_state(&self, action: Action, actor: &Actor, least: Tier) -> State {
        let tier = self.settings.policy.tier(action, actor.channel, least);
        if tier == Tier::None { State::Approved } else { State::Awaiting }
    }

    /// The proof that an operation needs: what its own channel asks for, and the answer's.
    fn tier_of(&self, operation: &Operation, actor: &Actor) -> Tier {
        let least = Details::of(operation).least;
        let over = |channel| self.settings.policy.tier(operation.action, channel, least);
        over(operation.actor.channel).max(over(actor.channel))
    }

    fn question_on(&self, operation: &Operation) -> Question {
        match operation.action {
            Action::Activate => self.publish_question(operation),
            Action::DeprovisionUser => self.deletion_question(operation),
            Action::ProvisionUser | Action::RestoreUser => self.creation_question(operation),
            Action::UpdateUser => self.change_question(operation),
            Action::DeprovisionUsers => self.several_question(operation),
        }
    }

    fn creation_question(&self, operation: &Operation) -> Question {
        let details = Details::of(operation);
        let cloud = shown(self.zia.cloud());
        let mut lines = vec![match &details.capture {
            Some(capture) => {
                format!("Create this user in ZIA ({cloud}) again, from the capture {}?", capture.id)
            }
            None => format!("Create this user in ZIA ({cloud})?"),
        }];
        if let Some(Subject::Draft(draft)) = details.user {
            lines.extend(portrait(&draft.name, &draft.email, draft.department.as_ref(), &draft.groups));
        }
        lines.push(asked_by(operation));
        self.question_of(operation, lines, "the user's e-mail address")
    }

    /// For those who decide out of band: no form in a client asks about several users.
    fn several_question(&self, operation: &Operation) -> Question {
        let details = Details::of(operation);
        let users: Vec<_> = details.asked.iter().filter(|a| a.state == State::Approved).collect();
        let cloud = shown(self.zia.cloud());
        let mut lines = vec![format!("Delete these {} users from ZIA ({cloud}) for good?", users.len())];
        for user in users.iter().filter_map(|a| a.user.as_ref()) {
            let department = user.department.as_ref().map_or("none".into(), |d| shown(&d.name));
            let (name, email) = (shown(&user.name), shown(&user.email));
            lines.push(format!("{}: {name}, {email}, department {department}", user.id));
        }
        lines.push(asked_by(operation));
        lines.extend(details.reason.as_deref().map(|r| format!("Reason: {}", quoted_reason(r))));
        lines.push("ZIA cannot undo a delete.".into());
        self.question_of(operation, lines, "the number of users")
    }

    fn change_question(&self, operation: &Operation) -> Question {
        let details = Details::of(operation);
        let mut lines = vec![format!("Change this user in ZIA ({})?", shown(self.zia.cloud()))];
        if let Some(Subject::User(user)) = &details.user {
            lines.push(format!("ZIA id: {}", user.id));
            lines.extend(portrait(&user.name, &user.email, user.department.as_ref(), &user.groups));
        }
        lines.extend(details.changes.iter().flatten().flat_map(told));
        if let Some(capture) = &details.capture {
            lines.push(format!("Before-image: {}, read {:.0}", capture.id, capture.taken_at));
        }
        lines.push(asked_by(operation));
        lines.push("The change is activated for the whole tenant afterwards.".into());
        self.question_of(operation, lines, "the user's e-mail address")
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

    pub(crate) fn deletion_question(&self, operation: &Operation) -> Question {
        let details = Details::of(operation);
        let mut lines = Vec::new();
        if let Some(Subject::User(user)) = &details.user {
            lines.push(format!("Delete this user from ZIA ({}) for good?", shown(self.zia.cloud())));
            lines.push(format!("ZIA id: {}", user.id));
            lines.extend(portrait(&user.name, &user.email, user.department.as_ref(), &user.groups));
            lines.extend(user.disabled.then(|| "Disabled in ZIA.".into()));
        }
        if let Some(capture) = &details.capture {
            lines.push(format!("Before-image: {}, read {:.0}", capture.id, capture.taken_at));
        }
        lines.push(asked_by(operation));
        lines.extend(details.reason.as_deref().map(|r| format!("Reason: {}", quoted_reason(r))));
        lines.push(
            "ZIA cannot undo a delete. The change is activated for the whole tenant afterwards.".into(),
        );
        self.question_of(operation, lines, "the user's e-mail address")
    }

    pub(crate) fn publish_question(&self, operation: &Operation) -> Question {
        let lines = vec![
            format!("Publish all staged changes of ZIA ({}) now?", shown(self.zia.cloud())),
            "Changes that this server did not make wait too: other administrators' work goes live with it."
                .into(),
            "An activation covers the whole tenant and cannot be undone.".into(),
            asked_by(operation),
        ];
        self.question_of(operation, lines, &format!("the word {PUBLISH}"))
    }

    fn question_of(&self, operation: &Operation, mut lines: Vec<String>, expected: &str) -> Question {
        lines.push(format!(
            "To go ahead, type {expected}. What is approved is carried out within {} minutes, or not at all.",
            EXECUTION.as_mins()
        ));
        let cli = super::operation::how_to_approve(operation).cli;
        lines.push(format!("Operation {}; instead of this form a person can run: {cli}", operation.id));
        Question {
            operation: operation.id.clone(),
            message: lines.join("\n"),
            hint: format!("Type {expected} to confirm"),
            ask: self.settings.ask,
        }
    }
}

/// What a person has to know of a user before deciding.
fn portrait(name: &str, email: &str, department: Option<&Named>, groups: &[Named]) -> [String; 4] {
    let groups: Vec<_> = groups.iter().map(|g| shown(&g.name)).collect();
    [
        format!("Name: {}", shown(name)),
        format!("E-mail: {}", shown(email)),
        format!("Department: {}", department.map_or("none".into(), |d| shown(&d.name))),
        format!("Groups: {}", groups.join(", ")),
    ]
}

/// One change in words; of groups, only those that come or go.
fn told(change: &Change) -> Vec<String> {
    let (from, to) = (named(&change.from), named(&change.to));
    let without = |all: &[String], others: &[String]| {
        let left: Vec<_> = all.iter().filter(|n| !others.contains(n)).cloned().collect();
        left.join(", ")
    };
    if change.field != "groups" {
        let one = |names: &[String]| names.first().cloned().unwrap_or_else(|| "none".into());
        return vec![format!("Change {}: from {} to {}", change.field, one(&from), one(&to))];
    }
    let (added, taken) = (without(&to, &from), without(&from, &to));
    let line = |what: &str, names: String| (!names.is_empty()).then(|| format!("{what}: {names}"));
    [line("Add to groups", added), line("Take out of groups", taken)].into_iter().flatten().collect()
}

/// The texts of a changed value, as a person may see them; groups and departments with their ids.
fn named(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![format!("\u{201C}{}\u{201D}", shown(text))],
        Value::Array(items) => items.iter().flat_map(named).collect(),
        Value::Object(fields) => {
            let name = fields.get("name").and_then(Value::as_str).unwrap_or_default();
            let id = fields.get("id").and_then(Value::as_i64).unwrap_or_default();
            vec![format!("\u{201C}{}\u{201D} (id {id})", shown(name))]
        }
        _ => Vec::new(),
    }
}

fn asked_by(operation: &Operation) -> String {
    format!("Asked by: {} through {}", shown(&operation.actor.caller), shown(&operation.actor.client))
}

/// What exactly was approved: the action, the user, the user's fields and the caller's arguments.
pub(crate) fn approved_digest(operation: &Operation, details: &Details) -> Digest {
    Digest::of_json(&json!({
        "operation": operation.id, "action": operation.action, "subject": operation.subject,
        "arguments": operation.arguments.to_string(), "object": details.object,
        "user": details.user, "replacement": details.replacement, "users": approved_users(details),
    }))
}
