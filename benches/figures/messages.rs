//! JSON-RPC lines, as clients of either protocol generation write them.

use serde_json::{Value, json};

/// A protocol generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    /// 2025-11-25: a session, begun by `initialize`.
    Sessions,
    /// 2026-07-28: every request stands alone.
    Stateless,
}

impl Era {
    pub(crate) const BOTH: [Self; 2] = [Self::Stateless, Self::Sessions];

    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::Sessions => "2025-11-25",
            Self::Stateless => "2026-07-28",
        }
    }

    /// The first request of a client.
    pub(crate) fn opening(self) -> &'static str {
        match self {
            Self::Sessions => "initialize",
            Self::Stateless => "server/discover",
        }
    }

    /// A request of a method; `params` is an object.
    pub(crate) fn request(self, id: u64, method: &str, mut params: Value) -> String {
        if self == Self::Stateless {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": self.version(),
                "io.modelcontextprotocol/clientInfo": {"name": "figures", "version": "0"},
                "io.modelcontextprotocol/clientCapabilities": {},
            });
        }
        json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
    }

    pub(crate) fn open(self, id: u64) -> String {
        let params = match self {
            Self::Sessions => json!({
                "protocolVersion": self.version(),
                "capabilities": {},
                "clientInfo": {"name": "figures", "version": "0"},
            }),
            Self::Stateless => json!({}),
        };
        self.request(id, self.opening(), params)
    }

    pub(crate) fn call(self, id: u64, tool: &str, arguments: Value) -> String {
        self.request(id, "tools/call", json!({"name": tool, "arguments": arguments}))
    }
}

/// What a client of sessions says once they are open.
pub(crate) const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// The id of a message of ours, without parsing all of it.
pub(crate) fn id(message: &str) -> u64 {
    let (_, rest) = message.split_once(r#""id":"#).expect("an id");
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().expect("a number")
}
