//! The console alone on loopback, for a server whose client speaks over stdio.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{
    HttpError,
    console::{self, Console, Site},
    crowd::Crowd,
    guard,
    listener::Listener,
    origin::Allowed,
    turns::MAX_CALLS,
};

/// A console that has its address and does not answer yet.
///
/// There is no `/mcp` and no token on it: whoever reaches it proves themself on its pages. The limits
/// on connections, heads and forms, and the checks of host and origin are those of the whole server.
#[derive(Debug)]
pub struct LocalConsole {
    listener: TcpListener,
    address: SocketAddr,
}

impl LocalConsole {
    /// Binds a free port of 127.0.0.1; does not block.
    ///
    /// # Errors
    /// [`HttpError::Bind`].
    pub fn bind() -> Result<Self, HttpError> {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let failed = |error| HttpError::Bind { address: wanted, error };
        let listener = TcpListener::bind(wanted).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where the console is, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, console::PATH)
    }

    /// Serves until `shutdown` is cancelled.
    ///
    /// # Errors
    /// [`HttpError::Serve`]; [`HttpError::Setting`] for a provider that cannot be used.
    pub async fn serve(self, console: Console, shutdown: CancellationToken) -> Result<(), HttpError> {
        let site = Site { url: format!("http://{}", self.address), secure: false, behind_proxy: false };
        let app = guard::own_pages(console::router(console, site)?, Allowed::own(self.address, false));
        let calls = Arc::new(Semaphore::new(MAX_CALLS as usize));
        let listener = Listener::new(self.listener, None, Crowd::new(false)).map_err(HttpError::Serve)?;
        let streams = CancellationToken::new();
        listener.serve(app, calls, streams, shutdown).await.map_err(HttpError::Serve)
    }
}
