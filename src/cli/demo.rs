//! `zia-mcp demo`: the guided tour.

mod person;
mod stage;
mod tour;

use std::{io::IsTerminal, path::PathBuf};

use clap::Args;
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use super::{
    Exit, General,
    output::{ACCENT, BOLD, DIM, line, styled},
    serve, wiring,
};
use crate::{
    http::{self, HttpOptions},
    mcp::Server,
    model::Channel,
};
use person::Person;
use stage::Stage;

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// A scripted person approves, and the tour ends by itself
    #[arg(long)]
    exit: bool,
    /// Users of the sandbox tenant
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    users: usize,
}

impl Demo {
    /// Shows the main job on the sandbox tenant, each step as a client sees it.
    pub(super) async fn run(self, general: &General) -> Result<(), Exit> {
        let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let person = if self.exit || !terminal { Person::Scripted } else { Person::AtTheTerminal };
        let stage = Stage::set(self.users, person).await?;
        let toured = tour::take(&stage).await;
        let ended = match toured {
            Ok(()) if terminal && !self.exit => keep_serving(general, &stage).await,
            other => other,
        };
        stage.clear().await;
        ended
    }
}

/// Keeps the HTTP server up for the reader's own client.
async fn keep_serving(general: &General, stage: &Stage) -> Result<(), Exit> {
    let (token, _) = http::ensure_token(&stage.state_dir).map_err(Exit::unavailable)?;
    let options = HttpOptions::new(token.clone(), wiring::HTTP_CALLER);
    let bound = http::bind("127.0.0.1:0", &options).await.map_err(Exit::unavailable)?;
    let url = format!("{}/mcp", bound.local_url());
    let token = token.expose_secret();
    line("")?;
    line(styled(BOLD, "Your turn: point a client at this server (Ctrl-C ends it)"))?;
    line(format!("  URL    {}", styled(ACCENT, &url)))?;
    line(format!("  token  {}", styled(ACCENT, token)))?;
    line("")?;
    line(styled(DIM, "Claude Code:"))?;
    line(format!("  claude mcp add --transport http zia-demo {url} -H \"Authorization: Bearer {}\"", token))?;
    line(styled(
        DIM,
        "Cursor (~/.cursor/mcp.json); VS Code takes the same under \"servers\" with \"type\": \"http\":",
    ))?;
    line(format!(
        "  {{\"mcpServers\":{{\"zia-demo\":{{\"url\":\"{url}\",\"headers\":{{\"Authorization\":\"Bearer {}\"}}}}}}}}",
        token
    ))?;
    line(styled(DIM, "Claude Desktop, over stdio, on a sandbox tenant of its own:"))?;
    let binary = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("zia-mcp"));
    line(format!(
        "  {{\"mcpServers\":{{\"zia-demo\":{{\"command\":{},\"args\":[\"serve\",\"--sandbox\"]}}}}}}",
        serde_json::Value::from(binary.display().to_string())
    ))?;
    let _log = wiring::telemetry(general, None)?;
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        serve::shutdown_signal().await;
        stop.cancel();
    });
    let server = Server::new(stage.lifecycle.clone(), Channel::Http, shutdown.clone());
    let server = server.map_err(|e| Exit::unavailable(e.message))?;
    let lifecycle = stage.lifecycle.clone();
    let ready = move || serve::readiness(lifecycle.clone());
    bound.serve(server, ready, shutdown).await.map_err(Exit::unavailable)
}
