//! Decisions out of band: by a person who proved themself with something that the agent does not hold.

use super::{
    Lifecycle, Policy, Records,
    approval::{approved_digest, forget_answers},
    audit::entry,
    begin::no_such_operation,
    bulk::is_ready,
    details::Details,
    enrolled::standing,
    executor::EXECUTION,
    failure::{Code, Failure},
    operation::has_lapsed,
    policy::Tier,
    report::Approval,
    sight::to_delete,
    statement::{NOT_BACK, statement},
};
use crate::{
    model::{Action, Operation, OperationId, State, shown},
    store::{self, Approver, Proof},
    telemetry::meter,
};

/// The longest name of an approver, in characters.
const MAX_NAME: usize = 64;

/// A person's decision, given with proof that the caller does not hold.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Yes or no.
    pub approve: bool,
    /// Who decided, by the name they go by.
    pub by: String,
    /// Who they are at the identity provider, its `sub`, where they signed in there.
    pub subject: Option<String>,
    /// The way they proved themself.
    pub channel: String,
}

/// What a decision did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// The server carries the operation out.
    Approved,
    /// Another person has to approve, too.
    OneOfTwo,
    /// Nothing will be sent.
    Rejected,
}

/// An operation that waits for a person, as it is shown to them.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// What will happen, in lines.
    pub lines: Vec<String>,
    /// How many users are deleted, where there are several.
    pub count: Option<usize>,
}

impl Records {
    /// Enrols somebody who may approve; gives the `otpauth://` URI to be shown once.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bad name, `CONFLICT` for one that is taken, `STORE_UNAVAILABLE`.
    pub async fn enrol(&self, name: &str) -> Result<zeroize::Zeroizing<String>, Failure> {
        let name = name.trim();
        let bad = name.is_empty() || name.chars().count() > MAX_NAME || name.contains(':');
        if bad || crate::model::unwritable(name).is_some() {
            let message = format!("a name has 1 to {MAX_NAME} characters, and no colon or invisible one");
            return Err(Failure::argument("name", message));
        }
        match self.store.enrol(name).await {
            Err(store::StoreError::Conflict) => {
                let message = format!("there is an approver {} already", shown(name));
                Err(Failure::new(Code::Conflict, message, "remove them first, or choose another name"))
            }
            other => Ok(other?),
        }
    }

    /// Those who may approve.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn approvers(&self) -> Result<Vec<Approver>, Failure> {
        Ok(self.store.approvers().await?)
    }

    /// Takes an approver's right away; false if there is none of this name.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn remove_approver(&self, name: &str) -> Result<bool, Failure> {
        Ok(self.store.remove_approver(name.trim()).await?)
    }

    /// An operation that waits for a person, whoever asked for it.
    ///
    /// # Errors
    /// `NOT_FOUND` if it does not wait; `STORE_UNAVAILABLE`.
    pub async fn waiting(&self, id: &str) -> Result<Waiting, Failure> {
        let operation = self.undecided(&id.parse().map_err(|()| no_such_operation())?).await?;
        let details = Details::of(&operation);
        let mut lines = statement(&operation, &operation.tenant).lines;
        lines.extend(operation.action.deletes().then(|| NOT_BACK.into()));
        lines.extend(
            details
                .first_approval
                .as_ref()
                .map(|a| format!("Approved by {} already; one more has to.", shown(&a.by))),
        );
        lines.push(format!(
            "Open until {:.0}. What is approved is carried out within {} minutes, or not at all.",
            operation.expires_at,
            EXECUTION.as_mins()
        ));
        let count = (operation.action == Action::DeprovisionUsers).then(|| to_delete(&details));
        Ok(Waiting { lines, count })
    }

    /// Checks an approver's one-time code for an operation; it is used up if it is right.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `AUDIT_UNAVAILABLE`.
    pub async fn prove(&self, id: &OperationId, name: &str, code: &str) -> Result<Proof, Failure> {
        let operation = self.store.operation(id).await?;
        self.proof_of(operation.as_ref(), name, code).await
    }

    /// What a one-time code is worth, for an operation if there is one.
    pub(super) async fn proof_of(
        &self,
        operation: Option<&Operation>,
        name: &str,
        code: &str,
    ) -> Result<Proof, Failure> {
        let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        Ok(self.store.check_code(operation, name.trim(), &code).await?)
    }

    /// Takes the decision of a person who proved themself; a server takes up what was approved.
    ///
    /// # Errors
    /// `NOT_FOUND` if it does not wait for one; `FORBIDDEN` for the same person's second approval, or
    /// the requester's own; `STORE_UNAVAILABLE`, `AUDIT_UNAVAILABLE`.
    pub async fn decide(
        &self,
        id: &OperationId,
        decision: Decision,
        policy: &Policy,
    ) -> Result<Decided, Failure> {
        self.decide_as(id, decision, policy, false).await.map(|(decided, _)| decided)
    }

    async fn decide_as(
        &self,
        id: &OperationId,
        decision: Decision,
        policy: &Policy,
        own: bool,
    ) -> Result<(Decided, Operation), Failure> {
        let operation = self.undecided(id).await?;
        let mut details = Details::of(&operation);
        let Decision { approve, by, subject, channel } = decision;
        let approver = self.store.approver_digest(&by);
        if !approve {
            details.rejected = true;
            details.note(format!("{} rejected it; nothing was sent", shown(&by)));
            let fields = [("channel", channel.into()), ("approver", approver.into())];
            let audit = entry("approval.rejected", fields);
            let ended = self.store.advance(&operation, State::Declined, details.to_value(), audit).await?;
            meter::operation_ended(ended.action.as_str(), ended.state.as_str());
            return Ok((Decided::Rejected, ended));
        }
        let caller = &operation.actor.caller;
        let own_names = std::iter::once(&by).chain(&subject);
        if own_names.into_iter().any(|name| policy.is_same_person(caller, name)) {
            return Err(another("whoever asked for an operation cannot approve it"));
        }
        let given = Approval { by, channel, at: self.clock.now() };
        let tier = policy.proof_of(&operation, &details);
        // One who was removed since has approved nothing (guardrails T37).
        let mut approvals =
            standing(&self.store, details.first_approval.take().into_iter().collect()).await?;
        if let Some(first) = approvals.first() {
            if policy.is_same_person(&first.by, &given.by) {
                return Err(one_person());
            }
            are_two(details.first_subject.as_ref(), subject.as_ref(), policy)?;
        }
        approvals.push(given.clone());
        if tier >= Tier::TwoPeople && approvals.len() < 2 {
            details.first_approval = Some(given);
            details.first_subject = subject;
            let audit = entry("approval.first_of_two", [("approver", approver.into())]);
            let noted = self.store.advance(&operation, State::Awaiting, details.to_value(), audit).await?;
            return Ok((Decided::OneOfTwo, noted));
        }
        let approved = self.approve(&operation, details, approvals, own).await?;
        Ok((Decided::Approved, approved))
    }

    async fn approve(
        &self,
        operation: &Operation,
        mut details: Details,
        approvals: Vec<Approval>,
        own: bool,
    ) -> Result<Operation, Failure> {
        let approvers: Vec<_> = approvals.iter().map(|a| self.store.approver_digest(&a.by)).collect();
        let names: Vec<_> = approvals.iter().map(|a| a.by.as_str()).collect();
        let (by, last) = (names.join(" and "), approvals.last().ok_or_else(no_such_operation)?);
        let (channel, digest) = (last.channel.clone(), approved_digest(operation, &details));
        details.approval = Some(Approval { by: by.clone(), ..last.clone() });
        details.approvals = approvals;
        forget_answers(&mut details);
        let audit = entry(
            "approval.given",
            [
                ("channel", channel.clone().into()),
                ("digest", digest.to_string().into()),
                ("approvers", approvers.into()),
            ],
        );
        let approval = store::Approval { by, channel, digest };
        Ok(self.store.approve(operation, approval, details.to_value(), own, audit).await?)
    }

    /// An operation that waits for a decision, with everything captured that it needs.
    async fn undecided(&self, id: &OperationId) -> Result<Operation, Failure> {
        let operation = self.store.operation(id).await?.ok_or_else(no_such_operation)?;
        if is_undecided(&operation, &Details::of(&operation), self.clock.now()) {
            return Ok(operation);
        }
        let message = "this operation does not wait for a decision";
        Err(Failure::new(Code::NotFound, message, "see `zia-mcp operations`"))
    }
}

/// Whether an operation waits for a decision, with everything captured that it needs.
pub(super) fn is_undecided(operation: &Operation, details: &Details, now: jiff::Timestamp) -> bool {
    operation.state == State::Awaiting && !has_lapsed(operation, now) && is_ready(operation, details)
}

fn another(message: &str) -> Failure {
    Failure::new(Code::Forbidden, message, "have another approver decide")
}

fn one_person() -> Failure {
    another("two different people have to approve this operation")
}

/// Refuses two approvals that may be one person's, by what the provider calls them (guardrails T22).
fn are_two(first: Option<&String>, second: Option<&String>, policy: &Policy) -> Result<(), Failure> {
    match (first, second) {
        (Some(first), Some(second)) if policy.is_same_person(first, second) => Err(one_person()),
        (Some(_), Some(_)) | (None, None) => Ok(()),
        // Who has a code and an account at the provider cannot be told from two people.
        _ => Err(another(
            "both approvals have to be given the same way: by codes, or by signing in at the provider",
        )),
    }
}

impl Lifecycle {
    /// Takes the decision of a person who proved themself, and carries out what was approved.
    ///
    /// # Errors
    /// As [`Records::decide`].
    pub async fn decide(&self, id: &OperationId, decision: Decision) -> Result<Decided, Failure> {
        let (decided, operation) =
            self.records().decide_as(id, decision, &self.settings.policy, true).await?;
        self.changed(&operation.id);
        if decided == Decided::Approved {
            self.carry_out(operation);
        }
        Ok(decided)
    }
}
