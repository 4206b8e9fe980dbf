//! `zia-mcp call`

use std::time::Duration;

use clap::Args;
use rmcp::{
    ClientHandler, ServiceExt,
    model::{CallToolRequestParams, ClientCapabilities, ClientConfig, Implementation, JsonObject},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Exit, General, TenantChoice, output, wiring::Wired};
use crate::{mcp::Server, model::Channel};

/// How long what the call began may take after its answer.
const GRACE: Duration = Duration::from_secs(10);

/// Bytes between client and server in this process.
const PIPE: usize = 64 * 1024;

#[derive(Debug, Args)]
pub(super) struct Call {
    /// The tool's name
    tool: String,
    /// Its arguments, as a JSON object
    #[arg(value_name = "JSON", default_value = "{}")]
    arguments: String,
    /// Offer only tools that change nothing
    #[arg(long)]
    read_only: bool,
    #[command(flatten)]
    tenant: TenantChoice,
}

/// A client that cannot ask anybody: what needs a person answers `awaiting_approval`.
struct Quiet;

impl ClientHandler for Quiet {
    fn get_info(&self) -> ClientConfig {
        ClientConfig::new(
            ClientCapabilities::default(),
            Implementation::new("zia-mcp call", env!("CARGO_PKG_VERSION")),
        )
    }
}

impl Call {
    /// Calls the tool through MCP itself, on a server in this process.
    pub(super) async fn run(self, general: &General) -> Result<(), Exit> {
        let arguments: JsonObject = serde_json::from_str(&self.arguments).map_err(|e| {
            let like = r#"expected a JSON object in quotes, such as '{"query": "jane@example.com"}'"#;
            Exit::usage(format!("the tool's arguments cannot be read: {like}: {e}"))
        })?;
        let wired = Wired::start(general, &self.tenant, self.read_only).await?;
        let answer = call(&wired, self.tool, arguments).await;
        wired.stop(GRACE).await;
        let (value, is_error) = answer?;
        output::json(&value)?;
        if is_error { Err(Exit::tool_error()) } else { Ok(()) }
    }
}

async fn call(wired: &Wired, tool: String, arguments: JsonObject) -> Result<(Value, bool), Exit> {
    let server = Server::new(wired.lifecycle.clone(), Channel::Stdio, CancellationToken::new())
        .map_err(|e| Exit::unavailable(e.message))?;
    let (ours, theirs) = tokio::io::duplex(PIPE);
    let serving = tokio::spawn(async move { server.serve(theirs).await });
    let client = Quiet.serve(ours).await.map_err(Exit::unavailable)?;
    let offered = client.list_all_tools().await.map_err(Exit::unavailable)?;
    // Without a store that can be used, the server itself says why the tool is not offered.
    if !offered.iter().any(|known| known.name == tool) && wired.lifecycle.unfit().is_none() {
        let names: Vec<_> = offered.iter().map(|known| known.name.as_ref()).collect();
        return Err(Exit::usage(format!("unknown tool; expected one of {}", names.join(", "))));
    }
    let answer = client.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments)).await;
    serving.abort();
    match answer {
        Ok(result) => {
            let is_error = result.is_error == Some(true);
            Ok((result.structured_content.unwrap_or_else(|| json!(result.content)), is_error))
        }
        Err(rmcp::ServiceError::McpError(error)) => {
            Ok((json!({ "error": { "code": error.code.0, "message": error.message } }), true))
        }
        Err(error) => Err(Exit::unavailable(error)),
    }
}
