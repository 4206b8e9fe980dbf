//! What a call of the client can end in.

use std::{fmt, time::Duration};

use jiff::Timestamp;

/// Why a sign-in failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInProblem {
    /// ZIA refused it, or refuses a session or token it just gave.
    Refused,
    /// Not tried: credentials were refused less than 15 minutes ago, and more tries may lock the account.
    CircuitOpen,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No sign-in: credentials, cloud host or clock.
    SignIn(SignInProblem),
    /// ZIA itself says that there is no such object.
    NotFound,
    /// An object with the same identity exists.
    Duplicate,
    /// A refusal that asking again will not change.
    Refused,
    /// The signed-in account may not do this.
    Forbidden,
    /// The tenant is in read-only mode for maintenance.
    ReadOnly,
    /// Another session held the edit lock for as long as the caller could wait.
    EditLocked,
    /// A limit is used up until then, later than the caller could wait.
    RateLimited {
        /// When a call may be made again.
        retry_at: Timestamp,
    },
    /// Nothing was sent: the call could not be counted in the store that all processes share.
    Unaccounted,
    /// No connection, or it was lost.
    Unreachable,
    /// No whole answer in time.
    TimedOut,
    /// An answer that is not ZIA's: a web page, a redirect, a cut or strange body.
    Garbled,
    /// ZIA failed with a 5xx status.
    Server,
}

/// Whether a write may have been applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landed {
    /// Certainly not applied; always so for a read.
    No,
    /// May have been applied.
    Unknown,
}

/// How far an exchange came before its connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Looking up the host name.
    Lookup,
    /// Opening the connection.
    Connect,
    /// Agreeing on TLS: certificate, name or protocol.
    Tls,
    /// Waiting for the answer to begin.
    Headers,
    /// Reading the answer.
    Body,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Self::Lookup => "name lookup",
            Self::Connect => "connecting",
            Self::Tls => "TLS handshake",
            Self::Headers => "waiting for the answer",
            Self::Body => "reading the answer",
        }
    }
}

/// A call that failed, with the effort it took.
///
/// Holds no secret, no body and no tenant text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What happened.
    pub kind: Kind,
    /// Method and path template, such as `GET /users/{id}`.
    pub endpoint: &'static str,
    /// The vendor's code, of the form `[A-Z0-9_]{1,64}`.
    pub code: Option<String>,
    /// Requests sent for this call, sign-ins aside.
    pub attempts: u32,
    /// Time spent, waiting included.
    pub elapsed: Duration,
    /// The vendor's id of the last request, if it gave one.
    pub request_id: Option<String>,
    /// Whether a write may have been applied.
    pub landed: Landed,
    /// Where a connection failed.
    pub phase: Option<Phase>,
}

impl Kind {
    /// Its name, for those who count.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::SignIn(SignInProblem::Refused) => "sign_in_refused",
            Self::SignIn(SignInProblem::CircuitOpen) => "sign_in_suspended",
            Self::NotFound => "not_found",
            Self::Duplicate => "duplicate",
            Self::Refused => "refused",
            Self::Forbidden => "forbidden",
            Self::ReadOnly => "read_only",
            Self::EditLocked => "edit_locked",
            Self::RateLimited { .. } => "rate_limited",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Garbled => "garbled",
            Self::Server => "server",
            Self::Unaccounted => "unaccounted",
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::SignIn(SignInProblem::Refused) => {
                "the sign-in was refused: check credentials, cloud host and clock".into()
            }
            Self::SignIn(SignInProblem::CircuitOpen) => {
                "sign-in is suspended after refused credentials: check credentials, cloud host and clock"
                    .into()
            }
            Self::NotFound => "there is no such object in the tenant".into(),
            Self::Duplicate => "an object with the same identity exists".into(),
            Self::Refused => "the request was refused".into(),
            Self::Forbidden => "the signed-in account may not do this".into(),
            Self::ReadOnly => "the tenant is in read-only mode for maintenance".into(),
            Self::EditLocked => "another session holds the tenant's edit lock".into(),
            Self::RateLimited { retry_at } => format!("the rate limit is used up until {retry_at:.0}"),
            Self::Unaccounted => "nothing was sent, because the call cannot be counted in the store".into(),
            Self::Unreachable => "the connection failed".into(),
            Self::TimedOut => "no whole answer came in time".into(),
            Self::Garbled => "the answer is not one of ZIA's".into(),
            Self::Server => "the service failed".into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind.sentence())?;
        if self.landed == Landed::Unknown {
            f.write_str("; the change may have been applied")?;
        }
        let seconds = self.elapsed.as_secs_f64();
        match self.attempts {
            // The sign-in, which is not counted, failed before the call was sent.
            0 => write!(f, " ({}, {seconds:.1} s", self.endpoint)?,
            1 => write!(f, " ({}, 1 attempt in {seconds:.1} s", self.endpoint)?,
            many => write!(f, " ({}, {many} attempts in {seconds:.1} s", self.endpoint)?,
        }
        if let Some(phase) = self.phase {
            write!(f, ", while {}", phase.as_str())?;
        }
        if let Some(code) = &self.code {
            write!(f, ", code {code}")?;
        }
        if let Some(id) = &self.request_id {
            write!(f, ", request id {id}")?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_what_happened_and_the_effort_spent() {
        let error = Error {
            kind: Kind::EditLocked,
            endpoint: "DELETE /users/{id}",
            code: Some("EDIT_LOCK_NOT_AVAILABLE".into()),
            attempts: 3,
            elapsed: Duration::from_millis(41_240),
            request_id: Some("r-1".into()),
            landed: Landed::No,
            phase: None,
        };
        assert_eq!(
            error.to_string(),
            "another session holds the tenant's edit lock (DELETE /users/{id}, 3 attempts in 41.2 s, \
             code EDIT_LOCK_NOT_AVAILABLE, request id r-1)"
        );
        let lost = Error {
            kind: Kind::TimedOut,
            attempts: 1,
            landed: Landed::Unknown,
            code: None,
            request_id: None,
            phase: Some(Phase::Headers),
            ..error
        };
        assert_eq!(
            lost.to_string(),
            "no whole answer came in time; the change may have been applied \
             (DELETE /users/{id}, 1 attempt in 41.2 s, while waiting for the answer)"
        );
    }
}
