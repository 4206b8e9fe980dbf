//! A tenant that answers what a test scripts, byte for byte.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use zia_mcp::{
    model::{Clock, OperationId, SendPermit, Write},
    zia::{Deadline, Limits, Settings, Timeouts, Zia},
};

pub(super) const SIGN_IN: &str = "POST /api/v1/authenticatedSession";

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Method and path, without the query.
    pub(super) call: String,
    pub(super) query: String,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: String,
    /// How many of the same call came before.
    pub(super) nth: usize,
}

impl Seen {
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What the tenant does with a request.
pub(super) enum Answer {
    /// These bytes, then the end of the connection.
    Bytes(Vec<u8>),
    /// Some bytes at once, then some one at a time with a pause before each.
    Drip(&'static [u8], &'static [u8], Duration),
    /// Nothing for a while, then another answer.
    After(Duration, Box<Answer>),
    /// The connection ends without a word.
    Drop,
}

/// A reply with any headers, each ended by `\r\n`, and the right length.
pub(super) fn reply(status: u16, headers: &str, body: &[u8]) -> Answer {
    let head = format!(
        "HTTP/1.1 {status} Word\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    Answer::Bytes([head.as_bytes(), body].concat())
}

pub(super) fn json(status: u16, body: &str) -> Answer {
    reply(status, "content-type: application/json\r\n", body.as_bytes())
}

/// A good sign-in with a session id.
pub(super) fn signed_in(id: &str) -> Answer {
    let cookie = format!("set-cookie: JSESSIONID={id}; Path=/; Secure; HttpOnly\r\n");
    reply(200, &cookie, br#"{"authType":"ADMIN_LOGIN","obfuscateApiKey":true}"#)
}

pub(super) fn active() -> Answer {
    json(200, r#"{"status":"ACTIVE"}"#)
}

pub(super) fn page(status: u16) -> Answer {
    reply(
        status,
        "content-type: text/html\r\n",
        b"<!doctype html><html><body>Sign in to the network</body></html>",
    )
}

/// A listening tenant.
#[derive(Clone)]
pub(super) struct Tenant {
    pub(super) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Tenant {
    pub(super) async fn start(script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let tenant = Self { url, seen: Arc::default() };
        let (seen, script) = (tenant.seen.clone(), Arc::new(script));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, seen.clone(), script.clone()));
            }
        });
        tenant
    }

    /// Signs everyone in and leaves the rest to the script.
    pub(super) async fn signing_in(script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(move |seen| if seen.call == SIGN_IN { signed_in("A1") } else { script(seen) }).await
    }

    /// A place where nobody listens.
    pub(super) async fn gone() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { url: format!("http://{}", listener.local_addr().unwrap()), seen: Arc::default() }
    }

    /// The requests of one call, such as `GET /api/v1/status`.
    pub(super) fn seen(&self, call: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.call == call).cloned().collect()
    }

    pub(super) fn count(&self, call: &str) -> usize {
        self.seen(call).len()
    }

    pub(super) fn total(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// A client without pacing and with short pauses.
    pub(super) fn client(&self) -> Zia {
        self.client_with(|settings| settings)
    }

    pub(super) fn client_with(&self, change: impl FnOnce(Settings) -> Settings) -> Zia {
        let settings = Settings::api_key(
            None,
            Some(&self.url),
            "admin@example.com",
            "canary-password".into(),
            "canaryApiKey0123".into(),
        );
        let settings = settings.unwrap().with_limits(Limits::unpaced()).with_timeouts(quick());
        Zia::new(change(settings.with_jitter(|| 0.5)), Clock::system()).unwrap()
    }
}

async fn serve(
    mut stream: TcpStream,
    log: Arc<Mutex<Vec<Seen>>>,
    script: Arc<impl Fn(&Seen) -> Answer + Send + Sync>,
) {
    let Some(mut seen) = receive(&mut stream).await else { return };
    {
        let mut log = log.lock().unwrap();
        seen.nth = log.iter().filter(|before| before.call == seen.call).count();
        log.push(seen.clone());
    }
    let mut answer = script(&seen);
    while let Answer::After(pause, then) = answer {
        tokio::time::sleep(pause).await;
        answer = *then;
    }
    match answer {
        Answer::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Answer::Drip(head, rest, pause) => {
            let _ = stream.write_all(head).await;
            for byte in rest {
                tokio::time::sleep(pause).await;
                if stream.write_all(&[*byte]).await.is_err() {
                    return;
                }
            }
        }
        Answer::After(..) | Answer::Drop => {}
    }
}

async fn receive(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break String::from_utf8(bytes.drain(..end + 4).collect()).unwrap();
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let fields = lines.filter_map(|line| line.split_once(": "));
    let headers: HashMap<_, _> = fields.map(|(n, v)| (n.to_lowercase(), v.to_owned())).collect();
    let length = headers.get("content-length").map_or(0, |n| n.parse().unwrap());
    while bytes.len() < length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let (call, body) = (format!("{method} {path}"), String::from_utf8(bytes).unwrap());
    Some(Seen { call, query: query.to_owned(), headers, body, nth: 0 })
}

/// Time limits and pauses for tests that wait for them.
pub(super) fn quick() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(2),
        read_header: Duration::from_secs(2),
        write_header: Duration::from_secs(2),
        idle: Duration::from_secs(2),
        total: Duration::from_secs(4),
        read_pause: Duration::from_millis(5),
        lock_pause: (Duration::from_millis(20), Duration::from_millis(40)),
    }
}

pub(super) fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

/// Lets time pass for everyone, at once.
pub(super) async fn later(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

/// A permit for one write; the real ones come from the store.
pub(super) struct Permit(OperationId, Write, bool);

impl SendPermit for Permit {
    fn operation(&self) -> &OperationId {
        &self.0
    }

    fn write(&self) -> Write {
        self.1
    }

    fn holds_for(&self, _: Duration) -> bool {
        self.2
    }
}

pub(super) fn permit(write: Write) -> Permit {
    Permit(OperationId::random(), write, true)
}

/// A permit of a process that lost its lease meanwhile.
pub(super) fn lapsed_permit(write: Write) -> Permit {
    Permit(OperationId::random(), write, false)
}
