//! The one user that an operation is about: found live, read whole, captured, changed by one at a time.

use jiff::{SignedDuration, Timestamp};

use super::{
    Lifecycle,
    audit::entry,
    before_image::BeforeImage,
    details::Details,
    failure::{Code, Failure},
    find::user_candidates,
    report::Capture,
};
use crate::{
    directory::{ById, Seen},
    model::{Action, Actor, Digest, Operation, State, User, UserId, UserRef, UserRefError},
    store::NewCapture,
    telemetry::spans,
    zia::Deadline,
};

/// How long nobody can ask again for what a person rejected out of band (contract §4).
const COOL_DOWN: SignedDuration = SignedDuration::from_mins(10);

impl Lifecycle {
    /// The user by id, whose digest is compared again right before the send.
    pub(crate) async fn object_of(&self, seen: &mut Seen, until: Deadline) -> Result<ById, Failure> {
        let object = match seen.by_id.take() {
            Some(read) => read,
            None => self.directory.by_id(seen.user.id, until).await?.ok_or_else(disagree)?,
        };
        let same =
            object.plain_email.as_ref().is_none_or(|e| e.to_lowercase() == seen.user.email.to_lowercase());
        if same { Ok(object) } else { Err(disagree()) }
    }

    /// Refuses a user whom the row or the answer by id shows to be out of bounds: the two may disagree.
    ///
    /// # Errors
    /// `FORBIDDEN` or `PROTECTED`, with the rule's name.
    pub(crate) fn check_both(
        &self,
        actor: &Actor,
        seen: &Seen,
        object: Option<&ById>,
    ) -> Result<(), Failure> {
        let (policy, own) = (&self.settings.policy, self.zia.own_login());
        policy.check_user(actor, &seen.user, seen.kind.as_deref(), own)?;
        let Some(object) = object else { return Ok(()) };
        policy.check_user(actor, &as_by_id(&seen.user, &object.user), object.kind.as_deref(), own)
    }

    /// Refuses to begin while another operation on the user is open (guardrails F31).
    pub(crate) async fn refuse_a_second_operation(&self, actor: &Actor, user: &User) -> Result<(), Failure> {
        let Some(open) = self.store.open_for_subject(self.tenant(), user.id).await? else {
            return Ok(());
        };
        let open = self.load(&open.id).await?;
        if open.state.is_ended() || self.discarded_draft(&open).await? {
            return Ok(());
        }
        let said = "another operation on this user is in progress";
        if !open.actor.is(actor) {
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

    /// Refuses what a person rejected out of band a moment ago, whoever asks (guardrails T23).
    pub(crate) async fn refuse_if_rejected(&self, id: Option<UserId>, email: &str) -> Result<(), Failure> {
        let since = self.clock.now().saturating_sub(COOL_DOWN).unwrap_or(Timestamp::MIN);
        let declined = self.store.declined_since(self.tenant(), (id, email), since).await?;
        let Some(rejected) = declined.into_iter().find(|o| Details::of(o).rejected) else { return Ok(()) };
        let again = rejected.updated_at.saturating_add(COOL_DOWN).unwrap_or(Timestamp::MAX);
        let message = "a person rejected an operation on this user a moment ago; nothing was sent";
        let next = format!("do not press: ask the person, or call again after {again:.0}");
        Err(Failure::new(Code::Conflict, message, next).retry_at(again))
    }

    /// Records a new operation on a user, unless another one is open.
    pub(crate) async fn create_on(
        &self,
        actor: &Actor,
        action: Action,
        state: State,
        arguments: Digest,
        user: &User,
        details: &Details,
    ) -> Result<Operation, Failure> {
        match self.create(actor, action, state, arguments, Some(user.id), details).await {
            Err(failure) if failure.code == Code::Conflict => {
                // Somebody was quicker: say which operation it is.
                self.refuse_a_second_operation(actor, user).await?;
                Err(failure)
            }
            other => other,
        }
    }

    /// Keeps the user as ZIA shows it, for an operation on it.
    pub(crate) async fn capture_for(
        &self,
        operation: &Operation,
        seen: &Seen,
        object: &ById,
    ) -> Result<Capture, Failure> {
        let raw = BeforeImage { row: &seen.row, by_id: &object.raw }.to_bytes();
        let new = NewCapture {
            tenant: self.tenant(),
            operation: operation.id.clone(),
            user_id: seen.user.id,
            email: &seen.user.email,
            raw: &raw,
        };
        let span = spans::step("capture", operation.action.as_str(), operation.id.as_str());
        let audit = entry("capture.taken", [("user_id", seen.user.id.get().into())]);
        let taken = span.around(self.store.capture(new, audit)).await;
        let info = taken.map_err(|error| Failure::from(error).of(&operation.id))?;
        let uri = format!("zia://captures/{}", info.id);
        Ok(Capture { id: info.id, taken_at: info.taken_at, uri })
    }
}

/// The user by id; what may come encoded there, or not at all, is as in the row.
fn as_by_id(row: &User, by_id: &User) -> User {
    let groups = if by_id.groups.is_empty() { &row.groups } else { &by_id.groups };
    User {
        name: row.name.clone(),
        email: row.email.clone(),
        department: by_id.department.as_ref().or(row.department.as_ref()).cloned(),
        groups: groups.clone(),
        ..by_id.clone()
    }
}

/// The user that an argument names, by exact address or id.
pub(crate) fn user_ref(text: &str) -> Result<UserRef, Failure> {
    text.trim().parse().map_err(|e: UserRefError| Failure::argument("user", e.to_string()))
}

/// One form for every way to write the same address or id.
pub(crate) fn name_of(who: &UserRef) -> String {
    match who {
        UserRef::Id(id) => id.to_string(),
        UserRef::Email(email) => email.folded(),
    }
}

pub(crate) fn several(users: &[User]) -> Failure {
    let message = format!("{} users have this address; nothing was sent", users.len());
    Failure::new(Code::Ambiguous, message, "name the user by id").at("user").among(user_candidates(users))
}

pub(crate) fn disagree() -> Failure {
    Failure::new(
        Code::Conflict,
        "ZIA's list and its answer by id disagree about this user; nothing was sent",
        "look the user up again with find_user and fresh: true",
    )
    .at("user")
}

pub(crate) fn not_found(proven: bool) -> Failure {
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
