//! What the tour stands on: a sandbox tenant, a store of its own, a server and a client.

use std::{path::PathBuf, time::Duration};

use rmcp::{RoleClient, ServiceExt, model::CallToolRequestParams, service::RunningService};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::person::{Client, Person, Script};
use crate::{
    cli::{Exit, wiring},
    lifecycle::{Lifecycle, Settings},
    mcp::Server,
    model::Channel,
    sandbox::{SandboxOptions, SandboxTenant},
    store::{self, Store},
    zia::Zia,
};

/// Bytes between client and server in this process.
const PIPE: usize = 64 * 1024;

/// How long a person who reads the question for the first time may take.
const READING: Duration = Duration::from_secs(600);

/// How long the client may take to leave.
const LEAVING: Duration = Duration::from_secs(1);

/// The stage of the tour.
pub(super) struct Stage {
    pub(super) tenant: SandboxTenant,
    pub(super) lifecycle: Lifecycle,
    pub(super) state_dir: PathBuf,
    pub(super) script: Script,
    client: RunningService<RoleClient, Client>,
    /// Removed with everything in it when the tour is over.
    _folder: TempDir,
}

impl Stage {
    pub(super) async fn set(users: usize, person: Person) -> Result<Self, Exit> {
        let options = SandboxOptions { users, ..SandboxOptions::default() };
        let tenant = SandboxTenant::start(options).await.map_err(Exit::unavailable)?;
        let folder = tempfile::Builder::new().prefix("zia-mcp-demo-").tempdir().map_err(Exit::unavailable)?;
        let state_dir = folder.path().join("state");
        let settings = store::Settings::embedded(state_dir.clone());
        let store = Store::open(&settings, wiring::clock()).await.map_err(Exit::unavailable)?;
        let zia = Zia::new(wiring::sandbox_settings(&tenant)?, wiring::clock()).map_err(Exit::config)?;
        let lifecycle =
            Lifecycle::new(zia, store, Settings { ask: READING, ..Settings::default() }, wiring::clock());
        let server = Server::new(lifecycle.clone(), Channel::Stdio, CancellationToken::new());
        let server = server.map_err(|e| Exit::unavailable(e.message))?;
        let (ours, theirs) = tokio::io::duplex(PIPE);
        tokio::spawn(async move {
            match server.serve(theirs).await {
                Ok(running) => drop(running.waiting().await),
                Err(error) => tracing::error!(%error, "the demo's server did not start"),
            }
        });
        let script = Script::default();
        let client =
            Client { person, script: script.clone() }.serve(ours).await.map_err(Exit::unavailable)?;
        Ok(Self { tenant, lifecycle, state_dir, script, client, _folder: folder })
    }

    /// Calls a tool as any client would: the structured result, and whether it is an error.
    pub(super) async fn call(&self, tool: &'static str, arguments: Value) -> Result<(Value, bool), Exit> {
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        let request = CallToolRequestParams::new(tool).with_arguments(arguments);
        let result = self.client.call_tool(request).await.map_err(Exit::unavailable)?;
        Ok((result.structured_content.unwrap_or_default(), result.is_error == Some(true)))
    }

    /// Calls to the tenant so far, sign-in aside.
    pub(super) fn calls(&self) -> u64 {
        self.tenant
            .counters()
            .iter()
            .filter(|(name, _)| !name.contains("authenticatedSession"))
            .map(|(_, n)| n)
            .sum()
    }

    pub(super) async fn clear(self) {
        // The client leaves first; how it leaves, even in the middle of a question, is of no interest here.
        let _ = tokio::time::timeout(LEAVING, self.client.cancel()).await;
        self.lifecycle.sign_out().await;
        self.tenant.shutdown().await;
    }
}
