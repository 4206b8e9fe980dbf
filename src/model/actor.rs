//! Who asked.

use serde::{Deserialize, Serialize};

/// The way a call reached the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// A local client over standard input and output.
    Stdio,
    /// A client over Streamable HTTP.
    Http,
}

/// Who asked for something, and through which client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The authenticated caller; `local` over stdio.
    pub caller: String,
    /// What the client calls itself, name and version; not proven.
    pub client: String,
    /// The way the call came.
    pub channel: Channel,
}

/// The name of an authenticated HTTP caller, put on each request by `http` and read by `mcp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller(pub String);
