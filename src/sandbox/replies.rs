//! What the sandbox tenant answers, before it is put on the wire.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::org::Org;
use super::user::{Shape, UserBody, UserRow};

/// A reply, or the vendor's refusal.
pub(super) type Answer = Result<Reply, Refusal>;

/// A reply to a call.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) content: Content,
    pub(super) delivery: Delivery,
    /// Whether the configuration was changed.
    pub(super) applied: bool,
    /// The fault that made the reply.
    pub(super) fault: Option<String>,
    /// For the journal only.
    pub(super) note: Option<&'static str>,
    /// A reply of the gateway itself, with few headers (zia-facts §2).
    pub(super) from_gateway: bool,
}

/// A reply's body.
pub(super) enum Content {
    Empty,
    Json(Value),
    Text { content_type: String, text: String },
    User(Arc<UserRow>, Arc<Org>, Shape),
    Users(Vec<Arc<UserRow>>, Arc<Org>, Shape),
}

/// How a reply gets to the caller.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    Whole,
    /// The connection is closed instead.
    Cut,
    /// Nothing ever comes.
    Never,
    /// The connection is closed after so many bytes of the body; half of them when `None`.
    Truncated(Option<usize>),
    Drip {
        bytes: usize,
        every: Duration,
    },
    /// The body is declared as gzip.
    BadGzip,
}

impl Reply {
    pub(super) fn new(status: u16, content: Content) -> Self {
        Self {
            status,
            headers: Vec::new(),
            content,
            delivery: Delivery::Whole,
            applied: false,
            fault: None,
            note: None,
            from_gateway: false,
        }
    }

    pub(super) fn json(body: Value) -> Self {
        Self::new(200, Content::Json(body))
    }

    pub(super) fn empty(status: u16) -> Self {
        Self::new(status, Content::Empty)
    }

    pub(super) fn text(status: u16, content_type: &str, text: impl Into<String>) -> Self {
        Self::new(status, Content::Text { content_type: content_type.to_owned(), text: text.into() })
    }

    /// A page of HTML such as an application server makes (zia-facts §3.6, 406).
    pub(super) fn html(status: u16) -> Self {
        let title = if status == 200 { "Sign in".to_owned() } else { format!("HTTP Status {status}") };
        let page = format!(
            "<!doctype html><html lang=\"en\"><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
        );
        Self::text(status, "text/html;charset=utf-8", page)
    }

    pub(super) fn applied(self) -> Self {
        Self { applied: true, ..self }
    }

    pub(super) fn delivered(self, delivery: Delivery) -> Self {
        Self { delivery, ..self }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Content {
    /// The content type and the bytes; a reply without a body has no type either.
    pub(super) fn render(self) -> (Option<String>, Vec<u8>) {
        let bytes = match self {
            Self::Empty => return (None, Vec::new()),
            Self::Text { content_type, text } => return (Some(content_type), text.into_bytes()),
            Self::Json(value) => written(&value),
            Self::User(row, org, shape) => written(&UserBody::new(&row, &org, shape)),
            Self::Users(rows, org, shape) => {
                let bodies: Vec<_> = rows.iter().map(|row| UserBody::new(row, &org, shape)).collect();
                written(&bodies)
            }
        };
        (Some("application/json".to_owned()), bytes)
    }
}

fn written(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// Why the vendor says no (zia-facts §3.6).
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    code: Option<&'static str>,
    message: Option<Cow<'static, str>>,
    note: Option<&'static str>,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code: Some(code), message: Some(message.into()), note: None }
    }

    /// 400 for a body that is not understood: no code.
    pub(super) fn invalid_body() -> Self {
        Self { status: 400, code: None, message: Some("Request body is invalid.".into()), note: None }
    }

    /// 400 for a body or parameter that is understood and wrong.
    pub(super) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "INVALID_INPUT_ARGUMENT", message)
    }

    pub(super) fn not_found(what: &str, id: u64) -> Self {
        Self::new(404, "RESOURCE_NOT_FOUND", format!("No {what} with the id {id}"))
    }

    /// 409 without a message.
    pub(super) fn edit_lock() -> Self {
        Self { status: 409, code: Some("EDIT_LOCK_NOT_AVAILABLE"), message: None, note: None }
    }

    pub(super) fn because(self, note: &'static str) -> Self {
        Self { note: Some(note), ..self }
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let mut body = serde_json::Map::new();
        body.extend(refusal.code.map(|code| ("code".to_owned(), code.into())));
        body.extend(refusal.message.map(|message| ("message".to_owned(), message.into_owned().into())));
        Self { note: refusal.note, ..Self::new(refusal.status, Content::Json(Value::Object(body))) }
    }
}

/// `UNEXPECTED_ERROR` as recorded (zia-facts §3.6).
pub(super) fn unexpected_error() -> Value {
    json!({
        "code": "UNEXPECTED_ERROR",
        "message": "An unexpected error has occurred, please contact Zscaler's support",
    })
}

/// 429 as recorded, body and header (zia-facts §5).
pub(super) fn too_many_requests(limit: &str, seconds: i64) -> Reply {
    let body = json!({
        "message": format!("Rate Limit ({limit}) exceeded"),
        "Retry-After": format!("{seconds} seconds"),
    });
    Reply { status: 429, ..Reply::json(body) }.header("retry-after", seconds.to_string())
}
