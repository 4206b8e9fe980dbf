//! Why the store could not do something.

mod tls;

use std::path::PathBuf;

use jiff::Timestamp;
use sqlx::postgres::PgDatabaseError;

use super::engine::postgres;

/// Why the store could not do something.
///
/// No variant holds stored text, bound values or key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Others could read or replace what must be private (T35).
    #[error("{} {problem}; {remedy}", path.display())]
    Insecure {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
        /// What to do about it, with the command where there is one.
        remedy: String,
    },
    /// No disk, no space, or no answer within two seconds.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The database server could lose what it confirms, or takes no writes (F10).
    #[error("nothing is recorded on this database server: {0}")]
    Unfit(&'static str),
    /// The key is missing beside existing data, is damaged, or belongs to another store (F46).
    #[error("the key file is missing, damaged or of another store; put the store's own key file back")]
    WrongKey,
    /// The database is gone or empty, and its checkpoints are still there (F3, F4).
    #[error("{} is gone or empty, and is not made anew: its checkpoints are still there", .0.display())]
    Lost(PathBuf),
    /// A newer version of the program wrote the database (F11).
    #[error("the store was written by a newer version of zia-mcp; run that version")]
    NewerSchema,
    /// A stored record is damaged, or was changed from outside.
    #[error("a stored record is damaged or was changed from outside")]
    Corrupt,
    /// The record changed since it was read, or another open one is in the way.
    #[error("the operation changed meanwhile, or another open one is in the way")]
    Conflict,
    /// There is no such record.
    #[error("no such record")]
    NotFound,
    /// The capture's key was destroyed.
    #[error("the capture was purged on {at:.0}")]
    Purged {
        /// When.
        at: Timestamp,
    },
    /// The operation's state, approval or capture does not allow this step.
    #[error("the operation is not approved for this step, or its before-image is not safe")]
    NotApproved,
    /// The write was sent as often as it may be.
    #[error("the write was already sent as often as it may be")]
    SendsExhausted,
    /// The audit record could not be written, so nothing was done.
    #[error("the audit trail cannot be written, so nothing was done")]
    AuditUnavailable,
}

impl StoreError {
    pub(super) fn insecure(path: &std::path::Path, problem: &'static str, remedy: String) -> Self {
        Self::Insecure { path: path.to_owned(), problem, remedy }
    }

    pub(super) fn unavailable(what: impl Into<String>) -> Self {
        Self::Unavailable(what.into())
    }

    /// An I/O error at a path, by its kind.
    pub(super) fn io(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::Unavailable(format!("{}: {}", path.display(), error.kind()))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match error {
            E::Database(error) if error.is_unique_violation() => Self::Conflict,
            E::Database(error) if error.is_foreign_key_violation() => Self::NotFound,
            E::Database(error) if error.try_downcast_ref::<PgDatabaseError>().is_some() => {
                postgres::of_code(&error.code().unwrap_or_default())
            }
            E::Database(error) => of_code(error.code().and_then(|code| code.parse().ok())),
            E::RowNotFound => Self::NotFound,
            E::ColumnDecode { .. } | E::Decode(_) | E::ColumnNotFound(_) => Self::Corrupt,
            E::PoolTimedOut => Self::unavailable("busy for too long, or out of reach"),
            E::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
                Some(handshake) => Self::unavailable(tls::of_handshake(handshake)),
                None => Self::Unavailable(error.kind().to_string()),
            },
            E::Tls(error) => Self::unavailable(tls::of_setup(&*error)),
            E::Configuration(error) => error
                .downcast::<Self>()
                .map_or_else(|_| Self::unavailable("the database cannot be opened"), |reason| *reason),
            _ => Self::unavailable("the database connection failed"),
        }
    }
}

/// Whether the disk has no room for it.
pub(super) fn is_full(error: &sqlx::Error) -> bool {
    let of_file = |e: &&dyn sqlx::error::DatabaseError| e.try_downcast_ref::<PgDatabaseError>().is_none();
    let code = error.as_database_error().filter(of_file).and_then(|e| e.code()?.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == 13)
}

/// Sorts SQLite's result codes; the low byte is the primary one.
fn of_code(code: Option<u32>) -> StoreError {
    let why = match code.unwrap_or_default() & 0xff {
        11 | 26 => return StoreError::Corrupt,
        5 | 6 => "another process held the lock for too long",
        8 => "the database is read-only",
        10 => "the disk failed",
        13 => "the disk is full",
        14 => "the database cannot be opened",
        _ => "the database refused a statement",
    };
    StoreError::unavailable(why)
}
