//! `zia-mcp demo`: the guided tour.

mod person;
mod stage;
mod tour;

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

use clap::Args;
use secrecy::ExposeSecret;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    Exit, General,
    output::{ACCENT, BOLD, DIM, line, styled},
    serve, wiring,
};
use crate::{
    http::{self, CONSOLE_PATH, HttpOptions},
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
        let ended = tokio::select! {
            toured = tour::take(&stage) => toured.map(|()| true),
            // Who leaves early leaves nothing behind either.
            () = serve::shutdown_signal() => Ok(false),
        };
        let ended = match ended {
            Ok(true) if terminal && !self.exit => keep_serving(general, &stage).await,
            other => other.map(drop),
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
    settings(&format!("{}/mcp", bound.local_url()), token.expose_secret(), &stage.state_dir)?;
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
    let page = format!("{}{CONSOLE_PATH}", bound.local_url());
    lifecycle.set_console(move || Some(page.clone()));
    let console = Some(serve::console(&lifecycle));
    let recovering = tokio::spawn(wiring::keep_recovering(lifecycle.clone()));
    let ready = move || serve::readiness(lifecycle.clone());
    let served = bound.serve(server, ready, console, shutdown).await.map_err(Exit::unavailable);
    recovering.abort();
    served
}

/// Client settings to paste.
fn settings(url: &str, token: &str, state: &Path) -> Result<(), Exit> {
    let bearer = format!("Bearer {token}");
    let remote = json!({"url": url, "headers": {"Authorization": bearer}});
    let typed = json!({"type": "http", "url": url, "headers": {"Authorization": bearer}});
    let binary = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("zia-mcp"));
    let local = json!({"command": binary.display().to_string(), "args": ["serve", "--sandbox"]});
    line("")?;
    line(styled(BOLD, "Your turn: this tenant stays up until Ctrl-C, at"))?;
    line(format!("  {}", styled(ACCENT, url)))?;
    line(styled(DIM, "Over HTTP a delete waits for an approver. Enrol yourself at another terminal, with"))?;
    line(format!("  zia-mcp approver add you --state-dir {}", state.display()))?;
    line(styled(
        DIM,
        "and decide on the page that the answer names. The last setting below shows the form in the",
    ))?;
    line(styled(DIM, "client instead, over stdio, on a sandbox tenant of its own."))?;
    block(
        "Claude Code",
        format!("claude mcp add --transport http zia-demo {url} -H \"Authorization: {bearer}\""),
    )?;
    block("Cursor, ~/.cursor/mcp.json", pretty(&json!({"mcpServers": {"zia-demo": remote}})))?;
    block("VS Code, .vscode/mcp.json", pretty(&json!({"servers": {"zia-demo": typed}})))?;
    block("Claude Desktop, claude_desktop_config.json", pretty(&json!({"mcpServers": {"zia-demo": local}})))?;
    line("")
}

fn block(client: &str, text: String) -> Result<(), Exit> {
    line("")?;
    line(styled(BOLD, client))?;
    line(text)
}

fn pretty(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
