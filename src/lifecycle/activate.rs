//! The `activate` tool: publish what waits, others' changes only with approval.

use std::time::Duration;

use serde_json::json;

use super::{
    Lifecycle,
    begin::Begun,
    details::Details,
    failure::Failure,
    report::{Activation, ActivationState},
};
use crate::{
    model::{Action, Actor, Digest, State},
    zia::ActivationStatus,
};

/// How long a running activation is waited for.
const JOIN: Duration = Duration::from_secs(30);

impl Lifecycle {
    /// Publishes staged changes; asks first where other administrators' changes would go live.
    ///
    /// # Errors
    /// What ZIA or the store answered.
    pub async fn activate(&self, actor: Actor) -> Result<Begun, Failure> {
        let this = self.clone();
        self.detached(async move { this.activate_now(&actor).await }).await
    }

    async fn activate_now(&self, actor: &Actor) -> Result<Begun, Failure> {
        self.settings.policy.check_tool(actor, Action::Activate)?;
        let arguments = Digest::of_json(&json!({}));
        let _one = self.shared.beginning.lock("activate".into()).await;
        if let Some(open) = self.joinable(actor, Action::Activate, &arguments).await? {
            return Ok(self.asking(actor, &open));
        }
        let waited = self.own_activation_ends(JOIN).await;
        let (status, joined) = self.status_after_running().await?;
        let ours = !self.possibly_staged().await?.is_empty();
        let mut details = Details::default();
        if joined || waited {
            details.note("an activation was running already; this call waited for it");
        }
        let state = match status {
            ActivationStatus::Active if !ours => {
                details.activation = Some(Activation::plain(ActivationState::NotNeeded));
                details.note("nothing waits for activation; nothing was sent");
                State::AlreadyDone
            }
            ActivationStatus::Active => State::Approved,
            ActivationStatus::InProgress => {
                details.running = true;
                State::Approved
            }
            ActivationStatus::Pending => {
                details.foreign = self.others_wait(status).await?;
                if details.foreign {
                    self.first_state(Action::Activate, actor, &mut details)
                } else {
                    State::Approved
                }
            }
        };
        if details.foreign {
            details.note("changes of other administrators wait too and would go live with this activation");
        }
        if state == State::Awaiting {
            self.check_open(actor).await?;
        }
        let created = self.create(actor, Action::Activate, state, arguments, None, &details).await;
        if let (State::Approved, Ok(operation)) = (state, &created) {
            self.carry_out(operation.clone());
        }
        let operation = self.or_joined(actor, Action::Activate, &arguments, created).await?;
        Ok(self.asking(actor, &operation))
    }

    /// The status; a running activation is waited for.
    async fn status_after_running(&self) -> Result<(ActivationStatus, bool), Failure> {
        match self.zia.status(self.interactive().finishing()).await? {
            ActivationStatus::InProgress => Ok((self.join_running(JOIN).await?, true)),
            status => Ok((status, false)),
        }
    }
}
