//! What is noted on an operation while it is carried out.

use crate::model::{State, Write};

pub(super) const TOO_LATE: &str = "approved, but not carried out in time; nothing was sent; ask again";

pub(super) const GONE_ALREADY: &str = "the user was gone already before anything was sent";

/// Said of a user who is not as approved any more.
pub(super) fn changed(before: State) -> String {
    let nothing = if before == State::Approved { "sent" } else { "applied" };
    format!("the user changed between the approval and the write; nothing was {nothing}; ask again")
}

pub(super) const THERE_ALREADY: &str =
    "a user with this address, name, department and groups exists already: ZIA refused to create another";

pub(super) const ABSENT_ALREADY: &str =
    "ZIA answered that there is no such user: it was absent already, not deleted by this operation";

/// What ZIA refuses a create for, most often.
pub(super) const REFUSED_CREATE: &str = "ZIA refused the values: it takes addresses only in domains that are registered \
     for the tenant, and departments and groups that still exist";

pub(super) const STOPPED: &str = "the server stopped before the outcome was known; it reads ZIA to settle it";

pub(super) const SENT_AGAIN: &str =
    "ZIA showed that the write had no effect; it was sent again under the same approval";

pub(super) const BY_ABSENCE: &str = "deleted: confirmed by the user's absence";

pub(super) const CREATED_BY_READING: &str = "the user was found as asked for: the create took effect, unless somebody else made the very same user meanwhile";

pub(super) const REPLACED_BY_READING: &str = "the user was read as asked for: the change took effect";

pub(super) const NOT_DELETED_AND_CHANGED: &str =
    "the user is still there and was changed meanwhile: the delete did not take effect";

/// Said when ZIA answered that it did the write, and goes on showing that it did not.
pub(super) fn contradicted(write: Write) -> String {
    let name = name(write);
    format!(
        "ZIA answered that it did the {name}, and goes on showing the user as before: it may have been undone"
    )
}

/// Said when ZIA answered that it wrote what it does not show.
pub(super) fn unmet(fields: &[String]) -> String {
    format!(
        "not done, or undone at once: {}; whatever else was asked for is applied; look at the user with find_user, \
         then ask again",
        fields.join(", ")
    )
}

/// Said while the outcome of a write is not known.
pub(super) fn lost(write: Write) -> String {
    format!("ZIA's reply to the {} was lost; the server reads ZIA until that is settled", name(write))
}

/// Said when ZIA shows what was there before, and no send is left.
pub(super) fn no_effect(write: Write) -> String {
    format!("ZIA shows that the {} did not take effect; it may be asked for again", name(write))
}

/// Said when ZIA answered that it did the write and shows what was there before.
pub(super) fn not_confirmed(write: Write) -> String {
    format!("ZIA answered that it did the {}, but reading could not confirm it", name(write))
}

fn name(write: Write) -> &'static str {
    match write {
        Write::CreateUser => "create",
        Write::ReplaceUser(_) => "change",
        Write::DeleteUser(_) | Write::DeleteUsers => "delete",
        Write::Activate => "activation",
    }
}
