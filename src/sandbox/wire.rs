//! Connections that can be cut, and replies put on them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::connect_info::Connected;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use axum::serve::{IncomingStream, Listener};
use futures::stream::{self, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::replies::{Delivery, Reply};

/// A listener whose connections can be cut.
pub(super) struct WireListener {
    pub(super) inner: TcpListener,
    /// Once this is cancelled, nothing is written on any connection.
    pub(super) closing: CancellationToken,
}

/// A connection on which nothing more can be written once it is cut.
pub(super) struct Wire {
    stream: TcpStream,
    cut: Cut,
    closing: CancellationToken,
}

/// Cuts the connection that a call came on.
#[derive(Clone, Default)]
pub(super) struct Cut(Arc<AtomicBool>);

impl Cut {
    /// The reply that comes next is not sent: the caller sees the connection close.
    pub(super) fn now(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Listener for WireListener {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        let (stream, peer) = Listener::accept(&mut self.inner).await;
        // Small answers at once: without this every other call costs 40 ms.
        let _ = stream.set_nodelay(true);
        (Wire { stream, cut: Cut::default(), closing: self.closing.clone() }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

impl Connected<IncomingStream<'_, WireListener>> for Cut {
    fn connect_info(stream: IncomingStream<'_, WireListener>) -> Self {
        stream.io().cut.clone()
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.cut.0.load(Ordering::SeqCst) || self.closing.is_cancelled() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The response for a reply, whose body may come late, in part, or not at all.
pub(super) async fn deliver(reply: Reply, cut: &Cut) -> Response<Body> {
    match reply.delivery {
        Delivery::Never => std::future::pending().await,
        Delivery::Cut => cut.now(),
        _ => {}
    }
    let (content_type, bytes) = reply.content.render();
    let length = bytes.len();
    let body = match reply.delivery {
        Delivery::Truncated(after) => truncated(bytes, after),
        Delivery::Drip { bytes: size, every } => dripping(bytes, size.max(1), every),
        _ => Body::from(bytes),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if reply.status != 204 {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    if reply.delivery == Delivery::BadGzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let typed = content_type.map(|content_type| ("content-type", content_type));
    for (name, value) in reply.headers.into_iter().chain(typed) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}

fn truncated(bytes: Vec<u8>, after: Option<usize>) -> Body {
    let kept = after.unwrap_or(bytes.len() / 2).min(bytes.len());
    let part = Bytes::from(bytes).slice(..kept);
    let broken = async {
        // Gives the part its turn to be flushed before the connection is given up.
        tokio::task::yield_now().await;
        Err(io::Error::from(io::ErrorKind::ConnectionAborted))
    };
    Body::from_stream(stream::iter([Ok(part)]).chain(stream::once(broken)))
}

fn dripping(bytes: Vec<u8>, size: usize, every: Duration) -> Body {
    let rest = Bytes::from(bytes);
    Body::from_stream(stream::unfold(rest, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(every).await;
        let piece = rest.split_to(size.min(rest.len()));
        Some((Ok::<_, io::Error>(piece), rest))
    }))
}
