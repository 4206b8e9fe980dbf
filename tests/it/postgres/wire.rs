//! The way between one host and the server, which can stall, break, or lose an answer.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use url::Url;

/// How the way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// Nothing passes, and nobody is told.
    Stalled,
    /// Connections are ended and refused.
    Cut,
}

/// A proxy of the server.
pub(crate) struct Wire {
    pub(crate) url: String,
    state: Arc<State>,
}

struct State {
    way: watch::Sender<Way>,
    /// Whether the answer to the next commit is lost.
    loses_commit: AtomicBool,
    lost: AtomicI64,
    /// Messages that still pass from the client; any number if negative.
    left: AtomicI64,
}

impl Wire {
    pub(crate) async fn to(url: &str) -> Self {
        let mut url: Url = url.parse().unwrap();
        let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        let state = Arc::new(State {
            way: watch::channel(Way::Open).0,
            loses_commit: AtomicBool::new(false),
            lost: AtomicI64::new(0),
            left: AtomicI64::new(-1),
        });
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *shared.way.borrow() == Way::Cut {
                    continue;
                }
                let (shared, server) = (shared.clone(), server.clone());
                tokio::spawn(async move { shared.carry(client, &server).await });
            }
        });
        Self { url: url.into(), state }
    }

    pub(crate) fn set(&self, way: Way) {
        self.state.way.send_replace(way);
    }

    /// Loses the server's answer to the next commit, and the connection with it.
    pub(crate) fn lose_commit(&self) {
        self.state.loses_commit.store(true, Ordering::SeqCst);
    }

    /// How many answers to commits were lost.
    pub(crate) fn lost(&self) -> i64 {
        self.state.lost.load(Ordering::SeqCst)
    }

    /// Cuts the way after so many pieces that the client sends.
    pub(crate) fn cut_after(&self, pieces: i64) {
        self.state.left.store(pieces, Ordering::SeqCst);
    }

    /// How many pieces are left until the cut.
    pub(crate) fn left(&self) -> i64 {
        self.state.left.load(Ordering::SeqCst)
    }
}

impl State {
    async fn carry(&self, client: TcpStream, server: &str) {
        let Ok(server) = TcpStream::connect(server).await else { return };
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let (mut asked, mut told) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        let (mut way, mut cut, mut losing) = (self.way.subscribe(), self.way.subscribe(), false);
        loop {
            tokio::select! {
                read = from_client.read(&mut asked) => {
                    let Ok(1..) = read else { return };
                    let piece = &asked[..read.unwrap()];
                    if self.left.load(Ordering::SeqCst) == 0 {
                        self.way.send_replace(Way::Cut);
                        return;
                    }
                    if self.left.load(Ordering::SeqCst) > 0 {
                        self.left.fetch_sub(1, Ordering::SeqCst);
                    }
                    let commits = piece.windows(7).any(|part| part == b"COMMIT\0");
                    losing |= commits && self.loses_commit.swap(false, Ordering::SeqCst);
                    if !open(&mut way).await || to_server.write_all(piece).await.is_err() {
                        return;
                    }
                }
                read = from_server.read(&mut told) => {
                    let Ok(1..) = read else { return };
                    if losing {
                        self.lost.fetch_add(1, Ordering::SeqCst);
                        return;
                    }
                    let piece = &told[..read.unwrap()];
                    if !open(&mut way).await || to_client.write_all(piece).await.is_err() {
                        return;
                    }
                }
                () = is_cut(&mut cut) => return,
            }
        }
    }
}

async fn is_cut(way: &mut watch::Receiver<Way>) {
    let _ = way.wait_for(|way| *way == Way::Cut).await;
}

/// Waits while the way is stalled; whether it is open then.
async fn open(way: &mut watch::Receiver<Way>) -> bool {
    way.wait_for(|way| *way != Way::Stalled).await.is_ok_and(|way| *way == Way::Open)
}
