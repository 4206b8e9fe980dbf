//! `zia-mcp serve` as a child process, driven line by line.

use std::{
    fs::File,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};
use zia_mcp::sandbox::{LimitPolicy, SandboxOptions, SandboxTenant};

/// A sandbox tenant and a place for the state.
pub(super) struct Place {
    pub(super) tenant: SandboxTenant,
    pub(super) dir: TempDir,
}

impl Place {
    pub(super) async fn new() -> Self {
        let options = SandboxOptions { users: 20, limits: LimitPolicy::Off, ..SandboxOptions::default() };
        Self { tenant: SandboxTenant::start(options).await.unwrap(), dir: TempDir::new().unwrap() }
    }

    pub(super) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let own = self.tenant.settings();
        let mut command = Command::new(env!("CARGO_BIN_EXE_zia-mcp"));
        command.env_clear().kill_on_drop(true).args(arguments).stdin(Stdio::null()).envs([
            ("ZIA_BASE_URL", &own.base_url),
            ("ZIA_USERNAME", &own.username),
            ("ZIA_PASSWORD", &own.password),
            ("ZIA_API_KEY", &own.api_key),
        ]);
        command.env("ZIA_MCP_STATE_DIR", self.state());
        command
    }

    /// A command to its end: its exit code, what it printed, and its log.
    pub(super) async fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.command(arguments).output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// A server with its log in a file, and the handshake done.
    pub(super) async fn serve(&self) -> Server {
        let log = File::create(self.dir.path().join("log")).unwrap();
        Server::over(self.command(&["serve"]).stderr(log)).await
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// Makes a store with a key, as an earlier run would have left it.
    pub(super) async fn used(&self) {
        let (code, _, log) = self.run(&["call", "tenant_status"]).await;
        assert_eq!(code, 0, "{log}");
        assert!(self.state().join("store.db").exists() && self.state().join("key").exists());
    }
}

/// A server, its lines in and out.
pub(super) struct Server {
    pub(super) child: Child,
    pub(super) stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
    last_id: u64,
}

impl Server {
    pub(super) async fn over(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut server = Self { stdin: child.stdin.take(), child, stdout, last_id: 0 };
        let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {"elicitation": {"form": {}}},
            "clientInfo": {"name": "test", "version": "0"}});
        server.ask("initialize", hello).await;
        server.send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        server
    }

    pub(super) async fn send(&mut self, message: Value) {
        self.stdin.as_mut().unwrap().write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }

    /// The next message that `wanted` takes; others are let go.
    async fn next(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = tokio::time::timeout(Duration::from_secs(60), self.stdout.next_line()).await;
            let line = line.expect("an answer in time").unwrap().expect("an answer before the end");
            let message = serde_json::from_str(&line).unwrap();
            if wanted(&message) {
                return message;
            }
        }
    }

    /// Sends a request without waiting for its answer.
    pub(super) async fn begin(&mut self, method: &str, params: Value) -> u64 {
        self.last_id += 1;
        self.send(json!({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params})).await;
        self.last_id
    }

    /// A request and the whole message that answers it.
    pub(super) async fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.begin(method, params).await;
        self.next(|m| m["id"] == id && m.get("method").is_none()).await
    }

    /// A call of a tool: its structured content.
    pub(super) async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let answer = self.ask("tools/call", json!({"name": tool, "arguments": arguments})).await;
        answer["result"]["structuredContent"].clone()
    }

    /// The names of the tools.
    pub(super) async fn tools(&mut self) -> Vec<String> {
        let answer = self.ask("tools/list", json!({})).await;
        let tools = answer["result"]["tools"].as_array().unwrap();
        tools.iter().map(|t| t["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Asks for a deletion and says yes; the id of the operation.
    pub(super) async fn approve_deletion(&mut self, email: &str) -> String {
        let arguments = json!({"name": "deprovision_user", "arguments": {"user": email}});
        self.begin("tools/call", arguments).await;
        let question = self.next(|m| m["method"] == "elicitation/create").await;
        let yes = json!({"action": "accept", "content": {"confirm": email}});
        self.send(json!({"jsonrpc": "2.0", "id": question["id"], "result": yes})).await;
        let words = question["params"]["message"].as_str().unwrap();
        let id = words.split_whitespace().find(|word| word.starts_with("op_")).unwrap();
        id.trim_end_matches([';', '.', ',', ')']).to_owned()
    }

    pub(super) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// How it ended, which takes eleven seconds at most.
    pub(super) async fn end(&mut self) -> ExitStatus {
        tokio::time::timeout(Duration::from_secs(11), self.child.wait())
            .await
            .expect("an end in time")
            .unwrap()
    }
}
