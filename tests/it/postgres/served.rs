//! The program itself over a database server.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
};
use zia_mcp::sandbox::{SandboxOptions, SandboxTenant};

use super::{
    until,
    wire::{Way, Wire},
};
use crate::place::Place;

/// Never in a log or an answer.
const PASSWORD: &str = "canary-Passw0rd";

fn program(state: &Path, url: &str, arguments: &[&str]) -> Command {
    let mut url: url::Url = url.parse().unwrap();
    // The server trusts whoever is on this machine, whatever the password.
    url.set_password(Some(PASSWORD)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_zia-mcp"));
    command.env_clear().kill_on_drop(true).args(arguments).stdin(Stdio::null()).envs([
        ("ZIA_MCP_STATE_DIR", state.to_str().unwrap()),
        ("ZIA_MCP_DATABASE_URL", url.as_str()),
        ("ZIA_MCP_HTTP_TOKEN", "0123456789abcdef0123456789abcdef"),
    ]);
    command
}

/// A command to its end: its exit code and all that it said.
async fn run(place: &Place, url: &str, arguments: &[&str]) -> (i32, String) {
    let output = program(&place.state(), url, arguments).output().await.unwrap();
    let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(!told.contains(PASSWORD), "{told}");
    (output.status.code().unwrap(), told)
}

async fn status(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// A server whose way to the database can be cut, and its address.
async fn serving(place: &Place) -> (Wire, Child, String) {
    let wire = Wire::to(place.url().unwrap()).await;
    let arguments = ["serve", "--http", "127.0.0.1:0", "--sandbox", "--sandbox-users", "20"];
    let mut command = program(&place.state(), &wire.url, &arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    (wire, child, line.rsplit("//").next().unwrap().to_owned())
}

#[tokio::test]
async fn f7_readiness_follows_the_server_and_liveness_does_not() {
    let place = Place::on_postgres();
    let (wire, mut child, address) = serving(&place).await;
    assert_eq!(status(&address, "/readyz").await, "200");
    for way in [Way::Cut, Way::Stalled] {
        wire.set(way);
        assert_eq!(status(&address, "/readyz").await, "503", "{way:?}");
        assert_eq!(status(&address, "/healthz").await, "200", "{way:?}");
        wire.set(Way::Open);
        until("it is ready again", async || status(&address, "/readyz").await == "200").await;
    }
    child.kill().await.unwrap();
}

#[tokio::test]
async fn f7_a_call_without_the_server_says_when_to_call_again() {
    let place = Place::on_postgres();
    let (wire, mut child, address) = serving(&place).await;
    wire.set(Way::Stalled);
    for (tool, arguments) in [
        ("find_user", json!({"query": "nobody@example.com"})),
        ("deprovision_user", json!({"user": "nobody@example.com"})),
    ] {
        let error = called(&address, tool, &arguments).await;
        assert_eq!(error["code"], "STORE_UNAVAILABLE", "{error}");
        assert!(error["retry_at"].is_string() && error["retryable"] == true, "{error}");
    }
    child.kill().await.unwrap();
}

/// The error that a tool answers.
async fn called(address: &str, tool: &str, arguments: &serde_json::Value) -> serde_json::Value {
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {}});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": tool, "arguments": arguments, "_meta": meta}})
    .to_string();
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer 0123456789abcdef0123456789abcdef\r\n\
         Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: {tool}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let json = answer.find("{\"jsonrpc\"").map(|at| &answer[at..]).unwrap_or_else(|| panic!("{answer}"));
    let end = json.rfind('}').unwrap();
    let message: serde_json::Value = serde_json::from_str(&json[..=end]).unwrap();
    message["result"]["structuredContent"]["error"].clone()
}

#[tokio::test]
async fn a_server_that_starts_without_its_database_ends_with_69_and_keeps_the_password() {
    let place = Place::on_postgres();
    let wire = Wire::to(place.url().unwrap()).await;
    wire.set(Way::Cut);
    let run = run(&place, &wire.url, &["serve", "--sandbox", "--log", "trace"]);
    let (code, told) = tokio::time::timeout(Duration::from_secs(30), run).await.unwrap();
    assert_eq!(code, 69, "{told}");
}

#[tokio::test]
async fn every_command_works_over_a_database_server() {
    let place = Place::on_postgres();
    let url = place.url().unwrap();
    let (code, told) = run(&place, url, &["store", "migrate"]).await;
    assert!(code == 0 && told.contains("the PostgreSQL database"), "{told}");
    // The embedded tenant has the same groups each time.
    let tenant = SandboxTenant::start(SandboxOptions { users: 1_000, ..SandboxOptions::default() });
    let group = tenant.await.unwrap().groups()[0].id.to_string();
    let user = json!({"name": "Ada Example", "email": "ada.new@example.com", "groups": [group]}).to_string();
    let arguments = ["call", "provision_user", &user, "--sandbox", "--log", "trace"];
    let (code, told) = run(&place, url, &arguments).await;
    assert_eq!(code, 0, "{told}");
    for (arguments, says) in [
        (&["operations"][..], "provision_user"),
        (&["captures", "list"], ""),
        (&["audit", "verify"], "whole"),
        (&["audit", "export"], "send.intended"),
        (&["store", "rekey"], "seals now"),
        (&["audit", "verify"], "whole"),
        (&["doctor", "--sandbox"], "the PostgreSQL database"),
    ] {
        let (code, told) = run(&place, url, arguments).await;
        assert!(code == 0 && told.contains(says), "{arguments:?} {code}: {told}");
    }
    // Nothing of it is in the state directory but the key and what belongs to this machine.
    assert!(!place.state().join("store.db").exists());
}
