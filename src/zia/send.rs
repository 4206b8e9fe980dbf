//! The only place that sends.

use std::{
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use reqwest::{Certificate, Client, Request, Response, redirect::Policy};
use tokio::time::{Instant, timeout_at};
use url::Url;
use zeroize::Zeroizing;

use super::{
    endpoints::Endpoint,
    error::{Kind, Landed, Phase},
    fault::Fault,
    settings::{SettingsError, Timeouts},
};
use crate::model::{Clock, is_loopback};

/// A request that is ready to leave.
pub(super) struct Prepared {
    pub(super) endpoint: Endpoint,
    pub(super) url: Url,
    /// Cookie or bearer token; none on a sign-in.
    pub(super) credential: Option<(HeaderName, HeaderValue)>,
    pub(super) body: Option<Body>,
}

/// A body and its media type.
pub(super) struct Body {
    pub(super) content_type: &'static str,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

/// A reply, read as far as it went.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Why the body is not whole.
    pub(super) broken: Option<Broken>,
}

/// Why a body is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The connection ended, or the compression is damaged.
    Cut,
    /// It went over the endpoint's limit.
    TooLong,
    /// Its end did not come in time.
    Stalled,
}

impl Reply {
    /// The vendor's id of the request, if plain (zia-facts §2).
    pub(super) fn request_id(&self) -> Option<String> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        ["x-oneapi-request-id", "x-transaction-id", "x-request-id"]
            .into_iter()
            .filter_map(|name| self.headers.get(name)?.to_str().ok())
            .find(|id| (1..=128).contains(&id.len()) && id.bytes().all(plain))
            .map(str::to_owned)
    }
}

/// Sends requests over HTTP/1.1 and rustls, following no redirect and no proxy setting.
pub(super) struct Wire {
    client: Client,
    timeouts: Timeouts,
    clock: Clock,
    /// Seconds our clock is ahead of the last reply's `Date`; `i64::MIN` before the first.
    skew: AtomicI64,
    skew_told: AtomicBool,
    /// What the last reply said of the tenant's mode.
    read_only: AtomicBool,
}

/// Kept shorter than servers keep a connection, so that writes do not meet a dying one.
const POOL_IDLE: Duration = Duration::from_secs(8);
/// A clock further off is worth a warning; sign-in fails at 2 hours (zia-facts §1.2).
const SKEW_SECONDS: u64 = 30;

impl Wire {
    /// Prepares connections to the given places.
    pub(super) fn new(
        timeouts: Timeouts,
        clock: Clock,
        places: &[&Url],
        extra_ca: Vec<Certificate>,
    ) -> Result<Self, SettingsError> {
        // An error says that a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("zia-mcp/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .pool_idle_timeout(POOL_IDLE)
            .connect_timeout(timeouts.connect);
        if places.iter().all(|url| url.scheme() == "https") {
            builder = builder.https_only(true).tls_certs_merge(extra_ca);
        } else if places.iter().all(|url| is_loopback(url)) {
            // Nothing leaves the machine, which then need not have any certificates.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|_| {
            SettingsError::new(
                "SSL_CERT_FILE",
                "expected root certificates: the system's, those of this file, or those of [tenant] extra_ca_file",
            )
        })?;
        let (skew, skew_told) = (AtomicI64::new(i64::MIN), AtomicBool::new(false));
        Ok(Self { client, timeouts, clock, skew, skew_told, read_only: AtomicBool::new(false) })
    }

    /// The longest that a write and the reading of its reply take.
    pub(super) fn longest(&self) -> Duration {
        self.total(self.timeouts.write_header)
    }

    /// A write may use up the whole header wait and must still be read.
    fn total(&self, wait: Duration) -> Duration {
        self.timeouts.total.max(wait + self.timeouts.idle.min(self.timeouts.total))
    }

    /// Sends a request and reads its reply; a read ends at `cut` at the latest.
    pub(super) async fn exchange(&self, prepared: Prepared, cut: Option<Instant>) -> Result<Reply, Fault> {
        let endpoint = prepared.endpoint;
        let start = Instant::now();
        let until = |after: Duration| cut.map_or(start + after, |cut| cut.min(start + after));
        let wait = if endpoint.is_write() { self.timeouts.write_header } else { self.timeouts.read_header };
        let sent = timeout_at(until(wait), self.send(request(prepared))).await;
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(lost(&error, endpoint)),
            Err(_) => return Err(Fault::lost(Kind::TimedOut, Phase::Headers, landed(endpoint))),
        };
        let reply = self.read(response, endpoint.max_body(), until(self.total(wait))).await;
        self.note(endpoint, &reply, start.elapsed());
        Ok(reply)
    }

    #[allow(clippy::disallowed_methods)] // the only place that sends
    async fn send(&self, request: Request) -> reqwest::Result<Response> {
        self.client.execute(request).await
    }

    async fn read(&self, mut response: Response, most: usize, until: Instant) -> Reply {
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let mut body = Vec::new();
        let broken = loop {
            let idle = Instant::now() + self.timeouts.idle;
            match timeout_at(idle.min(until), response.chunk()).await {
                Ok(Ok(None)) => break None,
                Ok(Ok(Some(piece))) if body.len() + piece.len() > most => break Some(Broken::TooLong),
                Ok(Ok(Some(piece))) => body.extend_from_slice(&piece),
                Ok(Err(_)) => break Some(Broken::Cut),
                Err(_) => break Some(Broken::Stalled),
            }
        };
        Reply { status, headers, body, broken }
    }

    fn note(&self, endpoint: Endpoint, reply: &Reply, elapsed: Duration) {
        tracing::debug!(
            zia.endpoint = endpoint.name(),
            http.status = reply.status.as_u16(),
            http.body_bytes = reply.body.len(),
            zia.elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            zia.request_id = reply.request_id(),
            "ZIA replied"
        );
        if let Some(mode) = reply.headers.get("x-zscaler-mode") {
            self.read_only.store(mode == "read-only", Ordering::Relaxed);
        }
        let Some(theirs) = date(&reply.headers) else { return };
        let ahead = self.clock.now().as_second().saturating_sub(theirs.as_second());
        self.skew.store(ahead, Ordering::Relaxed);
        if ahead.unsigned_abs() > SKEW_SECONDS && !self.skew_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(clock.ahead_seconds = ahead, "this machine's clock differs from ZIA's");
        }
    }

    /// Whether the last reply that told the tenant's mode said read-only.
    pub(super) fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Relaxed)
    }

    /// Seconds our clock is ahead of ZIA's, as of the last reply that told the time.
    pub(super) fn skew(&self) -> Option<i64> {
        Some(self.skew.load(Ordering::Relaxed)).filter(|ahead| *ahead != i64::MIN)
    }
}

fn request(prepared: Prepared) -> Request {
    let mut request = Request::new(prepared.endpoint.method(), prepared.url);
    let headers = request.headers_mut();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if let Some((name, value)) = prepared.credential {
        headers.insert(name, value);
    }
    if let Some(body) = prepared.body {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(body.content_type));
        *request.body_mut() = Some(body.bytes.to_vec().into());
    }
    request
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(header::DATE)?.to_str().ok()?;
    httpdate::parse_http_date(text).ok()?.try_into().ok()
}

fn landed(endpoint: Endpoint) -> Landed {
    if endpoint.is_write() { Landed::Unknown } else { Landed::No }
}

/// Tells a request that never left from one whose reply was lost.
fn lost(error: &reqwest::Error, endpoint: Endpoint) -> Fault {
    if error.is_connect() {
        let phase = if error.is_dns() {
            Phase::Lookup
        } else if is_tls(error) {
            Phase::Tls
        } else {
            Phase::Connect
        };
        return Fault::lost(Kind::Unreachable, phase, Landed::No);
    }
    if error.is_builder() {
        return Fault::refused();
    }
    Fault::lost(Kind::Unreachable, Phase::Headers, landed(endpoint))
}

/// Looks through all causes; an I/O error names its own apart from `source`.
fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>() || inner.is_some_and(|e| is_tls(e)) || error.source().is_some_and(is_tls)
}
