//! Every endpoint: typed request in, typed value out, no I/O.

mod departments;
mod eusa;
mod groups;
mod session;
mod status;
mod token;
mod users;

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

pub(super) use departments::ListDepartments;
pub(super) use eusa::ReadEusa;
pub(super) use groups::ListGroups;
pub use groups::ListQuery;
pub(super) use session::{SignIn, SignOut, SignedIn};
pub use status::ActivationStatus;
pub(super) use status::{Activate, ReadStatus};
pub(super) use token::{Proof, Token, TokenRequest};
pub(super) use users::{CreateUser, DeleteUser, DeleteUsers, ListRows, ListUsers, ReadUser, ReplaceUser};
pub use users::{NewUser, UserQuery, UserReplacement};

/// An endpoint: what limits are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    ListUsers,
    ReadUser,
    CreateUser,
    ReplaceUser,
    DeleteUser,
    DeleteUsers,
    ListGroups,
    ListDepartments,
    Status,
    Activate,
    Eusa,
    SignIn,
    SignOut,
    Token,
}

impl Endpoint {
    pub(super) const ALL: [Self; 14] = [
        Self::ListUsers,
        Self::ReadUser,
        Self::CreateUser,
        Self::ReplaceUser,
        Self::DeleteUser,
        Self::DeleteUsers,
        Self::ListGroups,
        Self::ListDepartments,
        Self::Status,
        Self::Activate,
        Self::Eusa,
        Self::SignIn,
        Self::SignOut,
        Self::Token,
    ];

    /// Method and path template.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ListUsers => "GET /users",
            Self::ReadUser => "GET /users/{id}",
            Self::CreateUser => "POST /users",
            Self::ReplaceUser => "PUT /users/{id}",
            Self::DeleteUser => "DELETE /users/{id}",
            Self::DeleteUsers => "POST /users/bulkDelete",
            Self::ListGroups => "GET /groups",
            Self::ListDepartments => "GET /departments",
            Self::Status => "GET /status",
            Self::Activate => "POST /status/activate",
            Self::Eusa => "GET /eusaStatus/latest",
            Self::SignIn => "POST /authenticatedSession",
            Self::SignOut => "DELETE /authenticatedSession",
            Self::Token => "POST /oauth2/v1/token",
        }
    }

    pub(super) fn method(self) -> Method {
        match self {
            Self::CreateUser | Self::DeleteUsers | Self::Activate | Self::SignIn | Self::Token => {
                Method::POST
            }
            Self::ReplaceUser => Method::PUT,
            Self::DeleteUser | Self::SignOut => Method::DELETE,
            Self::ListUsers
            | Self::ReadUser
            | Self::ListGroups
            | Self::ListDepartments
            | Self::Status
            | Self::Eusa => Method::GET,
        }
    }

    /// Whether a repeat could do something twice.
    pub(super) fn is_write(self) -> bool {
        self.method() != Method::GET
    }

    /// Whether it changes the tenant, or publishes what was changed.
    pub(super) fn edits(self) -> bool {
        matches!(
            self,
            Self::CreateUser | Self::ReplaceUser | Self::DeleteUser | Self::DeleteUsers | Self::Activate
        )
    }

    /// The longest answer that is read, in bytes.
    pub(super) fn max_body(self) -> usize {
        const MIB: usize = 1 << 20;
        match self {
            Self::ListUsers | Self::ListGroups | Self::ListDepartments => 64 * MIB,
            _ => MIB,
        }
    }
}

/// A call of the tenant's API: what is sent and what its answer means.
pub(super) trait Call: Send + Sync {
    /// What a good answer is read into.
    type Output;
    const ENDPOINT: Endpoint;
    /// Whether a good status alone says too little.
    const NEEDS_BODY: bool = true;

    /// Path and query, to follow the base URL.
    fn target(&self) -> String;

    /// The JSON body, made only when it is sent.
    fn body(&self) -> Option<Zeroizing<Vec<u8>>> {
        None
    }

    /// Reads the body of an answer with a good status.
    fn decode(&self, body: &[u8]) -> Result<Self::Output, Unreadable>;
}

/// Why a body has no meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It ends too early.
    Cut,
    /// It is something else than was expected.
    Shape,
}

/// Reads JSON, with invalid UTF-8 replaced and a byte order mark passed over.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Unreadable> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{FEFF}');
    serde_json::from_str(text).map_err(|e| if e.is_eof() { Unreadable::Cut } else { Unreadable::Shape })
}

/// Writes JSON into memory that is wiped after use.
pub(super) fn write_json(value: &impl Serialize) -> Option<Zeroizing<Vec<u8>>> {
    serde_json::to_vec(value).ok().map(Zeroizing::new)
}

/// Everything but RFC 3986's unreserved characters; a space becomes `%20`, never `+` (zia-facts §3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(super) fn escape(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, RESERVED)
}

/// A query string being written.
pub(super) struct Query(String);

impl Query {
    pub(super) fn of(path: &str) -> Self {
        Self(path.to_owned())
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        let joint = if self.0.contains('?') { '&' } else { '?' };
        self.0.extend([joint.to_string(), name.to_owned(), "=".to_owned(), escape(value).to_string()]);
        self
    }

    pub(super) fn maybe(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    pub(super) fn end(self) -> String {
        self.0
    }
}
