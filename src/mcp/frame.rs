//! The shape of one JSON-RPC message, before it is decoded.
//!
//! Both doors, stdio and HTTP, check every message here first, so that a malformed one is answered
//! with its exact code instead of being dropped. The check is one pass over the bytes and builds no
//! tree. It settles what the protocol fixes for all methods; arguments are the tools' own matter.

mod parts;
mod walk;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use rmcp::model::RequestId;
use serde::Serialize;

use crate::model::mend_surrogates;

/// Nested objects and arrays that a message may have, its own object included (guardrails F41).
pub const MAX_DEPTH: usize = 32;

/// JSON-RPC: the bytes are no JSON.
pub const PARSE_ERROR: i32 = -32700;
/// JSON-RPC: the JSON is no request.
pub const INVALID_REQUEST: i32 = -32600;
/// JSON-RPC: the request's parameters do not fit its method.
pub const INVALID_PARAMS: i32 = -32602;

/// What a well-formed message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Asks for an answer.
    Request {
        /// Comes back with the answer.
        id: RequestId,
        /// What is asked.
        method: Cow<'a, str>,
    },
    /// Asks for none.
    Notification {
        /// What is told.
        method: Cow<'a, str>,
    },
    /// Answers a request of ours, with a result or an error.
    Response {
        /// The request's id; an error may come without one.
        id: Option<RequestId>,
    },
}

/// Why a message is not passed on, as JSON-RPC tells it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// [`PARSE_ERROR`], [`INVALID_REQUEST`] or [`INVALID_PARAMS`].
    pub code: i32,
    /// A fixed text: nothing of the message comes back in it.
    pub message: &'static str,
    /// The message's id, where it has a usable one.
    pub id: Option<RequestId>,
}

impl Refusal {
    /// A refusal that names no request.
    pub fn new(code: i32, message: &'static str) -> Self {
        Self { code, message, id: None }
    }

    /// The same, for the request of this id.
    pub fn with_id(self, id: Option<RequestId>) -> Self {
        Self { id, ..self }
    }

    /// The JSON-RPC error message, on one line without a line end.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Message<'a> {
            jsonrpc: &'a str,
            id: &'a Option<RequestId>,
            error: Error<'a>,
        }
        #[derive(Serialize)]
        struct Error<'a> {
            code: i32,
            message: &'a str,
        }
        let error = Error { code: self.code, message: self.message };
        serde_json::to_string(&Message { jsonrpc: "2.0", id: &self.id, error }).unwrap_or_default()
    }
}

/// Checks one message.
///
/// # Errors
///
/// A [`Refusal`] with the code that JSON-RPC 2.0 and MCP give to what is wrong.
pub fn check(bytes: &[u8]) -> Result<Frame<'_>, Refusal> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| Refusal::new(PARSE_ERROR, "the message is not UTF-8"))?;
    if text.starts_with('\u{FEFF}') {
        return Err(Refusal::new(PARSE_ERROR, "the message starts with a byte order mark"));
    }
    let message = walk::message(text).map_err(|_| unreadable(text))?;
    let id = message.id.usable();
    judge(message).map_err(|(code, text)| Refusal::new(code, text).with_id(id))
}

/// Half of a surrogate pair is JSON and no text: who sent it is told by the request's id (guardrails F36).
fn unreadable(text: &str) -> Refusal {
    let mended = mend_surrogates(text);
    let id = walk::message(&mended).ok().and_then(|message| message.id.usable());
    match id {
        Some(_) => {
            Refusal::new(INVALID_PARAMS, "a text holds half of a surrogate pair, which is no character")
                .with_id(id)
        }
        None => Refusal::new(PARSE_ERROR, "the message is not valid JSON"),
    }
}

type Wrong = (i32, &'static str);

fn judge(message: walk::Message<'_>) -> Result<Frame<'_>, Wrong> {
    if let Some(problem) = message.problem {
        return Err((INVALID_REQUEST, problem.text()));
    }
    if message.jsonrpc.as_deref() != Some("2.0") {
        return Err((INVALID_REQUEST, "jsonrpc must be \"2.0\""));
    }
    match &message.method {
        walk::Seen::Absent => response(message),
        walk::Seen::Present(None) => Err((INVALID_REQUEST, "method must be a string")),
        walk::Seen::Present(Some(_)) => call(message),
    }
}

fn response(message: walk::Message<'_>) -> Result<Frame<'_>, Wrong> {
    use parts::Id;
    match (message.result, message.error, message.id) {
        (true, walk::Seen::Absent, Id::Usable(id)) => Ok(Frame::Response { id: Some(id) }),
        (true, walk::Seen::Absent, _) => Err((INVALID_REQUEST, "a response has the id of its request")),
        (true, walk::Seen::Present(_), _) => {
            Err((INVALID_REQUEST, "a response has a result or an error, not both"))
        }
        (false, walk::Seen::Absent, _) => Err((INVALID_REQUEST, "method is missing")),
        (false, walk::Seen::Present(false), _) => {
            Err((INVALID_REQUEST, "error must be an object with an integer code and a string message"))
        }
        (false, walk::Seen::Present(true), Id::Bad) => Err((INVALID_REQUEST, BAD_ID)),
        (false, walk::Seen::Present(true), id) => Ok(Frame::Response { id: id.usable() }),
    }
}

const BAD_ID: &str = "id must be a string or a 64-bit integer";

fn call(message: walk::Message<'_>) -> Result<Frame<'_>, Wrong> {
    use parts::Id;
    let walk::Seen::Present(Some(method)) = message.method else {
        return Err((INVALID_REQUEST, "method is missing"));
    };
    if message.result || !matches!(message.error, walk::Seen::Absent) {
        return Err((INVALID_REQUEST, "a message is a request or a response, not both"));
    }
    match message.id {
        Id::Null | Id::Bad => Err((INVALID_REQUEST, BAD_ID)),
        Id::Absent if is_request(&method) => Err((INVALID_REQUEST, "this method needs an id")),
        Id::Absent => {
            params(&method, &message.params)?;
            Ok(Frame::Notification { method })
        }
        Id::Usable(id) => {
            params(&method, &message.params)?;
            Ok(Frame::Request { id, method })
        }
    }
}

/// Methods that ask for an answer, so that one without an id is a mistake, not a notification.
pub(super) fn is_request(method: &str) -> bool {
    matches!(
        method,
        "initialize"
            | "ping"
            | "server/discover"
            | "tools/list"
            | "tools/call"
            | "prompts/list"
            | "prompts/get"
            | "resources/list"
            | "resources/read"
            | "resources/templates/list"
            | "resources/subscribe"
            | "resources/unsubscribe"
            | "subscriptions/listen"
            | "completion/complete"
            | "logging/setLevel"
            | "tasks/get"
            | "tasks/update"
            | "tasks/cancel"
    )
}

fn params(method: &str, params: &walk::Params) -> Result<(), Wrong> {
    use walk::Shape;
    if params.shape == Shape::Other {
        return Err((INVALID_PARAMS, "params must be an object"));
    }
    if params.meta == Shape::Other {
        return Err((INVALID_PARAMS, "params._meta must be an object"));
    }
    match method {
        "tools/call" | "prompts/get" if params.name != Shape::Text => {
            Err((INVALID_PARAMS, "params.name must be a string"))
        }
        "tools/call" | "prompts/get" if params.arguments == Shape::Other => {
            Err((INVALID_PARAMS, "params.arguments must be an object"))
        }
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" if params.uri != Shape::Text => {
            Err((INVALID_PARAMS, "params.uri must be a string"))
        }
        _ => Ok(()),
    }
}
