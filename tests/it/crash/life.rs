//! One life of the server: a child on stdio, which may end at any moment.

use std::{collections::BTreeMap, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// The longest that a call may take: longer than any wait of the server's own.
const LONGEST: Duration = Duration::from_secs(100);

/// A running child.
pub(super) struct Life {
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    last_id: u64,
}

/// A call of a tool.
pub(super) type Asked = (&'static str, Value);

impl Life {
    /// Starts a child and shakes hands; `None` if it was killed before it answered.
    pub(super) async fn start(command: &mut Command) -> Option<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut life = Self { stdin: child.stdin.take().unwrap(), child, stdout, last_id: 0 };
        let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {"elicitation": {"form": {}}},
            "clientInfo": {"name": "crash", "version": "0"}});
        let id = life.begin("initialize", hello).await;
        while life.next().await?["id"] != id {}
        life.send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        Some(life)
    }

    /// Calls tools at the same time, and says yes to every question; `None` if it was killed.
    pub(super) async fn calls(&mut self, asked: &[Asked]) -> Option<Vec<Value>> {
        let mut open = BTreeMap::new();
        for (at, (tool, arguments)) in asked.iter().enumerate() {
            let id = self.begin("tools/call", json!({"name": tool, "arguments": arguments})).await;
            open.insert(id, at);
        }
        let mut answers = vec![Value::Null; asked.len()];
        while !open.is_empty() {
            let message = self.next().await?;
            if message["method"] == "elicitation/create" {
                self.say_yes(&message).await;
            } else if let Some(at) = message["id"].as_u64().and_then(|id| open.remove(&id)) {
                answers[at] = message["result"]["structuredContent"].clone();
                assert!(answers[at].is_object(), "{message}");
            }
        }
        Some(answers)
    }

    pub(super) async fn call(&mut self, tool: &'static str, arguments: Value) -> Option<Value> {
        Some(self.calls(&[(tool, arguments)]).await?.remove(0))
    }

    /// Ends it with SIGKILL, if it has not ended.
    pub(super) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Types what the form asks for.
    async fn say_yes(&mut self, question: &Value) {
        let words = question["params"]["message"].as_str().unwrap();
        let email = words.lines().find_map(|line| line.strip_prefix("E-mail: "));
        let yes = json!({"action": "accept", "content": {"confirm": email.unwrap_or("activate")}});
        self.send(json!({"jsonrpc": "2.0", "id": question["id"], "result": yes})).await;
    }

    async fn begin(&mut self, method: &str, params: Value) -> u64 {
        self.last_id += 1;
        self.send(json!({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params})).await;
        self.last_id
    }

    /// Writes to a child that may be dead, which then shows in what it answers.
    async fn send(&mut self, message: Value) {
        let _ = self.stdin.write_all(format!("{message}\n").as_bytes()).await;
    }

    /// The next whole message; `None` at the end, when only half a line may be left.
    async fn next(&mut self) -> Option<Value> {
        let line = tokio::time::timeout(LONGEST, self.stdout.next_line()).await.expect("an answer in time");
        serde_json::from_str(&line.ok()??).ok()
    }
}
