//! Load over HTTP/1.1 keep-alive connections.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    messages::{Era, INITIALIZED},
    server::TOKEN,
    stats::Times,
};

/// What is sent, again and again.
#[derive(Clone)]
pub(crate) enum Load {
    /// Calls of a tool.
    Calls {
        /// Of which generation.
        era: Era,
        /// A request with a given id.
        request: Arc<dyn Fn(u64) -> String>,
    },
    /// `GET /healthz`: what connection, routing and runtime cost without MCP.
    Floor,
}

/// Sends so many requests over each of some connections, all within this one thread.
pub(crate) fn run(address: &str, connections: usize, each: u64, load: &Load) -> (Times, Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let mut opened = Vec::new();
        for _ in 0..connections {
            opened.push(Connection::open(address, load).await);
        }
        let began = Instant::now();
        let running: Vec<_> =
            opened.into_iter().map(|c| tokio::task::spawn_local(c.send(each, load.clone()))).collect();
        let mut times = Vec::new();
        for one in running {
            times.extend(one.await.expect("a connection that lasts"));
        }
        (Times::new(times), began.elapsed())
    })
}

/// One connection, with its session where the generation has them.
pub(crate) struct Connection {
    stream: TcpStream,
    head: String,
    answer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: &str, load: &Load) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        let mut own = Self { stream, head: head(address), answer: Vec::new() };
        match load {
            Load::Floor => own.head = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\n\r\n"),
            Load::Calls { era: Era::Stateless, .. } => {
                own.head +=
                    "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: find_user\r\n";
            }
            Load::Calls { era: Era::Sessions, .. } => own.begin_session().await,
        }
        own
    }

    async fn begin_session(&mut self) {
        self.post(&Era::Sessions.open(0)).await;
        let answer = String::from_utf8_lossy(&self.answer);
        let session =
            answer.lines().find_map(|line| line.strip_prefix("mcp-session-id: ")).expect("a session");
        self.head +=
            &format!("MCP-Protocol-Version: {}\r\nMcp-Session-Id: {session}\r\n", Era::Sessions.version());
        self.post(INITIALIZED).await;
    }

    async fn send(mut self, each: u64, load: Load) -> Vec<Duration> {
        let mut times = Vec::new();
        for id in 1..=each {
            let began;
            match &load {
                Load::Floor => {
                    began = Instant::now();
                    let request = std::mem::take(&mut self.head);
                    self.exchange(request.as_bytes()).await;
                    self.head = request;
                }
                Load::Calls { request, .. } => {
                    let body = request(id);
                    began = Instant::now();
                    self.post(&body).await;
                    assert!(holds(&self.answer, br#""match":"exact""#), "{}", self.text());
                }
            }
            times.push(began.elapsed());
        }
        times
    }

    async fn post(&mut self, body: &str) {
        let request = format!("{}Content-Length: {}\r\n\r\n{body}", self.head, body.len());
        self.exchange(request.as_bytes()).await;
    }

    /// Posts a call; whether it was answered, rather than shed.
    pub(crate) async fn attempt(&mut self, body: &str) -> bool {
        let request = format!("{}Content-Length: {}\r\n\r\n{body}", self.head, body.len());
        self.round_trip(request.as_bytes()).await;
        let answered = self.answer.starts_with(b"HTTP/1.1 200");
        let shed = [429, 503].iter().any(|s| self.answer.starts_with(format!("HTTP/1.1 {s}").as_bytes()));
        assert!(answered || shed, "{}", self.text());
        answered
    }

    async fn exchange(&mut self, request: &[u8]) {
        self.round_trip(request).await;
        assert!(self.answer.starts_with(b"HTTP/1.1 20"), "{}", self.text());
    }

    async fn round_trip(&mut self, request: &[u8]) {
        self.stream.write_all(request).await.expect("the server reads");
        self.answer.clear();
        while !is_whole(&self.answer) {
            let read = self.stream.read_buf(&mut self.answer).await.expect("the server writes");
            assert!(read > 0, "the server closed the connection: {}", self.text());
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.answer).into_owned()
    }
}

pub(crate) fn head(address: &str) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
    )
}

/// Whether an answer is there to its end, by its length or by its last chunk.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    if head.contains("transfer-encoding: chunked") {
        return answer.ends_with(b"\r\n0\r\n\r\n");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    answer.len() >= end + 4 + length.map_or(0, |length| length.parse().expect("a length"))
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
