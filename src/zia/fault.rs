//! A failed step inside a call, before its effort is counted.

use http::StatusCode;
use jiff::Timestamp;

use super::error::{Kind, Landed, Phase, SignInProblem};

/// When a failed step is worth repeating, where nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    Never,
    /// After a short pause, a few times.
    Soon,
    /// After a long pause: someone else has to finish first.
    Later,
    /// When the endpoint opens again; the pacer knows.
    Opened,
    /// Once, with a new session or token.
    SignedIn,
}

/// A failed step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) again: Again,
    pub(super) landed: Landed,
    pub(super) code: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) phase: Option<Phase>,
}

impl Fault {
    fn new(kind: Kind, again: Again) -> Self {
        Self { kind, again, landed: Landed::No, code: None, request_id: None, phase: None }
    }

    /// No request can leave in the caller's time.
    pub(super) fn late() -> Self {
        Self::new(Kind::TimedOut, Again::Never)
    }

    /// A limit is used up for longer than the caller can wait.
    pub(super) fn paced(retry_at: Timestamp) -> Self {
        Self::new(Kind::RateLimited { retry_at }, Again::Never)
    }

    /// It cannot be counted, so it does not leave.
    pub(super) fn unaccounted() -> Self {
        Self::new(Kind::Unaccounted, Again::Never)
    }

    /// ZIA answered 429.
    pub(super) fn rate_limited(retry_at: Timestamp, request_id: Option<String>) -> Self {
        Self { request_id, ..Self::new(Kind::RateLimited { retry_at }, Again::Opened) }
    }

    /// Nothing was sent, and asking again changes nothing.
    pub(super) fn refused() -> Self {
        Self::new(Kind::Refused, Again::Never)
    }

    /// A sign-in that cannot be made or was not accepted.
    pub(super) fn sign_in(problem: SignInProblem) -> Self {
        Self::new(Kind::SignIn(problem), Again::Never)
    }

    /// An answer that is not ZIA's.
    pub(super) fn garbled() -> Self {
        Self::new(Kind::Garbled, Again::Never)
    }

    /// A connection that failed.
    pub(super) fn lost(kind: Kind, phase: Phase, landed: Landed) -> Self {
        Self { phase: Some(phase), landed, ..Self::new(kind, Again::Soon) }
    }

    /// The status that the reply is known to have had.
    pub(super) fn status(&self) -> Option<StatusCode> {
        (self.again == Again::Opened).then_some(StatusCode::TOO_MANY_REQUESTS)
    }

    /// Whether the step may be repeated without doing anything twice.
    pub(super) fn may_repeat(&self) -> bool {
        self.again != Again::Never && self.landed == Landed::No
    }
}
