//! Named faults that a test or an operator switches on.

mod book;

pub(super) use book::FaultBook;
use serde::{Deserialize, Serialize};

use super::Endpoint;

/// Something that goes wrong, or another way that real tenants behave.
///
/// The names over HTTP are the variants in snake_case; they and the parameters are stable. Those
/// that say "not applied" strike before the tenant looks at the call, even at its session; those
/// that say "applied" strike only calls that succeeded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The connection is closed before anything was done.
    ReplyLostBeforeApply,
    /// The connection is closed after the call was carried out.
    ReplyLostAfterApply,
    /// No answer ever comes.
    Hang {
        /// Whether the call is carried out first.
        #[serde(default)]
        applied: bool,
    },
    /// The call waits before it is looked at.
    Delay {
        /// For how long, in milliseconds.
        ms: u64,
    },
    /// The head arrives whole, the body in small pieces.
    SlowDrip {
        /// Bytes per piece.
        bytes: usize,
        /// Milliseconds between pieces.
        every_ms: u64,
    },
    /// The connection is closed within the body.
    TruncatedBody {
        /// Bytes that still arrive; half of them when absent.
        #[serde(default)]
        after: Option<usize>,
    },
    /// The body claims to be gzip and is not.
    BadGzip,
    /// An HTML page instead of JSON, such as a portal's or a proxy's.
    HtmlPage {
        /// Its status, 200 when absent.
        #[serde(default = "ok")]
        status: u16,
        /// Whether the call is carried out first.
        #[serde(default)]
        applied: bool,
    },
    /// `UNEXPECTED_ERROR`, as JSON; as HTML for any status but 500.
    ServerError {
        /// Its status.
        status: u16,
        /// Whether the call is carried out first.
        #[serde(default)]
        applied: bool,
    },
    /// 500 without a body, not applied (zia-facts §3.6).
    #[serde(rename = "empty_500")]
    Empty500,
    /// 404 without a body, not applied, as a proxy or the vendor answers it (zia-facts §3.6).
    #[serde(rename = "bare_404")]
    Bare404,
    /// Any answer at all.
    AnswerWith {
        /// Its status.
        status: u16,
        /// Its content type, JSON when absent.
        #[serde(default = "json")]
        content_type: String,
        /// Its body, as text.
        body: String,
        /// Whether the call is carried out first.
        #[serde(default)]
        applied: bool,
    },
    /// A redirect to another host, not applied.
    Redirect {
        /// Where to, `http://redirected.invalid/` when absent.
        #[serde(default = "elsewhere")]
        location: String,
    },
    /// 429 in a chosen spelling, not applied.
    TooManyRequests {
        /// The `retry-after` header; none when absent.
        #[serde(default)]
        header: Option<String>,
        /// The body; the recorded one when absent (zia-facts §5).
        #[serde(default)]
        body: Option<String>,
    },
    /// 401 "Resource Access Blocked": overload, not a credential error (zia-facts §1.4).
    ResourceAccessBlocked,
    /// 412 "Failed during enter Org barrier": a lock (zia-facts §4).
    OrgBarrier,
    /// The call is held, then refused with `EDIT_LOCK_NOT_AVAILABLE` (zia-facts §4).
    EditLock {
        /// For how long, in milliseconds; the tenant's own hold when absent.
        #[serde(default)]
        hold_ms: Option<u64>,
    },
    /// The caller's session is over when the call arrives (zia-facts §1.4).
    SessionExpired,
    /// A refused session is told in plain text instead of JSON (zia-facts §1.4).
    SessionText {
        /// The text, `SESSION_NOT_VALID` when absent.
        #[serde(default = "session_not_valid")]
        text: String,
    },
    /// A wrong password is told with the documented code instead of the one seen (zia-facts §1.4).
    DocumentedLoginError,
    /// A sign-in says nothing about the password's expiry (zia-facts §1.2).
    NoPasswordExpiry,
    /// The tenant's clock is wrong.
    ClockSkew {
        /// Milliseconds ahead; negative is behind.
        ms: i64,
    },
    /// The token endpoint answers 400 to a request with `audience` (zia-facts §2).
    AudienceRefused,
    /// Activation is answered with an error and publishes nothing.
    ActivationFails {
        /// Its status, 500 when absent.
        #[serde(default = "internal")]
        status: u16,
    },
    /// Activation is answered with `ACTIVE` and publishes nothing.
    ActivationLies,
    /// Activation is answered with `INPROGRESS`.
    ActivationSticks {
        /// It is through at this many reads of the status; never when absent.
        #[serde(default)]
        reads: Option<u32>,
    },
    /// Activation is queued: answered with `PENDING`.
    ActivationQueues {
        /// It is through at this many reads of the status; never when absent.
        #[serde(default)]
        reads: Option<u32>,
    },
    /// The end user agreement is not accepted: changes do not activate (zia-facts §3.5).
    EusaUnaccepted,
    /// Maintenance: writes are refused, reads go on (zia-facts §4).
    ReadOnly,
    /// A write is not seen by the next reads of that user, by id or in a list.
    ReadAfterWriteLag {
        /// How many reads are stale.
        reads: u32,
    },
    /// A bulk delete leaves the last users out and says so.
    BulkDeleteDrops {
        /// How many.
        users: usize,
    },
    /// A bulk delete answers 204 instead of 200 with ids (zia-facts §3.2).
    #[serde(rename = "bulk_delete_answers_204")]
    BulkDeleteAnswers204,
    /// A delete answers 200 instead of 204 (zia-facts §3.2).
    #[serde(rename = "delete_answers_200")]
    DeleteAnswers200,
    /// By id, name and e-mail are encoded (zia-facts §3.2).
    EncodedById,
    /// `name=` does not look at e-mail addresses (zia-facts §3.2).
    NameFilterIgnoresEmail,
    /// Every page has 100 rows, whatever was asked for (zia-facts §8, py#230).
    PageSizeIgnored,
    /// No page has more rows than this.
    PageSizeCap {
        /// Rows.
        rows: usize,
    },
    /// Pages after the first start too early or too late, as when users come and go meanwhile.
    PageShift {
        /// Rows that come again; negative are missed.
        rows: i64,
    },
    /// The last rows of a page come twice.
    DuplicateRows {
        /// How many.
        rows: usize,
    },
    /// Another administrator changes the user's comments, live at once.
    OtherAdminChanges {
        /// Which user; the one that the call names when absent.
        #[serde(default)]
        user: Option<u64>,
        /// Right after the call was carried out instead of right before.
        #[serde(default)]
        after: bool,
    },
    /// Another administrator deletes the user, live at once.
    OtherAdminDeletes {
        /// Which user; the one that the call names when absent.
        #[serde(default)]
        user: Option<u64>,
        /// Right after the call was carried out instead of right before.
        #[serde(default)]
        after: bool,
    },
    /// After a delete, a directory makes the user anew: the same fields, another id (guardrails F50).
    RecreatedAfterDelete,
    /// A PUT that changes the e-mail address is refused instead of keeping the old one.
    EmailChangeRefused,
    /// Unknown fields of a body are ignored instead of refused, for older SDKs.
    UnknownFieldsIgnored,
}

impl Fault {
    /// Strikes only this endpoint.
    pub fn on(self, endpoint: Endpoint) -> FaultRule {
        FaultRule { endpoint: Some(endpoint), ..self.into() }
    }

    /// Strikes only this many times.
    pub fn times(self, count: u32) -> FaultRule {
        FaultRule::from(self).times(count)
    }

    /// Its name over HTTP.
    pub fn name(&self) -> String {
        let name = match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(fields)) => fields.keys().next().cloned(),
            Ok(serde_json::Value::String(name)) => Some(name),
            _ => None,
        };
        name.unwrap_or_default()
    }
}

/// A fault, and which calls it strikes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FaultRule {
    /// What goes wrong.
    pub fault: Fault,
    /// Where; everywhere when absent.
    pub endpoint: Option<Endpoint>,
    /// How many calls are spared first.
    pub skip: u32,
    /// How many times it strikes; until it is switched off when absent.
    pub count: Option<u32>,
}

impl From<Fault> for FaultRule {
    fn from(fault: Fault) -> Self {
        Self { fault, endpoint: None, skip: 0, count: None }
    }
}

impl FaultRule {
    /// Strikes only this many times.
    pub fn times(self, count: u32) -> Self {
        Self { count: Some(count), ..self }
    }

    /// Spares this many calls first.
    pub fn after(self, skip: u32) -> Self {
        Self { skip, ..self }
    }
}

fn ok() -> u16 {
    200
}

fn internal() -> u16 {
    500
}

fn json() -> String {
    "application/json".to_owned()
}

fn elsewhere() -> String {
    "http://redirected.invalid/".to_owned()
}

fn session_not_valid() -> String {
    "SESSION_NOT_VALID".to_owned()
}
