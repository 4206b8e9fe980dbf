//! The stdio door: MCP over standard input and output.
//!
//! Each line is checked by [`frame`](super::frame) before rmcp sees it, and what is wrong is
//! answered here. One task writes, so lines never mix.

mod door;
mod flight;
mod lines;
mod output;

use std::{io, time::Duration};

use rmcp::{ServerHandler, service::ServerInitializeError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use door::Door;

/// Longest line read, in bytes, without its line end.
pub const MAX_LINE: usize = 4 * 1024 * 1024;

/// How long running calls may go on once the input has ended. rmcp adds up to 2 s, so that all is
/// over within 10 s.
const WIND_DOWN: Duration = Duration::from_secs(8);

/// How long the last lines may take to leave; a client that stopped reading gets no more.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Why the stdio door closed.
#[derive(Debug, thiserror::Error)]
pub enum StdioError {
    /// The client and the server could not agree to begin.
    #[error("the MCP session could not be opened")]
    Open,
    /// The task that serves the session ended by a fault.
    #[error("the MCP session ended by an internal fault")]
    Fault,
    /// Standard output takes nothing.
    #[error("cannot write to standard output")]
    Write(#[source] io::Error),
}

/// Serves one client until its input ends or `shutdown` is cancelled.
///
/// Then no more is read, calls that run may finish for up to 10 s, and questions to the client that
/// nobody can answer any more fail.
///
/// # Errors
///
/// See [`StdioError`]. The end of the input is none, whenever it comes; neither is a client that
/// closed the output first.
pub async fn serve<H, R, W>(
    handler: H,
    stdin: R,
    stdout: W,
    shutdown: CancellationToken,
) -> Result<(), StdioError>
where
    H: ServerHandler,
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let (output, writer) = output::spawn(stdout);
    let end = CancellationToken::new();
    let door = Door::new(stdin, output, handler.supported_protocol_versions(), shutdown, end.clone());
    let served = run(handler, door, end).await;
    match tokio::time::timeout(LAST_LINES, writer).await {
        Ok(Ok(Err(error))) if error.kind() != io::ErrorKind::BrokenPipe => Err(StdioError::Write(error)),
        _ => served,
    }
}

async fn run<H, R>(handler: H, door: Door<R>, end: CancellationToken) -> Result<(), StdioError>
where
    H: ServerHandler,
    R: AsyncRead + Send + Unpin + 'static,
{
    match rmcp::service::serve_server_with_ct(handler, door, end).await {
        Ok(running) => running.waiting().await.map(drop).map_err(|_| StdioError::Fault),
        Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => Ok(()),
        Err(_) => Err(StdioError::Open),
    }
}
