//! Connections: how many, how slow, and how they end.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::Router;
use axum_server::{Handle, Server, accept::Accept, tls_rustls::RustlsAcceptor};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

use super::{
    crowd::{Crowd, Place},
    tls,
    turns::MAX_CALLS,
};

/// Longest TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Longest that the first request's head may take to come.
const FIRST_HEAD: Duration = Duration::from_secs(10);
/// Longest that a connection may wait for its next request and that one's head to come.
const IDLE: Duration = Duration::from_secs(60);
/// Largest head of a request, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// How long calls may still run once the server shuts down; what is left is then cut.
const FINISH_CALLS: Duration = Duration::from_secs(4);
/// How long connections may still live then, this included.
const DRAIN: Duration = Duration::from_millis(4800);

/// A listening socket with its limits.
pub(super) struct Listener {
    server: Server<SocketAddr>,
    handle: Handle<SocketAddr>,
    tls: Option<tls::Config>,
    crowd: Crowd,
}

impl Listener {
    pub(super) fn new(
        listener: std::net::TcpListener,
        tls: Option<tls::Config>,
        crowd: Crowd,
    ) -> io::Result<Self> {
        let handle = Handle::new();
        // HTTP/1.1 only: nothing here gains from HTTP/2, and its resets are a way to flood.
        let mut server = axum_server::from_tcp(listener)?
            .handle(handle.clone())
            .http1_only()
            .first_request_timeout(FIRST_HEAD);
        server.http_builder().http1().header_read_timeout(IDLE).max_buf_size(MAX_HEAD);
        Ok(Self { server, handle, tls, crowd })
    }

    /// Serves until `shutdown`, then drains: no new connection, calls may end, streams are cut.
    pub(super) async fn serve(
        self,
        app: Router,
        calls: Arc<Semaphore>,
        sessions: CancellationToken,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        let drain = drain(self.handle, calls, sessions, shutdown);
        let limit = Limit(self.crowd);
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let serving = async {
            match self.tls {
                None => self.server.acceptor(limit).serve(app).await,
                Some(tls::Config(config)) => {
                    let acceptor = RustlsAcceptor::new(config).handshake_timeout(HANDSHAKE).acceptor(limit);
                    self.server.acceptor(acceptor).serve(app).await
                }
            }
        };
        tokio::select! {
            served = serving => served,
            never = drain => match never {},
        }
    }
}

async fn drain(
    handle: Handle<SocketAddr>,
    calls: Arc<Semaphore>,
    sessions: CancellationToken,
    shutdown: CancellationToken,
) -> std::convert::Infallible {
    shutdown.cancelled().await;
    handle.graceful_shutdown(Some(DRAIN));
    // All permits together mean that no call is left; waiting for them also keeps new calls out.
    let _ = tokio::time::timeout(FINISH_CALLS, calls.acquire_many(MAX_CALLS)).await;
    sessions.cancel();
    std::future::pending().await
}

/// Accepts connections while there are not too many, without Nagle's delay: a streamed answer would
/// wait some 40 ms for it.
#[derive(Clone)]
struct Limit(Crowd);

impl<S> Accept<TcpStream, S> for Limit {
    type Stream = Counted;
    type Service = S;
    type Future = std::future::Ready<io::Result<(Counted, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let counted = || {
            let place = self.0.enter(stream.peer_addr()?.ip()).ok_or(io::ErrorKind::ConnectionRefused)?;
            stream.set_nodelay(true)?;
            Ok((Counted { stream, _place: place }, service))
        };
        std::future::ready(counted())
    }
}

/// A connection that counts until it is dropped.
struct Counted {
    stream: TcpStream,
    _place: Place,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
