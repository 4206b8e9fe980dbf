//! Outcomes and refusals as MCP results.

use rmcp::{
    ErrorData,
    model::{CallToolResponse, CallToolResult},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::lifecycle::Failure;

/// Why a call has no result of its own.
#[derive(Debug)]
pub(super) enum Refusal {
    /// What the caller can mend: a tool result with `isError`.
    Tool(Box<Failure>),
    /// Bad structure: a JSON-RPC error.
    Protocol(ErrorData),
}

impl Refusal {
    pub(super) fn unknown_tool() -> Self {
        Self::Protocol(ErrorData::invalid_params("unknown tool", None))
    }

    /// One text for every state that does not open: which check failed is nobody's business.
    pub(super) fn bad_state() -> Self {
        Self::Protocol(bad_state())
    }

    /// What it is counted as: an error's code, or that it is none of the caller's.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Tool(failure) => failure.code.as_str(),
            Self::Protocol(_) => "protocol",
        }
    }

    pub(super) fn leaving() -> Self {
        Self::Protocol(ErrorData::internal_error(
            "the server is shutting down; call again, and what was begun is joined or told as done",
            None,
        ))
    }

    pub(super) fn cancelled() -> Self {
        Self::Protocol(ErrorData::internal_error(
            "cancelled; what was begun goes on, see get_operation",
            None,
        ))
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Tool(Box::new(failure))
    }
}

/// One text for every state that does not open.
pub(super) fn bad_state() -> ErrorData {
    ErrorData::invalid_params("requestState is not valid for this call", None)
}

/// A result as structured content, and the same JSON as text.
pub(super) fn structured(result: &impl Serialize) -> Result<CallToolResponse, Refusal> {
    let mut value = serde_json::to_value(result).map_err(|_| Refusal::Protocol(internal()))?;
    escape(&mut value);
    Ok(CallToolResult::structured(value).into())
}

/// Writes what hides or moves text as `\u{…}`, in every string (guardrails T9).
pub(super) fn escape(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(visible) = crate::model::visible(text) {
                *text = visible;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(escape),
        Value::Object(fields) => fields.values_mut().for_each(escape),
        _ => {}
    }
}

/// A refusal as the client sees it.
pub(super) fn refused(refusal: Refusal) -> Result<CallToolResponse, ErrorData> {
    match refusal {
        Refusal::Tool(failure) => Ok(CallToolResult::structured_error(json!({ "error": failure })).into()),
        Refusal::Protocol(error) => Err(error),
    }
}

pub(super) fn internal() -> ErrorData {
    ErrorData::internal_error("the server met a fault of its own", None)
}
