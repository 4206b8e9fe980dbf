//! HTTP/1.1 written by hand, so that a test can send what no client library would.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use zia_mcp::http::{self, HttpError, HttpOptions, Readiness};

use super::dummy::Dummy;

pub(super) const TOKEN: &str = "canary-token";

/// A running server.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) dummy: Dummy,
    pub(super) shutdown: CancellationToken,
    pub(super) task: JoinHandle<Result<(), HttpError>>,
}

impl Server {
    pub(super) async fn start() -> Self {
        Self::start_with(|_| {}, true).await
    }

    pub(super) async fn start_with(edit: impl FnOnce(&mut HttpOptions), ready: bool) -> Self {
        let mut options = HttpOptions::new(TOKEN.into(), "tester");
        edit(&mut options);
        let bound = http::bind("127.0.0.1:0", &options).await.unwrap();
        let url = bound.local_url();
        let (dummy, shutdown) = (Dummy::new(), CancellationToken::new());
        let ready = move || std::future::ready(Readiness::new([("store", ready)]));
        let task = tokio::spawn(bound.serve(dummy.clone(), ready, None, shutdown.clone()));
        let address = url.split_once("://").expect("a URL").1.parse().expect("an address");
        Self { address, dummy, shutdown, task }
    }

    /// Sends bytes on a connection of their own and reads the answer to its end.
    pub(super) async fn raw(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_ref()).await.unwrap();
        Answer::read(&mut stream).await
    }

    /// A request with the given headers besides `Connection: close`, and nothing added.
    pub(super) async fn bare(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.raw(head(line, headers, body) + body).await
    }

    /// A request with a good client's headers, some replaced; an empty value leaves one out.
    pub(super) async fn send(&self, line: &str, changes: &[(&str, &str)], body: &str) -> Answer {
        self.raw(self.head(line, changes, body) + body).await
    }

    /// A POST of `/mcp`.
    pub(super) async fn post(&self, changes: &[(&str, &str)], body: &str) -> Answer {
        self.send("POST /mcp HTTP/1.1", changes, body).await
    }

    pub(super) fn head(&self, line: &str, changes: &[(&str, &str)], body: &str) -> String {
        let headers = self.headers(changes);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        head(line, &headers, body)
    }

    pub(super) fn headers(&self, changes: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut headers: Vec<(String, String)> = [
            ("Host", self.address.to_string()),
            ("Authorization", format!("Bearer {TOKEN}")),
            ("Content-Type", "application/json".into()),
            ("Accept", "application/json, text/event-stream".into()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
        for (name, value) in changes {
            headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
            if !value.is_empty() {
                headers.push(((*name).to_owned(), (*value).to_owned()));
            }
        }
        headers
    }

    /// A call of protocol 2026-07-28.
    pub(super) async fn call(&self, tool: &str, arguments: Value) -> Answer {
        self.post(&modern_headers(tool), &modern_call(1, tool, arguments)).await
    }

    /// Calls the tool `caller` on a connection that stays open: the status.
    pub(super) async fn on(&self, stream: &mut TcpStream, bearer: &str) -> u16 {
        let answer = self.answer_on(stream, bearer).await;
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }

    /// The same: the whole answer.
    pub(super) async fn answer_on(&self, stream: &mut TcpStream, bearer: &str) -> String {
        let body = modern_call(1, "caller", json!({}));
        let changes = [&modern_headers("caller")[..], &[("Authorization", bearer)]].concat();
        let head = self.head("POST /mcp HTTP/1.1", &changes, &body).replacen("Connection: close\r\n", "", 1);
        stream.write_all((head + &body).as_bytes()).await.unwrap();
        let mut read = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&read);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.to_ascii_lowercase();
                let length = length.split_once("content-length: ").expect("a length").1;
                let length: usize =
                    length.lines().next().unwrap_or_default().trim().parse().expect("a number");
                if body.len() >= length {
                    return text.into_owned();
                }
            }
            assert!(stream.read_buf(&mut read).await.unwrap() > 0, "cut off");
        }
    }

    /// A session of protocol 2025-11-25: its id.
    pub(super) async fn session(&self) -> String {
        let answer = self.post(&[], INITIALIZE).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let id = answer.header("mcp-session-id").expect("a session").to_owned();
        let told = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        assert_eq!(self.post(&[("Mcp-Session-Id", &id)], told).await.status, 202);
        id
    }
}

pub(super) const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"0"}}}"#;

fn head(line: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut head = format!("{line}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    head + "\r\n"
}

pub(super) fn modern_headers(tool: &str) -> [(&str, &str); 3] {
    [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", "tools/call"), ("Mcp-Name", tool)]
}

pub(super) fn modern_call(id: i64, tool: &str, arguments: Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
        "name": tool, "arguments": arguments, "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "0"},
            "io.modelcontextprotocol/clientCapabilities": {}}}})
    .to_string()
}

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("an answer in time").unwrap();
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    pub(super) fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer in {text:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(own, value)| own.eq_ignore_ascii_case(name).then_some(value))
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON in {self:?}"))
    }

    pub(super) fn code(&self) -> i64 {
        self.json()["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error in {self:?}"))
    }

    pub(super) fn text(&self) -> String {
        let text = &self.json()["result"]["content"][0]["text"];
        text.as_str().unwrap_or_else(|| panic!("no text in {self:?}")).to_owned()
    }
}
