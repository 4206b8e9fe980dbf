//! Deleting a user: resolve, protect, capture, ask. The executor does the rest.

use serde_json::json;

use super::{
    Lifecycle,
    begin::Begun,
    details::Details,
    failure::Failure,
    operation::is_moving,
    report::Subject,
    subject::{name_of, not_found, several, user_ref},
};
use crate::{
    directory::{ById, Lookup, Seen},
    model::{Action, Actor, Digest, Operation, State, UserRef, shown},
    store::SubjectKey,
};

/// The longest reason, in characters.
const MAX_REASON: usize = 500;

/// A user to be deleted.
#[derive(Clone, Debug)]
pub struct DeprovisionUser {
    /// Exact address or id.
    pub user: String,
    /// Why; shown to the person who approves, as untrusted text.
    pub reason: Option<String>,
}

impl Lifecycle {
    /// Begins to delete a user: nothing is sent before a person has approved.
    ///
    /// # Errors
    /// Bad arguments, a protected user, an operation already open on the user, or what ZIA or the
    /// store answered.
    pub async fn deprovision(&self, actor: Actor, request: DeprovisionUser) -> Result<Begun, Failure> {
        let this = self.clone();
        self.detached(async move { this.deprovision_now(&actor, &request).await }).await
    }

    async fn deprovision_now(&self, actor: &Actor, request: &DeprovisionUser) -> Result<Begun, Failure> {
        let (until, policy) = (self.interactive(), &self.settings.policy);
        policy.check_tool(actor, Action::DeprovisionUser)?;
        let who = user_ref(&request.user)?;
        check_reason(request.reason.as_deref())?;
        let arguments = digest(&who, request.reason.as_deref());
        let _one = self.shared.beginning.lock(format!("deprovision {}", name_of(&who))).await;
        if let Some(open) = self.joinable(actor, Action::DeprovisionUser, &arguments).await?
            && !self.discarded_draft(&open).await?
        {
            return Ok(self.asking(actor, &open));
        }
        self.check_open(actor).await?;
        self.check_daily_cap(1).await?;
        let mut seen = match Box::pin(self.look_up_live(&who, until)).await? {
            Lookup::Found(seen) => *seen,
            Lookup::Several(users) => return Err(several(&users)),
            Lookup::Absent { proven } => return self.absent(actor, &who, arguments, proven).await,
        };
        policy.check_user(actor, &seen.user, seen.kind.as_deref(), self.zia.own_login())?;
        let object = self.object_of(&mut seen, until).await?;
        self.check_both(actor, &seen, Some(&object))?;
        self.refuse_if_rejected(Some(seen.user.id), &seen.user.email).await?;
        let _drafting = self.drafting();
        let drafted = self.draft_deletion(actor, request, arguments, seen, object).await;
        let operation = self.or_joined(actor, Action::DeprovisionUser, &arguments, drafted).await?;
        Ok(self.asking(actor, &operation))
    }

    async fn draft_deletion(
        &self,
        actor: &Actor,
        request: &DeprovisionUser,
        arguments: Digest,
        seen: Seen,
        object: ById,
    ) -> Result<Operation, Failure> {
        self.refuse_a_second_operation(actor, &seen.user).await?;
        let mut details = Details {
            user: Some(Subject::User(seen.user.clone())),
            reason: request.reason.clone(),
            object: Some(object.object.to_string()),
            ..Details::default()
        };
        details.note(
            "ZIA cannot undo a delete: the id, the password and what referred to the id do not come back",
        );
        if seen.user.groups.is_empty() {
            details.note("the user has no group, and ZIA creates nobody without one: restore_user cannot bring them back");
        }
        let action = Action::DeprovisionUser;
        self.first_state(action, actor, &mut details);
        let drafted = self.create_on(actor, action, State::Awaiting, arguments, &seen.user, &details).await?;
        match self.capture_for(&drafted, &seen, &object).await {
            Ok(capture) => {
                details.capture = Some(capture);
                self.step(&drafted, State::Awaiting, &details, "operation.captured").await
            }
            Err(failure) => {
                details.failure = Some(failure.clone());
                self.step(&drafted, State::Failed, &details, "operation.failed").await?;
                Err(failure)
            }
        }
    }

    /// A user who is not there: already deleted by us, or not found.
    async fn absent(
        &self,
        actor: &Actor,
        who: &UserRef,
        arguments: Digest,
        proven: bool,
    ) -> Result<Begun, Failure> {
        let key = match who {
            UserRef::Id(id) => SubjectKey::Id(*id),
            UserRef::Email(email) => SubjectKey::Email(email.to_string()),
        };
        let Some(before) = self.store.deleted_by_us(self.tenant(), &key).await? else {
            return Err(not_found(proven));
        };
        if is_moving(before.state) && before.actor.is(actor) {
            return Ok(Begun::plain(&before));
        }
        let past = Details::of(&before);
        if let Some(Subject::User(user)) = &past.user {
            self.settings.policy.check_user(actor, user, None, self.zia.own_login())?;
        }
        let mut details = Details { user: past.user, capture: past.capture, ..Details::default() };
        details.note(format!("operation {} deleted this user already; nothing was sent", before.id));
        let ended = self
            .create(actor, Action::DeprovisionUser, State::AlreadyDone, arguments, None, &details)
            .await?;
        Ok(Begun::plain(&ended))
    }
}

pub(crate) fn check_reason(reason: Option<&str>) -> Result<(), Failure> {
    let long = reason.is_some_and(|r| r.chars().count() > MAX_REASON);
    if long {
        Err(Failure::argument("reason", format!("a reason has at most {MAX_REASON} characters")))
    } else {
        Ok(())
    }
}

fn digest(who: &UserRef, reason: Option<&str>) -> Digest {
    Digest::of_json(&json!({"user": name_of(who), "reason": reason}))
}

/// A reason as a person may see it.
pub(crate) fn quoted_reason(reason: &str) -> String {
    format!("\u{201C}{}\u{201D} (written by the caller, not verified)", shown(reason))
}
