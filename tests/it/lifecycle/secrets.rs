//! The first password of a new user is sent once and is nowhere else (I7, T19).

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use zia_mcp::lifecycle::{Outcome, Records};
use zia_mcp::model::Clock;

use super::{newcomer, provisioned};
use crate::support::{Bench, Plan, local};

/// Stands between client and tenant and keeps what the client sends.
struct Tap {
    base_url: String,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Tap {
    async fn on(tenant: std::net::SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let keep = heard.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass_on(client, tenant, keep.clone()));
            }
        });
        Self { base_url, heard }
    }
}

async fn pass_on(client: TcpStream, tenant: std::net::SocketAddr, keep: Arc<Mutex<Vec<u8>>>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_tenant, mut to_tenant) = TcpStream::connect(tenant).await.unwrap().into_split();
    let back = tokio::spawn(async move { tokio::io::copy(&mut from_tenant, &mut to_client).await });
    let mut piece = vec![0; 16 * 1024];
    while let Ok(n @ 1..) = from_client.read(&mut piece).await {
        keep.lock().unwrap().extend(&piece[..n]);
        if to_tenant.write_all(&piece[..n]).await.is_err() {
            break;
        }
    }
    drop(to_tenant);
    let _ = back.await;
}

fn files_with(dir: &Path, needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_with(&entry.path(), needle));
        } else if fs::read(entry.path()).unwrap().windows(needle.len()).any(|w| w == needle.as_bytes()) {
            found.push(entry.path().display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn the_first_password_goes_to_zia_and_nowhere_else() {
    // The tenant is known only once it runs, so the tap goes in front of a second server on it.
    let first = Bench::new().await;
    let tap = Tap::on(first.tenant.address()).await;
    let bench = first.elsewhere(Plan { base_url: Some(tap.base_url.clone()), ..Plan::default() }).await;
    let report = provisioned(&bench, newcomer("nora.new@example.com")).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done);
    let heard = String::from_utf8_lossy(&tap.heard.lock().unwrap()).into_owned();
    let after_login = heard.split("POST /api/v1/users ").nth(1).expect("the create passed the tap");
    let password = after_login.split("\"password\":\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(password.len(), 24);
    assert_eq!(heard.matches(password).count(), 1);

    let records = Records::new(bench.store.clone(), Clock::system());
    let told = [
        format!("{report:?}"),
        serde_json::to_string(&report).unwrap(),
        records.operation(report.operation_id.as_str()).await.unwrap().to_string(),
        format!("{:?}", bench.lifecycle.recent_operations(&local(), 10).await.unwrap()),
        format!("{:?}", bench.store.operations(None, zia_mcp::store::Which::Recent, 10).await.unwrap()),
    ];
    assert!(told.iter().all(|t| !t.contains(password)));
    assert_eq!(files_with(bench.dir.path(), password), Vec::<String>::new());
}

#[tokio::test]
async fn nobodys_name_or_address_lies_open_in_the_store() {
    let bench = Bench::new().await;
    provisioned(&bench, newcomer("nora.new@example.com")).await.unwrap();
    let user = super::plain_at(&bench, 0);
    assert_eq!(super::deleted(&bench, &user.email).await.outcome, Outcome::Done);
    for text in ["nora.new", "Nora Newcomer", &user.email, &user.name, "leaves on Friday"] {
        assert_eq!(files_with(bench.dir.path(), text), Vec::<String>::new(), "{text}");
    }
}
