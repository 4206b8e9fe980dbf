//! Words without I/O that every room shares.

mod actor;
mod budget;
mod clock;
mod ids;
mod loopback;
mod operation;
mod permit;
mod scope;
mod surrogates;
mod text;
mod user;

pub use actor::{Actor, Caller, Channel, Rights, Source};
pub use budget::{
    Ask, CallAccount, Cap, Granted, LONGEST_CLOSURE, Left, Lessons, ON_ITS_WAY, Per, Purpose, Terms, Ticket,
    Unaccounted, Window, opens, remaining, reserve,
};
pub use clock::Clock;
pub use ids::{CaptureId, Digest, OperationId, UserId, canonical_json};
pub use loopback::is_loopback;
pub use operation::{Action, Operation, State};
pub use permit::{SendPermit, Write};
pub use scope::{Scope, Scopes};
pub use surrogates::mend_surrogates;
pub use text::{hides, looks_like_another, reads_like_another, shown, unwritable, visible};
pub use user::{Email, EmailError, Named, User, UserRef, UserRefError};
