//! The HTTP door: Streamable HTTP at `/mcp`, health pages, `/metrics`, and what keeps strangers out.
//!
//! A request meets, in this order: the connection limits (`listener`), the `Host` and `Origin` lists
//! (`guard`, `origin`), the bearer token (`token`), the limit of calls at once (`guard`), the checks
//! of its body (`body`), and then rmcp. There is no CORS: no page of another site is ever answered.

mod access;
mod body;
mod challenge;
mod console;
mod crowd;
mod fetch;
mod guard;
mod health;
mod jwt;
mod keys;
mod listener;
mod local;
mod metrics;
mod origin;
mod strict;
mod tls;
mod token;
mod turns;

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use rmcp::ServerHandler;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

pub use access::NamedToken;
pub use console::{Console, PATH as CONSOLE_PATH, Provider};
pub use health::Readiness;
pub use jwt::{Issuer, algorithm};
pub use local::LocalConsole;
pub use token::{ensure_token, new_token};

use crate::{lifecycle::Lifecycle, private_file::PrivateFileError};

/// How the server is reached and by whom.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// The one static bearer token, which grants every tool.
    pub token: Option<SecretString>,
    /// Static tokens with names and scopes of their own.
    pub tokens: Vec<NamedToken>,
    /// Whose access tokens let callers in.
    pub issuer: Option<Issuer>,
    /// Callers who are let in no more, by name.
    pub revoked: BTreeSet<String>,
    /// `Host` values to accept besides the server's own: `host` for any port, or `host:port`.
    pub allowed_hosts: Vec<String>,
    /// `Origin` values to accept besides the server's own: `scheme://host[:port]`, `:*` for any port.
    pub allowed_origins: Vec<String>,
    /// Certificate and key, to serve TLS.
    pub tls: Option<TlsFiles>,
    /// A proxy in front ends TLS.
    pub behind_proxy: bool,
    /// The URL that clients use, where it is not the bound one; its host and origin are accepted.
    pub public_url: Option<String>,
    /// Certificates of those who sign client certificates, which every connection then has to show.
    pub client_ca: Option<PathBuf>,
    /// The name of whoever holds the one token.
    pub caller: String,
}

impl HttpOptions {
    /// The server's own hosts and origins alone, without TLS.
    pub fn new(token: SecretString, caller: impl Into<String>) -> Self {
        Self {
            token: Some(token),
            tokens: Vec::new(),
            issuer: None,
            revoked: BTreeSet::new(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            tls: None,
            behind_proxy: false,
            public_url: None,
            client_ca: None,
            caller: caller.into(),
        }
    }
}

/// PEM files for TLS.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate and those that signed it, its own first.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why the HTTP server does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address is none.
    #[error("{0} is no address to listen on; expected HOST:PORT, such as 127.0.0.1:8080")]
    Address(String),
    /// Others could read the traffic.
    #[error(
        "{0} can be reached from other machines, so it needs TLS: give --tls-cert and --tls-key, \
         or --behind-proxy where a proxy ends TLS, or listen on 127.0.0.1"
    )]
    NeedsTls(SocketAddr),
    /// The system refused the address.
    #[error("cannot listen on {address}: {}", .error.kind())]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// A certificate or key cannot be used.
    #[error("{}: {problem}", .path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// An entry of a host list, an origin list, or the public URL.
    #[error("[http] {setting}: expected {expected}")]
    Setting {
        /// The setting's name.
        setting: &'static str,
        /// What it should look like.
        expected: &'static str,
    },
    /// The token file.
    #[error("{}: {error}", .path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: PrivateFileError,
    },
    /// The listener failed.
    #[error("the HTTP server stopped: {}", .0.kind())]
    Serve(io::Error),
}

/// A server that has its address and does not answer yet.
#[derive(Debug)]
pub struct Bound {
    listener: std::net::TcpListener,
    address: SocketAddr,
    tls: Option<tls::Config>,
    options: HttpOptions,
    guard: guard::Guard,
    watched: Option<Lifecycle>,
}

/// Binds an address; port 0 takes a free one.
///
/// # Errors
///
/// [`HttpError`]: an address, list entry, certificate or key that cannot be used, or an address that
/// other machines reach without TLS.
pub async fn bind(address: &str, options: &HttpOptions) -> Result<Bound, HttpError> {
    let wanted = resolve(address).await?;
    if !wanted.ip().is_loopback() && options.tls.is_none() && !options.behind_proxy {
        return Err(HttpError::NeedsTls(wanted));
    }
    let tls = tls::load(options.tls.as_ref(), options.client_ca.as_deref())?;
    let failed = |error| HttpError::Bind { address: wanted, error };
    let listener = std::net::TcpListener::bind(wanted).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let own = origin::Allowed::new(address, tls.is_some(), options)?;
    if address.ip().is_unspecified() && options.allowed_hosts.is_empty() && options.public_url.is_none() {
        tracing::warn!("only requests to localhost pass; set [http] public_url or allowed_hosts");
    }
    let public = public_url(address, tls.is_some(), options);
    let guard = guard::Guard::new(options, own, &public)?;
    Ok(Bound { listener, address, tls, options: options.clone(), guard, watched: None })
}

fn local_url(address: SocketAddr, tls: bool) -> String {
    format!("{}://{address}", if tls { "https" } else { "http" })
}

fn public_url(address: SocketAddr, tls: bool, options: &HttpOptions) -> String {
    let public = options.public_url.as_deref().map(|url| url.trim_end_matches('/').to_owned());
    public.unwrap_or_else(|| local_url(address, tls))
}

async fn resolve(address: &str) -> Result<SocketAddr, HttpError> {
    let unusable = || HttpError::Address(address.to_owned());
    let mut found = tokio::net::lookup_host(address).await.map_err(|_| unusable())?;
    found.next().ok_or_else(unusable)
}

impl Bound {
    /// The bound address as a URL, without a path.
    pub fn local_url(&self) -> String {
        local_url(self.address, self.tls.is_some())
    }

    /// The URL by which people and clients reach it, without a path.
    pub fn public_url(&self) -> String {
        public_url(self.address, self.tls.is_some(), &self.options)
    }

    /// The bound address.
    pub fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// Serves `/metrics` too, with how things stand in these use cases.
    #[must_use]
    pub fn watching(self, lifecycle: Lifecycle) -> Self {
        Self { watched: Some(lifecycle), ..self }
    }

    /// Serves until `shutdown` is cancelled, then drains and returns within 5 s.
    ///
    /// `ready` is asked at each `/readyz`; without a console there is no such page. `handler` is cloned for each session and, from protocol
    /// 2026-07-28 on, for each request; it should hold its state behind an `Arc` and watch
    /// `shutdown` to end its subscriptions.
    ///
    /// # Errors
    ///
    /// [`HttpError::Serve`].
    pub async fn serve<H, F, R>(
        self,
        handler: H,
        ready: F,
        console: Option<Console>,
        shutdown: CancellationToken,
    ) -> Result<(), HttpError>
    where
        H: ServerHandler + Clone,
        F: Fn() -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Readiness> + Send + 'static,
    {
        let sessions = CancellationToken::new();
        let url = self.public_url();
        let limit = self.guard.calls();
        let mut open = health::router(ready, shutdown.clone());
        if let Some(console) = console {
            let behind_proxy = self.options.behind_proxy;
            let secure = self.tls.is_some() || behind_proxy || url.starts_with("https:");
            open = open.merge(console::router(console, console::Site { url, secure, behind_proxy })?);
        }
        if let Some(lifecycle) = self.watched {
            open = open.merge(self.guard.for_callers(metrics::router(lifecycle)));
        }
        let app = self.guard.app(handler, &sessions, open);
        let crowd = crowd::Crowd::new(self.options.behind_proxy);
        let listener = listener::Listener::new(self.listener, self.tls, crowd).map_err(HttpError::Serve)?;
        listener.serve(app, limit, sessions, shutdown).await.map_err(HttpError::Serve)
    }
}
