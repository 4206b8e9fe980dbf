//! The binary itself, at trace level: its output, its log and its files.

use std::process::{Output, Stdio};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::Command,
};
use zia_mcp::sandbox::{SandboxOptions, SandboxTenant};

use super::{hunt::Hunt, tap::Tap};

const TOKEN: &str = "canary-bearer-token-0123456789abcdef";

/// A sandbox tenant, a tap before it, and a place for the state.
struct Place {
    tenant: SandboxTenant,
    tap: Tap,
    dir: TempDir,
}

impl Place {
    async fn new() -> Self {
        let options = SandboxOptions { users: 20, ..SandboxOptions::default() };
        let tenant = SandboxTenant::start(options).await.unwrap();
        let tap = Tap::before(tenant.address()).await;
        Self { tenant, tap, dir: TempDir::new().unwrap() }
    }

    fn state_dir(&self) -> std::path::PathBuf {
        self.dir.path().join("state")
    }

    fn command(&self, password: &str) -> Command {
        let own = self.tenant.settings();
        let mut command = Command::new(env!("CARGO_BIN_EXE_zia-mcp"));
        command.env_clear().kill_on_drop(true).arg("--log").arg("trace").envs([
            ("ZIA_BASE_URL", self.tap.url.as_str()),
            ("ZIA_USERNAME", &own.username),
            ("ZIA_PASSWORD", password),
            ("ZIA_API_KEY", &own.api_key),
        ]);
        command.arg("--state-dir").arg(self.state_dir());
        command
    }

    fn hunt(&self) -> Hunt {
        let mut hunt = Hunt::default();
        let own = self.tenant.settings();
        hunt.add("the password", own.password);
        hunt.add("the API key", own.api_key);
        for (before, after) in [("\"password\":\"", '"'), ("\"apiKey\":\"", '"'), ("JSESSIONID=", ';')] {
            self.tap.between(before, after).into_iter().for_each(|secret| hunt.add(before, secret));
        }
        hunt.add_keys(&self.state_dir().join("key"));
        hunt
    }
}

fn check(hunt: &Hunt, output: &Output) {
    hunt.assert_absent("the output", &output.stdout);
    hunt.assert_absent("the log", &output.stderr);
}

#[tokio::test]
async fn t18_one_call_at_the_terminal_shows_no_secret() {
    let place = Place::new().await;
    let group = place.tenant.groups().first().unwrap().id.to_string();
    let new = serde_json::json!({"name": "Ada", "email": "ada@example.com", "groups": [group]});
    let password = place.tenant.settings().password;
    let run =
        |tool: &str, arguments: String| place.command(&password).args(["call", tool]).arg(arguments).output();
    let created = run("provision_user", new.to_string()).await.unwrap();
    assert!(created.status.success(), "{created:?}");
    let asked = run("deprovision_user", r#"{"user": "ada@example.com"}"#.into()).await.unwrap();
    let doctor = place.command(&password).arg("doctor").output().await.unwrap();
    let wrong = place.command("Wr0ng-canary!").args(["call", "tenant_status"]).output().await.unwrap();
    assert!(!wrong.status.success());
    let mut hunt = place.hunt();
    hunt.add("the wrong password", "Wr0ng-canary!");
    assert_eq!(place.tap.between("\"password\":\"", '"').len(), 3, "sign-in, wrong and generated");
    assert!(String::from_utf8_lossy(&created.stderr).contains("zia_mcp"), "nothing was logged");
    for output in [created, asked, doctor, wrong] {
        check(&hunt, &output);
    }
    hunt.assert_absent_from_files(&place.state_dir());
}

#[tokio::test]
async fn t18_serving_http_shows_no_token() {
    let place = Place::new().await;
    let mut serve = place.command(&place.tenant.settings().password);
    serve.args(["serve", "--http", "127.0.0.1:0"]).env("ZIA_MCP_HTTP_TOKEN", TOKEN);
    let mut child = serve.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).await.unwrap();
    let address = line.trim().strip_prefix("listening on http://").expect("a URL").to_owned();
    for token in [TOKEN, "canary-wrong-token"] {
        let answer = call(&address, token).await;
        assert!(answer.starts_with(if token == TOKEN { "HTTP/1.1 200" } else { "HTTP/1.1 401" }), "{answer}");
        line += &answer;
    }
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    stdout.read_to_string(&mut line).await.unwrap();
    let mut output = child.wait_with_output().await.unwrap();
    output.stdout = line.into_bytes();
    assert!(String::from_utf8_lossy(&output.stderr).contains("zia_mcp"), "nothing was logged");
    let mut hunt = place.hunt();
    hunt.add("the token", TOKEN);
    hunt.add("the wrong token", "canary-wrong-token");
    check(&hunt, &output);
    hunt.assert_absent_from_files(&place.state_dir());
}

/// One call of `tenant_status`, as text.
async fn call(address: &str, token: &str) -> String {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"tenant_status","arguments":{},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"0"},"io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: tenant_status\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
