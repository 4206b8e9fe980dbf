//! First passwords that are handed to a person: kept sealed, shown once, told to no caller.

use secrecy::SecretString;

use super::{
    Lifecycle, Records,
    audit::entry,
    begin::no_such_operation,
    details::Details,
    failure::{Code, Failure},
    password,
    reconcile::Wish,
    report::{InitialPassword, Report, Subject},
};
use crate::{
    model::{Operation, OperationId, State},
    store::{Handed, Store},
};

const HANDOFF: &str = "handoff";

const DISCARDED: &str = "a random password, kept nowhere: the user signs in through the identity provider, \
    or an administrator sets a password in the portal";

const PLANNED: &str = "a random password would be set, and kept for one person to see once within 24 hours, at a \
    terminal or on the approval console; no tool shows it";

const KEPT: &str = "a random password is kept sealed; once the user is known to be created, a person sees it once, \
    within 24 hours: ";

const GONE: &str = "it was shown, or its 24 hours are over: it is kept no longer, and an administrator sets another in \
    the portal";

const LOST: &str = "the password that was to be handed off is lost: an administrator sets one in the portal";

/// Said where a create was found to have happened, but not by its own answer.
pub(super) const PERHAPS_OTHERS: &str = "the create's own answer was lost: had somebody else created the same user at \
    that moment, the password that is handed off would not be theirs; if it is refused, an administrator sets another in \
    the portal";

/// Said where somebody else made the user.
pub(super) const OTHERS: &str =
    "no send of this operation created the user: somebody else did, with another password";

/// A first password, for the eyes of one person.
#[derive(Debug)]
pub struct FirstPassword {
    /// The user's address.
    pub user: String,
    /// What the user signs in with.
    pub password: SecretString,
}

/// The password is made, sent once and forgotten.
fn discarded(how: &str) -> InitialPassword {
    InitialPassword { delivery: "discarded".into(), how: Some(how.into()) }
}

/// Whether the first password is to be handed to a person.
pub(super) fn is_handed_off(details: &Details) -> bool {
    details.initial_password.as_ref().is_some_and(|p| p.delivery == HANDOFF)
}

/// The fate of a password that was to be handed off, and of which nothing is left.
pub(super) fn lost() -> InitialPassword {
    discarded(LOST)
}

/// How a report tells the fate of a first password; `kept` says that it still waits for somebody.
pub(super) async fn tell(
    report: &mut Report,
    operation: &Operation,
    store: &Store,
    page: impl FnOnce() -> Option<String>,
) -> Result<(), Failure> {
    let Some(password) = &mut report.initial_password else { return Ok(()) };
    let cli = format!("`zia-mcp password {}` at a terminal", operation.id);
    let how = match operation.state {
        // Nobody was created.
        State::Declined | State::Expired | State::Changed | State::Failed => {
            report.initial_password = None;
            return Ok(());
        }
        _ if password.delivery != HANDOFF => return Ok(()),
        State::Planned => PLANNED.into(),
        State::Verified | State::Activating | State::NotActive | State::Done => {
            if store.keeps_password(&operation.id).await? {
                let page = page().map(|url| format!(", or {url}")).unwrap_or_default();
                format!("a person sees it once, within 24 hours: {cli}{page}")
            } else {
                GONE.into()
            }
        }
        _ => format!("{KEPT}{cli}"),
    };
    password.how = Some(how);
    Ok(())
}

impl Lifecycle {
    /// What becomes of the first password of a user who is to be created.
    pub(crate) fn initial_password(&self) -> InitialPassword {
        if self.settings.handoff {
            InitialPassword { delivery: HANDOFF.into(), how: None }
        } else {
            discarded(DISCARDED)
        }
    }

    /// The password that a create sends; every send of one operation carries the same, if it is kept.
    pub(super) async fn password_to_send(
        &self,
        operation: &Operation,
        details: &Details,
    ) -> Result<Option<SecretString>, Failure> {
        if Wish::of(operation.action) != Some(Wish::Create) {
            return Ok(None);
        }
        let fresh = password::generate(&mut rand::rng());
        if !is_handed_off(details) {
            return Ok(Some(fresh));
        }
        Ok(Some(self.store.keep_password(operation, fresh).await?))
    }
}

impl Records {
    /// Shows a first password, once; `by` is the approver who proved themself, `None` at the terminal.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none to be seen, which says why; `STORE_UNAVAILABLE`,
    /// `AUDIT_UNAVAILABLE`: it may count as shown then.
    pub async fn take_password(
        &self,
        id: &OperationId,
        by: Option<&str>,
        channel: &str,
    ) -> Result<FirstPassword, Failure> {
        let operation = self.store.operation(id).await?.ok_or_else(no_such_operation)?;
        let approver = by.map(|name| self.store.approver_digest(name));
        let audit = entry("password.shown", [("channel", channel.into()), ("approver", approver.into())]);
        let password = match self.store.take_password(id, audit).await? {
            Handed::Password(password) => password,
            Handed::Nothing => return Err(none("this operation keeps no password for anybody".into())),
            Handed::NotYet => {
                let message = "the user is not known to be created yet, so nobody sees the password";
                let next = "look at the operation with `zia-mcp operations`, and try again once it is done";
                return Err(Failure::new(Code::NotFound, message, next));
            }
            Handed::Taken(at) => return Err(none(format!("the password was shown already, on {at:.0}"))),
            Handed::Expired => return Err(none("nobody asked for the password within 24 hours".into())),
        };
        let user = match Details::of(&operation).user {
            Some(Subject::User(user)) => user.email,
            Some(Subject::Draft(draft)) => draft.email,
            None => String::new(),
        };
        Ok(FirstPassword { user, password })
    }

    /// Destroys the passwords that nobody asked for in time; how many these were.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `AUDIT_UNAVAILABLE`.
    pub async fn expire_passwords(&self) -> Result<u64, Failure> {
        Ok(self.store.expire_passwords().await?)
    }
}

fn none(message: String) -> Failure {
    Failure::new(Code::NotFound, message, "an administrator sets another one in the portal")
}
