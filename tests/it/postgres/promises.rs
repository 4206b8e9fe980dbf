//! A server that could lose what it confirms (F10).

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};
use zia_mcp::{
    model::{Clock, State},
    store::{Settings, Store, StoreError},
};

use super::{Host, approved, send, until};
use crate::place::{Place, administer};

fn unfit(error: StoreError) -> String {
    assert!(matches!(error, StoreError::Unfit(_)), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn f10_commits_that_do_not_reach_the_disk_are_not_relied_on() {
    for (setting, bad, good) in
        [("synchronous_commit", "off", "on"), ("default_transaction_read_only", "on", "off")]
    {
        let place = Place::on_postgres();
        let host = Host::of(&place);
        host.open().await.close().await;
        let name = place.url().unwrap().parse::<url::Url>().unwrap().path()[1..].to_owned();
        administer(format!("ALTER DATABASE {name} SET {setting} = {bad}"));
        let refused = unfit(host.try_open(Clock::system()).await.unwrap_err());
        assert!(refused.contains(setting) && refused.contains(good), "{refused}");
        let reading = Store::open_to_read(&host.settings(), Clock::system()).await.unwrap();
        assert!(reading.captures(None, 10).await.is_ok(), "{setting}: reading goes on");
        administer(format!("ALTER DATABASE {name} RESET {setting}"));
        host.open().await;
    }
}

/// A server of its own, whose settings a test spoils.
pub(super) struct OwnServer {
    child: Child,
    pub(super) url: String,
}

impl OwnServer {
    pub(super) fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres");
        let mut child = Command::new(script)
            .args(["sh", "-c", "echo $TEST_DATABASE_URL; read -r line"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { child, url: url.trim().to_owned() }
    }

    pub(super) async fn sql(&self, sql: &str) {
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect(&self.url).await.unwrap();
        for sql in sql.split(';') {
            sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // The end of its input ends the script, which stops the server.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn f10_a_server_that_does_not_sync_is_refused_while_it_runs_and_taken_again_once_mended() {
    let server = OwnServer::start();
    let dir = tempfile::TempDir::new().unwrap();
    let database = Some(server.url.parse().unwrap());
    let settings = Settings { state_dir: dir.path().join("state"), key_file: None, database };
    for setting in ["fsync", "full_page_writes"] {
        server.sql(&format!("ALTER SYSTEM SET {setting} = on; SELECT pg_reload_conf()")).await;
        let mut opened = None;
        until("the server syncs", async || Store::open(&settings, Clock::system()).await.is_ok()).await;
        let store = opened.insert(Store::open(&settings, Clock::system()).await.unwrap());
        let op = approved(store, if setting == "fsync" { 1 } else { 2 }, true).await;
        server.sql(&format!("ALTER SYSTEM SET {setting} = off; SELECT pg_reload_conf()")).await;
        // The session looks at the server every second.
        until("it is noticed", async || store.health().await.is_err()).await;
        assert!(unfit(send(store, &op).await.unwrap_err()).contains(setting));
        assert_eq!(store.operation(&op.id).await.unwrap().unwrap().state, State::Approved, "reading goes on");
        assert!(unfit(Store::open(&settings, Clock::system()).await.unwrap_err()).contains(setting));
        server.sql(&format!("ALTER SYSTEM SET {setting} = on; SELECT pg_reload_conf()")).await;
        until("it is mended", async || send(store, &op).await.is_ok()).await;
    }
}
