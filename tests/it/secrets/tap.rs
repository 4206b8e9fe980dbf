//! A wire tap between client and tenant: what really was sent is what must show nowhere else.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// One direction of one connection.
type Heard = Arc<Mutex<Vec<u8>>>;

/// A tap in front of a tenant.
pub(super) struct Tap {
    pub(super) url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Tap {
    pub(super) async fn before(tenant: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let kept = heard.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(tenant) = TcpStream::connect(tenant).await else { continue };
                let ((from_client, to_client), (from_tenant, to_tenant)) =
                    (client.into_split(), tenant.into_split());
                for (from, to) in [(from_client, to_tenant), (from_tenant, to_client)] {
                    let heard = Heard::default();
                    kept.lock().unwrap().push(heard.clone());
                    tokio::spawn(copy(from, to, heard));
                }
            }
        });
        Self { url, heard }
    }

    /// Every different text between two others.
    pub(super) fn between(&self, before: &str, after: char) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for heard in self.heard.lock().unwrap().iter() {
            let text = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
            found
                .extend(text.split(before).skip(1).filter_map(|rest| Some(rest.split_once(after)?.0.into())));
        }
        found
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, heard: Heard) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        heard.lock().unwrap().extend_from_slice(&bytes[..read]);
        if to.write_all(&bytes[..read]).await.is_err() {
            break;
        }
    }
}
