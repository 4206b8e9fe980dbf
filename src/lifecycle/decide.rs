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
    statement::statement,
};
use crate::{
    model::{Action, Operation, OperationId, State, shown},
    store::{self, Approver, Proof},
};

/// The longest name of an approver, in characters.
const MAX_NAME: usize = 64;

/// A person's decision, given with proof that the caller does not hold.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Yes or no.
    pub approve: bool,
    /// Who decided.
    pub by: String,
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
        if operation.action.deletes() {
            lines.push(
                "restore_user can bring back name, address, department, groups and comments from the \
                 before-image; not the id, the password, or what referred to the id."
                    .into(),
            );
        }
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
        let several = operation.action == Action::DeprovisionUsers;
        let count = several.then(|| details.asked.iter().filter(|a| a.state == State::Approved).count());
        Ok(Waiting { lines, count })
    }

    /// Checks an approver's one-time code for an operation; it is used up if it is right.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `AUDIT_UNAVAILABLE`.
    pub async fn prove(&self, id: &OperationId, name: &str, code: &str) -> Result<Proof, Failure> {
        let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        let operation = self.store.operation(id).await?;
        Ok(self.store.check_code(operation.as_ref(), name.trim(), &code).await?)
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
        let Decision { approve, by, channel } = decision;
        let approver = self.store.approver_digest(&by);
        if !approve {
            details.rejected = true;
            details.note(format!("{} rejected it; nothing was sent", shown(&by)));
            let fields = [("channel", channel.into()), ("approver", approver.into())];
            let audit = entry("approval.rejected", fields);
            let ended = self.store.advance(&operation, State::Declined, details.to_value(), audit).await?;
            return Ok((Decided::Rejected, ended));
        }
        if policy.is_same_person(&operation.actor.caller, &by) {
            let message = "whoever asked for an operation cannot approve it";
            return Err(Failure::new(Code::Forbidden, message, "have another approver decide"));
        }
        let given = Approval { by, channel, at: self.clock.now() };
        let tier = policy.tier(operation.action, operation.actor.channel, details.least);
        // One who was removed since has approved nothing (guardrails T37).
        let mut approvals =
            standing(&self.store, details.first_approval.take().into_iter().collect()).await?;
        if approvals.iter().any(|first| policy.is_same_person(&first.by, &given.by)) {
            let message = "two different people have to approve this operation";
            return Err(Failure::new(Code::Forbidden, message, "have another approver decide"));
        }
        approvals.push(given.clone());
        if tier >= Tier::TwoPeople && approvals.len() < 2 {
            details.first_approval = Some(given);
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
        let ready = is_ready(&operation, &Details::of(&operation));
        if operation.state == State::Awaiting && !has_lapsed(&operation, self.clock.now()) && ready {
            return Ok(operation);
        }
        let message = "this operation does not wait for a decision";
        Err(Failure::new(Code::NotFound, message, "see `zia-mcp operations`"))
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
