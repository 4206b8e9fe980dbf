//! `zia-mcp serve`

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use clap::Args;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Exit, General, TenantChoice, output,
    wiring::{self, Wired},
};
use crate::{
    http::{self, CONSOLE_PATH, Console, HttpError, LocalConsole, Readiness},
    lifecycle::Lifecycle,
    mcp::{Server, stdio},
    model::Channel,
};

/// How long running operations may take once the client is gone (guardrails F44).
const STDIO_GRACE: Duration = Duration::from_secs(10);

/// The same over HTTP, counted from the signal.
const HTTP_GRACE: Duration = Duration::from_secs(4);

/// How long a call may still wait for its operation then, over HTTP: what it says has to leave in time.
const HTTP_WAITING: Duration = Duration::from_secs(3);

/// The same over stdio.
const STDIO_WAITING: Duration = Duration::from_secs(8);

/// What a person sees who starts the server at a terminal.
const BY_HAND: &str =
    "ready: a client starts this by itself and speaks MCP over stdin and stdout; Ctrl-C ends it";

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Serve Streamable HTTP at this address instead of stdio; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Offer only tools that change nothing
    #[arg(long)]
    read_only: bool,
    /// TLS certificate chain (PEM), to listen on anything but loopback
    #[arg(long, value_name = "FILE", requires_all = ["http", "tls_key"])]
    tls_cert: Option<PathBuf>,
    /// TLS private key (PEM)
    #[arg(long, value_name = "FILE", requires_all = ["http", "tls_cert"])]
    tls_key: Option<PathBuf>,
    /// A reverse proxy ends TLS in front of this server
    #[arg(long, requires = "http")]
    behind_proxy: bool,
    #[command(flatten)]
    tenant: TenantChoice,
}

impl Serve {
    /// Serves until the client leaves or a signal comes.
    pub(super) async fn run(self, general: &General) -> Result<(), Exit> {
        let mut wired = Wired::start(general, &self.tenant, self.read_only).await?;
        wired.keep_index();
        let shutdown = CancellationToken::new();
        let asked = Arc::new(OnceLock::new());
        let waiting = if self.http.is_some() { HTTP_WAITING } else { STDIO_WAITING };
        tokio::spawn({
            let (stop, asked, lifecycle) = (shutdown.clone(), asked.clone(), wired.lifecycle.clone());
            async move {
                shutdown_signal().await;
                let _ = asked.set(Instant::now());
                stop.cancel();
                tokio::time::sleep(waiting).await;
                lifecycle.stop_waiting();
            }
        });
        let (served, grace) = match &self.http {
            Some(address) => (self.over_http(address, &wired, shutdown).await, HTTP_GRACE),
            None => (over_stdio(&wired, shutdown).await, STDIO_GRACE),
        };
        let spent = asked.get().map_or(Duration::ZERO, Instant::elapsed);
        wired.stop(grace.saturating_sub(spent)).await;
        served
    }

    async fn over_http(&self, address: &str, wired: &Wired, shutdown: CancellationToken) -> Result<(), Exit> {
        let tls = self.tls_cert.clone().zip(self.tls_key.clone());
        let (options, token_file) = wiring::http_options(&wired.config, tls, self.behind_proxy)?;
        let bound = http::bind(address, &options).await.map_err(unbound)?;
        output::line(format!("listening on {}", bound.local_url()))?;
        if let Some(file) = token_file {
            output::line(format!("bearer token in {}", file.display()))?;
        }
        let server = server(wired, Channel::Http, shutdown.clone())?;
        let lifecycle = wired.lifecycle.clone();
        let page = format!("{}{CONSOLE_PATH}", bound.public_url());
        lifecycle.set_console(move || Some(page.clone()));
        let console = Some(Console { provider: wired.config.sign_in.clone(), ..console(&lifecycle) });
        let ready = move || readiness(lifecycle.clone());
        bound
            .watching(wired.lifecycle.clone())
            .serve(server, ready, console, shutdown)
            .await
            .map_err(Exit::unavailable)
    }
}

async fn over_stdio(wired: &Wired, shutdown: CancellationToken) -> Result<(), Exit> {
    if std::io::stdin().is_terminal() {
        // Without a stderr there is nobody to tell.
        let _ = writeln!(anstream::stderr(), "{BY_HAND}");
    }
    let server = server(wired, Channel::Stdio, shutdown.clone())?;
    let closing = shutdown.child_token();
    let _closed_at_the_end = closing.clone().drop_guard();
    open_console_when_needed(&wired.lifecycle, closing);
    stdio::serve(server, tokio::io::stdin(), tokio::io::stdout(), shutdown).await.map_err(Exit::unavailable)
}

pub(super) fn console(lifecycle: &Lifecycle) -> Console {
    let (records, policy) = (lifecycle.records(), lifecycle.settings().policy.clone());
    Console { records, policy, tenant: Some(lifecycle.clone()), provider: None }
}

/// Has the console listen on loopback from when a person first has something to do there.
fn open_console_when_needed(lifecycle: &Lifecycle, closing: CancellationToken) {
    let (console, opened) = (console(lifecycle), OnceLock::new());
    lifecycle.set_console(move || opened.get_or_init(|| open_console(&console, &closing)).clone());
}

/// The address of a console that listens now; none is no reason for anything else to fail.
fn open_console(console: &Console, closing: &CancellationToken) -> Option<String> {
    let failed = |error: &HttpError| tracing::warn!(%error, "there is no approval page");
    let bound = LocalConsole::bind().inspect_err(failed).ok()?;
    let (url, console, closing) = (bound.url(), console.clone(), closing.clone());
    tokio::spawn(async move { bound.serve(console, closing).await.inspect_err(failed) });
    Some(url)
}

fn server(wired: &Wired, channel: Channel, draining: CancellationToken) -> Result<Server, Exit> {
    Server::new(wired.lifecycle.clone(), channel, draining).map_err(|e| Exit::unavailable(e.message))
}

/// An address in use is unavailable; anything else about listening is a setting.
fn unbound(error: HttpError) -> Exit {
    match error {
        HttpError::Bind { .. } => Exit::unavailable(error),
        HttpError::Address(_) => Exit::usage(error),
        _ => Exit::config(error),
    }
}

pub(super) async fn readiness(lifecycle: Lifecycle) -> Readiness {
    let store = lifecycle.ready().await.is_ok();
    Readiness::new([("store", store)])
}

/// Ends when the process is asked to end.
pub(super) async fn shutdown_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut ends: Vec<_> = [SignalKind::terminate(), SignalKind::hangup()]
            .into_iter()
            .filter_map(|k| signal(k).ok())
            .collect();
        let other = std::future::poll_fn(|cx| {
            if ends.iter_mut().any(|s| s.poll_recv(cx).is_ready()) {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        });
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = other => {}
        }
    }
    #[cfg(not(unix))]
    {
        let _ = tokio::signal::ctrl_c().await;
    }
}
