//! Fetches an identity provider's documents; the second of the three places that send.
//!
//! Apart from `zia/send.rs`, since nothing of a tenant is in it, and only to addresses that the operator's
//! settings give or the provider's own document. A body and a credential go to the token endpoint alone, when
//! an approver signs in.

use std::time::Duration;

use axum::http::{Request, Response as Answer};
use reqwest::{Certificate, Client, redirect::Policy};
use url::Url;

use super::HttpError;
use crate::model::is_loopback;

/// Largest document, in bytes (guardrails T13).
const MAX: usize = 64 * 1024;

/// Longest that a document may take, from the connection to its end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Fetches small JSON documents, following no redirect and no proxy setting.
pub(super) struct Fetcher(Client);

impl Fetcher {
    /// Connects by TLS alone, unless the provider is on this machine.
    pub(super) fn new(issuer: &Url, extra_ca: Option<&str>) -> Result<Self, HttpError> {
        let expected = "root certificates: the system's, or those of [tenant] extra_ca_file";
        let unusable = || HttpError::Setting { setting: "issuer", expected };
        // An error says that a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("zia-mcp/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .timeout(PATIENCE);
        if issuer.scheme() == "https" {
            let extra = extra_ca.map_or(Ok(Vec::new()), |pem| Certificate::from_pem_bundle(pem.as_bytes()));
            builder = builder.https_only(true).tls_certs_merge(extra.map_err(|_| unusable())?);
        } else {
            builder = builder.tls_certs_only([]);
        }
        builder.build().map(Self).map_err(|_| unusable())
    }

    /// The document at a URL; the error says what went wrong, without anything of the answer.
    #[expect(clippy::disallowed_methods, reason = "no tenant is asked here: a GET without credentials")]
    pub(super) async fn get(&self, url: &Url) -> Result<Vec<u8>, &'static str> {
        if !is_safe(url) {
            return Err("the address is neither https nor on this machine");
        }
        let request = self.0.get(url.clone()).header("accept", "application/json");
        let answer = request.send().await.map_err(|_| "no answer")?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err("another status than 200");
        }
        whole(answer).await
    }

    /// Sends a request of the OpenID Connect library to where the provider's own document says.
    #[expect(clippy::disallowed_methods, reason = "no tenant is asked here: an approver signs in")]
    pub(super) async fn send(&self, request: Request<Vec<u8>>) -> Result<Answer<Vec<u8>>, Trouble> {
        let url = Url::parse(&request.uri().to_string()).ok().filter(is_safe);
        if url.is_none() {
            return Err(Trouble("the address is neither https nor on this machine"));
        }
        let request = reqwest::Request::try_from(request).map_err(|_| Trouble("no request"))?;
        let answer = self.0.execute(request).await.map_err(|_| Trouble("no answer"))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut given = Answer::new(whole(answer).await.map_err(Trouble)?);
        *given.status_mut() = status;
        *given.headers_mut() = headers;
        Ok(given)
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Trouble(pub(super) &'static str);

/// An answer's body, unless it is too large.
async fn whole(mut answer: reqwest::Response) -> Result<Vec<u8>, &'static str> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|_| "the answer broke off")? {
        if body.len() + piece.len() > MAX {
            return Err("the answer is above 64 KiB");
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// `https`, or `http` on loopback.
pub(super) fn is_safe(url: &Url) -> bool {
    url.has_host() && (url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)))
}
