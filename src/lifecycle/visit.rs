//! Sending the person at the client to the approval page, where the client itself decides nothing.

use std::time::Duration;

use super::{Lifecycle, bulk::is_ready, details::Details, failure::Failure, policy::Tier};
use crate::model::{Action, Actor, Operation, OperationId, State};

/// A page for the person at the client to open.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The operation that is decided there.
    pub operation: OperationId,
    /// What the person is told: nothing of the tenant, since anybody may look on.
    pub message: String,
    /// The page; it holds the operation's id and nothing else (guardrails T21).
    pub url: String,
    /// How long the client has to say that the page was opened.
    pub ask: Duration,
}

impl Lifecycle {
    /// The page on which an operation of this caller is decided, while it waits for that.
    ///
    /// `None` also where the client itself can decide, and where there is no page.
    ///
    /// # Errors
    /// `NOT_FOUND` for another caller's operation.
    pub async fn visit(&self, actor: &Actor, id: &OperationId) -> Result<Option<Visit>, Failure> {
        let operation = self.owned(actor, id).await?;
        Ok(self.visit_to(actor, &operation))
    }

    pub(crate) fn visit_to(&self, actor: &Actor, operation: &Operation) -> Option<Visit> {
        let ready = operation.state == State::Awaiting && is_ready(operation, &Details::of(operation));
        if !ready || self.tier_of(operation, actor) <= Tier::Client {
            return None;
        }
        Some(Visit {
            operation: operation.id.clone(),
            message: message(operation),
            url: self.console_page(&operation.id)?,
            ask: self.settings.ask,
        })
    }
}

fn message(operation: &Operation) -> String {
    let what = match operation.action {
        Action::DeprovisionUser => "delete a user from ZIA".to_owned(),
        Action::DeprovisionUsers => {
            let asked = Details::of(operation).asked;
            let users = asked.iter().filter(|a| a.state == State::Approved).count();
            format!("delete {users} users from ZIA")
        }
        Action::ProvisionUser => "create a user in ZIA".to_owned(),
        Action::UpdateUser => "change a user in ZIA".to_owned(),
        Action::RestoreUser => "create a deleted user in ZIA again".to_owned(),
        Action::Activate => "publish other administrators' changes in ZIA".to_owned(),
    };
    let cli = super::operation::how_to_approve(operation).cli;
    format!(
        "An enrolled approver has to decide whether to {what}. The page shows what exactly, once they have \
         proved who they are. Opening it approves nothing.\nOperation {}; instead of the page an approver can run: {cli}",
        operation.id
    )
}
