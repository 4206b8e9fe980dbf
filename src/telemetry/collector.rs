//! Sends spans to a collector; the third of the three places that send.
//!
//! Apart from `zia/send.rs`, since nothing of a tenant is in it. The exporter's own library makes the
//! requests and calls this from a thread of its own; only the address and the headers that the
//! operator's settings give are used.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::HeaderMap;
use opentelemetry_http::{Bytes, HttpClient, Request, Response};
use reqwest::{Certificate, Client, redirect::Policy};
use tokio::runtime::Handle;

use super::{meter, traces::TracesError};

/// How often the log tells that a collector does not answer.
const TELL_EVERY: Duration = Duration::from_secs(10 * 60);

/// The way to a collector.
pub(super) struct Collector {
    client: Client,
    headers: HeaderMap,
    /// The library's thread has no runtime of its own.
    runtime: Handle,
    /// When it was last told that the collector does not answer; plain, as no await happens under it.
    told: Mutex<Option<Instant>>,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").finish_non_exhaustive()
    }
}

/// Why a batch did not arrive, in fixed words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Lost(&'static str);

type Sent<'a> =
    Pin<Box<dyn Future<Output = Result<Response<Bytes>, Box<dyn Error + Send + Sync>>> + Send + 'a>>;

impl Collector {
    /// Connects over rustls, following no redirect and no proxy setting.
    pub(super) fn new(
        headers: HeaderMap,
        timeout: Duration,
        extra_ca: Option<&str>,
    ) -> Result<Self, TracesError> {
        // An error says that a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let extra = extra_ca.map_or(Ok(Vec::new()), |pem| Certificate::from_pem_bundle(pem.as_bytes()));
        let client = Client::builder()
            .user_agent(concat!("zia-mcp/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .timeout(timeout)
            .tls_certs_merge(extra.map_err(|_| TracesError)?)
            .build()
            .map_err(|_| TracesError)?;
        Ok(Self { client, headers, runtime: Handle::current(), told: Mutex::default() })
    }

    #[expect(clippy::disallowed_methods, reason = "no tenant is asked here: spans go to the collector")]
    async fn send(client: Client, request: reqwest::Request) -> Result<Response<Bytes>, Lost> {
        let answer = client.execute(request).await.map_err(|_| Lost("no answer"))?;
        // The body says nothing that is of use here.
        let mut known = Response::new(Bytes::new());
        *known.status_mut() = answer.status();
        *known.headers_mut() = answer.headers().clone();
        Ok(known)
    }

    /// Counts a batch, and tells of one that did not arrive, once in a while.
    fn note(&self, sent: &Result<Response<Bytes>, Lost>) {
        let status = sent.as_ref().map_or(0, |answer| answer.status().as_u16());
        if (200..300).contains(&status) {
            return meter::trace_export("ok");
        }
        meter::trace_export("failed");
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            *told = Some(Instant::now());
            drop(told);
            tracing::warn!(
                http.status = status,
                "the trace collector takes no spans; see the OTEL_ settings"
            );
        }
    }
}

impl HttpClient for Collector {
    fn send_bytes<'a, 'b>(&'a self, request: Request<Bytes>) -> Sent<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let mut request = reqwest::Request::try_from(request.map(reqwest::Body::from))?;
            request.headers_mut().extend(self.headers.clone());
            let sent = self.runtime.spawn(Self::send(self.client.clone(), request)).await;
            let sent = sent.unwrap_or(Err(Lost("the server is ending")));
            self.note(&sent);
            Ok(sent?)
        })
    }
}
