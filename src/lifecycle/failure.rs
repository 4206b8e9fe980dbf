//! What a caller can mend, as the tools' errors say it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    model::OperationId,
    store::StoreError,
    zia::{self, Kind},
};

/// The kind of a tool error (contract §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)] // the names are the contract's
pub enum Code {
    InvalidArgument,
    NotFound,
    Ambiguous,
    AlreadyExists,
    Protected,
    LimitExceeded,
    Conflict,
    RateLimited,
    SignInFailed,
    TenantReadOnly,
    EditLocked,
    Upstream,
    StoreUnavailable,
    AuditUnavailable,
    Forbidden,
}

impl Code {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::NotFound => "NOT_FOUND",
            Self::Ambiguous => "AMBIGUOUS",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::Protected => "PROTECTED",
            Self::LimitExceeded => "LIMIT_EXCEEDED",
            Self::Conflict => "CONFLICT",
            Self::RateLimited => "RATE_LIMITED",
            Self::SignInFailed => "SIGN_IN_FAILED",
            Self::TenantReadOnly => "TENANT_READ_ONLY",
            Self::EditLocked => "EDIT_LOCKED",
            Self::Upstream => "UPSTREAM",
            Self::StoreUnavailable => "STORE_UNAVAILABLE",
            Self::AuditUnavailable => "AUDIT_UNAVAILABLE",
            Self::Forbidden => "FORBIDDEN",
        }
    }

    /// Whether the same call may succeed later without being changed.
    fn retryable(self) -> bool {
        matches!(
            self,
            Self::RateLimited
                | Self::TenantReadOnly
                | Self::EditLocked
                | Self::Upstream
                | Self::StoreUnavailable
                | Self::AuditUnavailable
        )
    }
}

/// One thing that a name could have meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// ZIA id.
    pub id: i64,
    /// Name or address; tenant text.
    pub name: String,
}

/// A refusal: what happened and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind.
    pub code: Code,
    /// What happened.
    pub message: String,
    /// What to do next.
    pub next: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// When it may, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// The argument at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What the caller could have meant, at most ten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidates: Option<Vec<Candidate>>,
    /// The operation it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<OperationId>,
}

impl Failure {
    /// The most candidates a refusal lists.
    pub const MAX_CANDIDATES: usize = 10;

    /// A refusal with its two sentences.
    pub fn new(code: Code, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            next: next.into(),
            retryable: code.retryable(),
            retry_at: None,
            field: None,
            candidates: None,
            operation_id: None,
        }
    }

    /// A bad argument, by name.
    pub fn argument(field: &str, message: impl Into<String>) -> Self {
        let next = format!("correct `{field}` and call again");
        Self { field: Some(field.to_owned()), ..Self::new(Code::InvalidArgument, message, next) }
    }

    /// The same, naming the argument at fault.
    pub fn at(mut self, field: &str) -> Self {
        self.field = Some(field.to_owned());
        self
    }

    /// The same, with what could have been meant.
    pub fn among(mut self, mut candidates: Vec<Candidate>) -> Self {
        candidates.truncate(Self::MAX_CANDIDATES);
        self.candidates = (!candidates.is_empty()).then_some(candidates);
        self
    }

    /// The same, for an operation.
    pub fn of(mut self, operation: &OperationId) -> Self {
        self.operation_id = Some(operation.clone());
        self
    }

    /// The same, with the time from which a retry makes sense.
    pub fn retry_at(mut self, at: Timestamp) -> Self {
        self.retry_at = Some(at);
        self
    }
}

impl From<zia::Error> for Failure {
    fn from(error: zia::Error) -> Self {
        let (code, next) = match &error.kind {
            Kind::SignIn(_) => (
                Code::SignInFailed,
                "check the credentials, the cloud host and the clock (`zia-mcp doctor` checks each), then restart",
            ),
            Kind::NotFound => (Code::NotFound, "look the user up again with find_user"),
            Kind::Duplicate => (Code::AlreadyExists, "look the user up with find_user"),
            Kind::Refused => (Code::Upstream, "check the values against the tenant's rules"),
            Kind::Forbidden => (Code::Forbidden, "check the role of the API administrator in ZIA"),
            Kind::ReadOnly => (Code::TenantReadOnly, "ZIA is in read-only maintenance; try again later"),
            Kind::EditLocked => {
                (Code::EditLocked, "another administrator holds the edit lock; try again in a minute")
            }
            Kind::RateLimited { .. } => (Code::RateLimited, "call again at `retry_at`"),
            Kind::Unaccounted => (
                Code::StoreUnavailable,
                "mend the store (`zia-mcp doctor` looks at it); calls are counted there before they are sent",
            ),
            Kind::Unreachable => (Code::Upstream, "check the network and the configured cloud host"),
            Kind::TimedOut | Kind::Server => (Code::Upstream, "try again in a minute"),
            Kind::Garbled => {
                (Code::Upstream, "the answer was not ZIA's: check the configured cloud host and any proxy")
            }
        };
        let failure = Self::new(code, error.to_string(), next);
        match error.kind {
            Kind::RateLimited { retry_at } => failure.retry_at(retry_at),
            Kind::Refused => Self { retryable: false, ..failure },
            _ => failure,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let (code, next) = match &error {
            StoreError::AuditUnavailable => (Code::AuditUnavailable, "free the audit store, then call again"),
            StoreError::Conflict => (Code::Conflict, "read the operation with get_operation and call again"),
            StoreError::Purged { .. } => {
                (Code::NotFound, "it cannot be read any more; an export made before can")
            }
            StoreError::NotApproved | StoreError::SendsExhausted => {
                (Code::Conflict, "read the operation with get_operation")
            }
            StoreError::WrongKey => (
                Code::StoreUnavailable,
                "put the key file that belongs to the store back; no new key is made beside old data",
            ),
            StoreError::Corrupt => (
                Code::StoreUnavailable,
                "run `zia-mcp doctor`; if it finds damage, put a backup of the state directory in its place: nothing \
                 is repaired or made anew by itself",
            ),
            StoreError::Lost(_) => (
                Code::StoreUnavailable,
                "put a backup of the state directory in its place; to begin anew, name an empty one",
            ),
            StoreError::Insecure { .. } | StoreError::Unfit(_) => {
                (Code::StoreUnavailable, "do that, then call again")
            }
            _ => (
                Code::StoreUnavailable,
                "mend what is named here (`zia-mcp doctor` looks again); nothing more is sent to ZIA before that",
            ),
        };
        Self::new(code, error.to_string(), next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_counted_by_the_name_that_callers_see() {
        use Code::*;
        for code in [
            InvalidArgument,
            NotFound,
            Ambiguous,
            AlreadyExists,
            Protected,
            LimitExceeded,
            Conflict,
            RateLimited,
            SignInFailed,
            TenantReadOnly,
            EditLocked,
            Upstream,
            StoreUnavailable,
            AuditUnavailable,
            Forbidden,
        ] {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
