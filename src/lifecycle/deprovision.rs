//! Deleting a user: resolve, protect, capture, ask. The executor does the rest.

use serde_json::{json, value::RawValue};

use super::{
    Lifecycle,
    audit::entry,
    begin::Begun,
    details::Details,
    failure::{Code, Failure},
    find::user_candidates,
    operation::is_moving,
    report::{Capture, Subject},
};
use crate::{
    directory::{ById, Lookup, Seen},
    model::{Action, Actor, Digest, Operation, State, UserRef, UserRefError, shown},
    store::{NewCapture, SubjectKey},
    zia::Deadline,
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
        let until = self.interactive();
        let who: UserRef = request
            .user
            .trim()
            .parse()
            .map_err(|e: UserRefError| Failure::argument("user", e.to_string()))?;
        check_reason(request.reason.as_deref())?;
        let arguments = digest(&who, request.reason.as_deref());
        let _one = self.shared.beginning.lock(format!("deprovision {}", name_of(&who))).await;
        if let Some(open) = self.joinable(actor, Action::DeprovisionUser, &arguments).await? {
            return Ok(self.asking(actor, &open));
        }
        self.check_open(actor).await?;
        let mut seen = match self.directory.look_up(&who, until).await? {
            Lookup::Found(seen) => *seen,
            Lookup::Several(users) => return Err(several(&users)),
            Lookup::Absent { proven } => return self.absent(actor, &who, arguments, proven).await,
        };
        self.settings.policy.check_target(&seen.user, seen.kind.as_deref(), self.zia.own_login())?;
        let object = self.object_of(&mut seen, until).await?;
        self.refuse_a_second_operation(actor, &seen).await?;
        let operation = self.draft_deletion(actor, request, arguments, seen, object).await?;
        Ok(self.asking(actor, &operation))
    }

    /// The user by id, whose digest is compared again right before the delete.
    async fn object_of(&self, seen: &mut Seen, until: Deadline) -> Result<ById, Failure> {
        let object = match seen.by_id.take() {
            Some(read) => read,
            None => self.directory.by_id(seen.user.id, until).await?.ok_or_else(disagree)?,
        };
        let same =
            object.plain_email.as_ref().is_none_or(|e| e.to_lowercase() == seen.user.email.to_lowercase());
        if same { Ok(object) } else { Err(disagree()) }
    }

    async fn refuse_a_second_operation(&self, actor: &Actor, seen: &Seen) -> Result<(), Failure> {
        let Some(open) = self.store.open_for_subject(self.tenant(), seen.user.id).await? else {
            return Ok(());
        };
        let open = self.load(&open.id).await?;
        if open.state.is_ended() {
            return Ok(());
        }
        let said = "another operation on this user is in progress";
        if open.actor.caller != actor.caller {
            return Err(Failure::new(Code::Conflict, said, "wait for it to end, then call again"));
        }
        let next = if open.state == State::Awaiting {
            format!(
                "have it decided, call again with the same arguments to be asked again, or wait until {:.0}",
                open.expires_at
            )
        } else {
            "follow it with get_operation".into()
        };
        Err(Failure::new(Code::Conflict, said, next).of(&open.id))
    }

    async fn draft_deletion(
        &self,
        actor: &Actor,
        request: &DeprovisionUser,
        arguments: Digest,
        seen: Seen,
        object: ById,
    ) -> Result<Operation, Failure> {
        let (id, email) = (seen.user.id, seen.user.email.clone());
        let mut details = Details {
            user: Some(Subject::User(seen.user)),
            reason: request.reason.clone(),
            object: Some(object.object.to_string()),
            ..Details::default()
        };
        details.note(
            "ZIA cannot undo a delete: the id, the password and what referred to the id do not come back",
        );
        let drafted = self
            .create(actor, Action::DeprovisionUser, State::Awaiting, arguments, Some(id), &details)
            .await?;
        let raw = before_image(&seen.row, &object.raw);
        let new = NewCapture {
            tenant: self.tenant(),
            operation: drafted.id.clone(),
            user_id: id,
            email: &email,
            raw: &raw,
        };
        match self.store.capture(new, entry("capture.taken", [("user_id", id.get().into())])).await {
            Ok(info) => {
                let uri = format!("zia://captures/{}", info.id);
                details.capture = Some(Capture { id: info.id, taken_at: info.taken_at, uri });
                self.step(&drafted, State::Awaiting, &details, "operation.captured").await
            }
            Err(error) => {
                let failure = Failure::from(error).of(&drafted.id);
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
        if is_moving(before.state) && before.actor.caller == actor.caller {
            return Ok(Begun::plain(&before));
        }
        let past = Details::of(&before);
        let mut details = Details { user: past.user, capture: past.capture, ..Details::default() };
        details.note(format!("operation {} deleted this user already; nothing was sent", before.id));
        let ended = self
            .create(actor, Action::DeprovisionUser, State::AlreadyDone, arguments, None, &details)
            .await?;
        Ok(Begun::plain(&ended))
    }
}

/// Both forms in which ZIA shows the user, as it sent them.
fn before_image(row: &RawValue, by_id: &RawValue) -> Vec<u8> {
    format!(r#"{{"format":1,"row":{},"by_id":{}}}"#, row.get(), by_id.get()).into_bytes()
}

fn check_reason(reason: Option<&str>) -> Result<(), Failure> {
    let long = reason.is_some_and(|r| r.chars().count() > MAX_REASON);
    if long {
        Err(Failure::argument("reason", format!("a reason has at most {MAX_REASON} characters")))
    } else {
        Ok(())
    }
}

fn name_of(who: &UserRef) -> String {
    match who {
        UserRef::Id(id) => id.to_string(),
        UserRef::Email(email) => email.folded(),
    }
}

fn digest(who: &UserRef, reason: Option<&str>) -> Digest {
    Digest::of_json(&json!({"user": name_of(who), "reason": reason}))
}

fn several(users: &[crate::model::User]) -> Failure {
    let message = format!("{} users have this address; nothing was sent", users.len());
    Failure::new(Code::Ambiguous, message, "name the user by id").at("user").among(user_candidates(users))
}

fn disagree() -> Failure {
    Failure::new(
        Code::Conflict,
        "ZIA's list and its answer by id disagree about this user; nothing was sent",
        "look the user up again with find_user and fresh: true",
    )
    .at("user")
}

fn not_found(proven: bool) -> Failure {
    let (message, next) = if proven {
        ("ZIA has no such user: its answers prove it", "check the address or id with find_user")
    } else {
        (
            "no such user was found, but ZIA's answers do not prove absence",
            "name the user by ZIA id, or try again later",
        )
    };
    Failure::new(Code::NotFound, message, next).at("user")
}

/// A reason as a person may see it.
pub(crate) fn quoted_reason(reason: &str) -> String {
    format!("\u{201C}{}\u{201D} (written by the caller, not verified)", shown(reason))
}
