//! What only a database server does: outages, promises that it does not keep, several hosts.
//!
//! These run on a real server in any run of the tests; `tests/run` starts it.

mod hosts;
mod outage;
mod promises;
mod rights;
mod served;
mod tls;
mod upgrade;
pub(crate) mod wire;

use std::path::PathBuf;

use jiff::SignedDuration;
use serde_json::json;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};
use tempfile::TempDir;
use zia_mcp::{
    model::{Action, Actor, Channel, Clock, Digest, Operation, State, UserId, Write},
    store::{Approval, AuditEntry, NewCapture, NewOperation, Permit, Settings, Store, StoreError, Trouble},
};

use crate::place::Place;

const TENANT: &str = "zscalertwo.net/4711";

/// A host: a state directory of its own, and the key file that all share.
struct Host {
    dir: TempDir,
    key_file: PathBuf,
    url: String,
}

impl Host {
    fn of(place: &Place) -> Self {
        Self::reaching(place, place.url().unwrap())
    }

    /// One that reaches the server by way of another address.
    fn reaching(place: &Place, url: &str) -> Self {
        let key_file = place.path().join("shared.key");
        Self { dir: TempDir::new().unwrap(), key_file, url: url.to_owned() }
    }

    fn settings(&self) -> Settings {
        Settings {
            state_dir: self.dir.path().join("state"),
            key_file: Some(self.key_file.clone()),
            database: Some(self.url.parse().unwrap()),
        }
    }

    async fn try_open(&self, clock: Clock) -> Result<Store, StoreError> {
        Store::open_with(&self.settings(), clock, Trouble::default()).await
    }

    async fn open(&self) -> Store {
        self.try_open(Clock::system()).await.unwrap()
    }
}

fn entry() -> AuditEntry {
    AuditEntry::new("test.event")
}

fn user(id: i64) -> UserId {
    UserId::new(id).unwrap()
}

fn delete(id: i64) -> Write {
    Write::DeleteUser(user(id))
}

fn new_operation(store: &Store, id: i64) -> NewOperation {
    NewOperation {
        tenant: TENANT.into(),
        action: Action::DeprovisionUser,
        actor: Actor::new("local", "a client 1.0", Channel::Stdio),
        state: State::Awaiting,
        own: false,
        alone: false,
        arguments: Digest::of(&id.to_le_bytes()),
        subject: Some(user(id)),
        users: Vec::new(),
        expires_at: store.clock().now() + SignedDuration::from_mins(15),
        details: json!({}),
    }
}

/// A deletion that may be carried out; `own` by this store's process.
async fn approved(store: &Store, id: i64, own: bool) -> Operation {
    let op = store.create_operation(new_operation(store, id), entry()).await.unwrap();
    let (operation, user_id) = (op.id.clone(), user(id));
    let new = NewCapture { tenant: TENANT, operation, user_id, email: "jane@example.com", raw: b"{}" };
    store.capture(new, entry()).await.unwrap();
    let approval = Approval { by: "Olga".into(), channel: "form".into(), digest: Digest::of(b"seen") };
    store.approve(&op, approval, json!({}), own, entry()).await.unwrap()
}

async fn send(store: &Store, op: &Operation) -> Result<(Operation, Permit), StoreError> {
    let id = op.subject.unwrap().get();
    store.begin_send(op, delete(id), json!({}), entry()).await
}

/// Runs statements as the owner, in the database of a place.
async fn administer(place: &Place, sql: impl Into<String>) {
    let mut connection: AnyConnection = place.insider().await;
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Waits until something is so, at most ten seconds.
async fn until<F: Future<Output = bool>>(what: &str, mut so: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while !so().await {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
