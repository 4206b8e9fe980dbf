//! The body of a call, before rmcp sees it.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use rmcp::model::RequestId;
use serde::Deserialize;

use crate::mcp::frame::{self, Frame, INVALID_PARAMS, INVALID_REQUEST, Refusal};

/// Largest body, in bytes.
pub(super) const MAX_BODY: usize = 1024 * 1024;

/// Longest that a body may take to come (guardrails F39).
const PATIENCE: Duration = Duration::from_secs(30);

/// Headers that decide which call this is. A proxy may act on one value and rmcp on another, so each
/// comes once at most (guardrails T31).
const ONCE: [&str; 7] = [
    "content-encoding",
    "content-length",
    "content-type",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
];

/// MCP: a header does not fit the body, or is there twice.
const HEADER_MISMATCH: i32 = -32020;

/// A call whose body is whole and well-formed.
pub(super) struct Call {
    pub(super) request: Request,
    /// Its id, if it is a request.
    pub(super) id: Option<RequestId>,
    pub(super) is_initialize: bool,
    /// The tool that it calls, if it calls one.
    pub(super) tool: Option<String>,
}

/// Why a call goes no further.
#[derive(Debug)]
pub(super) enum Fault {
    /// HTTP alone can tell.
    Http(StatusCode, &'static str),
    /// JSON-RPC tells, with status 400.
    Rpc(Refusal),
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        match self {
            Self::Http(status, text) => (status, text).into_response(),
            Self::Rpc(refusal) => {
                let json = [(CONTENT_TYPE, "application/json")];
                (StatusCode::BAD_REQUEST, json, refusal.to_json()).into_response()
            }
        }
    }
}

/// Reads and checks the body of a POST.
pub(super) async fn read(request: Request) -> Result<Call, Fault> {
    let (parts, body) = request.into_parts();
    check_headers(&parts.headers)?;
    let bytes = collect(body).await?;
    let (id, method) = match frame::check(&bytes).map_err(Fault::Rpc)? {
        Frame::Request { id, method } => (Some(id), method.into_owned()),
        Frame::Notification { .. } | Frame::Response { .. } => (None, String::new()),
    };
    let is_initialize = method == "initialize";
    let tool = if method == "tools/call" { tool_of(&bytes) } else { None };
    Ok(Call { request: Request::from_parts(parts, Body::from(bytes)), id, is_initialize, tool })
}

/// The tool that a call names; the frame's check has refused a name that is there twice.
fn tool_of(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Message {
        params: Named,
    }
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    serde_json::from_slice(bytes).ok().map(|Message { params: Named { name } }| name)
}

/// rmcp's answer, with its 415 for a message of the wrong shape made a JSON-RPC error: the content
/// type was right, or the request would not have got there.
pub(super) fn answer(response: Response, id: Option<RequestId>) -> Response {
    if response.status() != StatusCode::UNSUPPORTED_MEDIA_TYPE {
        return response;
    }
    Fault::Rpc(Refusal::new(INVALID_PARAMS, "params do not fit the method").with_id(id)).into_response()
}

fn check_headers(headers: &HeaderMap) -> Result<(), Fault> {
    if ONCE.iter().any(|name| headers.get_all(*name).iter().count() > 1) {
        return Err(Fault::Rpc(Refusal::new(HEADER_MISMATCH, "a header that may come once is there twice")));
    }
    if headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(Fault::Http(StatusCode::UNSUPPORTED_MEDIA_TYPE, "compressed bodies are not accepted"));
    }
    if !headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(is_json) {
        return Err(Fault::Http(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json"));
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > MAX_BODY) {
        return Err(too_large());
    }
    Ok(())
}

/// `application/json`, in UTF-8 where it names a charset.
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
                value.trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            _ => true,
        })
}

async fn collect(body: Body) -> Result<Bytes, Fault> {
    let read = tokio::time::timeout(PATIENCE, Limited::new(body, MAX_BODY).collect()).await;
    match read {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Fault::Rpc(Refusal::new(INVALID_REQUEST, "the body did not come whole"))),
        Err(_) => Err(Fault::Http(StatusCode::REQUEST_TIMEOUT, "the body did not come within 30 s")),
    }
}

fn too_large() -> Fault {
    Fault::Http(StatusCode::PAYLOAD_TOO_LARGE, "the body is above 1 MiB")
}
