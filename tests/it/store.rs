//! The store on a real disk.

mod audit;
mod budget;
mod captures;
mod damage;
mod faults;
mod leases;
mod nonces;
mod operations;
mod passwords;
mod places;
mod presence;
mod purge;
mod rekey;
mod secrecy;
mod sends;
mod sharing;
mod tampering;
mod verify;
mod waves;

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use zia_mcp::{
    model::{Action, Actor, Channel, Clock, Digest, Operation, State, UserId},
    store::{Approval, AuditEntry, CaptureInfo, NewCapture, NewOperation, Settings, Store, StoreError},
};

use crate::place::Place;

const TENANT: &str = "zscalertwo.net/4711";
const RAW: &[u8] = br#"{"id":42,"name":"Jane Doe","email":"jane@example.com","unknownField":[1,2]}"#;

/// A state directory of its own, with a clock to steer.
struct Home {
    tmp: Place,
    micros: Arc<AtomicI64>,
}

impl Home {
    fn new() -> Self {
        Self { tmp: Place::new(), micros: Arc::new(AtomicI64::new(1_800_000_000_000_000)) }
    }

    fn settings(&self) -> Settings {
        self.tmp.settings()
    }

    fn clock(&self) -> Clock {
        let micros = self.micros.clone();
        Clock::from_fn(move || Timestamp::from_microsecond(micros.load(Ordering::SeqCst)).unwrap())
    }

    fn now(&self) -> Timestamp {
        self.clock().now()
    }

    fn pass(&self, seconds: i64) {
        self.micros.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    async fn try_open(&self) -> Result<Store, StoreError> {
        Store::open(&self.settings(), self.clock()).await
    }

    async fn open(&self) -> Store {
        self.try_open().await.unwrap()
    }

    /// What an insider with the database file could do.
    async fn raw_sql(&self, sql: &'static str) {
        self.tmp.raw_sql(sql).await;
    }

    /// How many rows a table has.
    async fn count(&self, table: &'static str) -> i64 {
        let mut connection = self.tmp.insider().await;
        let sql = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
    }

    fn new_operation(&self, action: Action, state: State, subject: Option<UserId>) -> NewOperation {
        NewOperation {
            tenant: TENANT.into(),
            action,
            actor: actor(),
            state,
            own: false,
            alone: false,
            arguments: Digest::of(b"arguments"),
            subject,
            users: Vec::new(),
            expires_at: self.now() + SignedDuration::from_mins(15),
            details: details(),
        }
    }

    /// A deprovision that waits for a person, with its capture.
    async fn awaiting(&self, store: &Store) -> Operation {
        let new = self.new_operation(Action::DeprovisionUser, State::Awaiting, Some(user(42)));
        let op = store.create_operation(new, entry()).await.unwrap();
        capture(store, &op, RAW).await;
        op
    }

    /// A deprovision that may be carried out.
    async fn approved(&self, store: &Store) -> Operation {
        let op = self.awaiting(store).await;
        store.approve(&op, approval(), details(), false, entry()).await.unwrap()
    }
}

/// Writes a file that only its owner can read.
fn secret_file(path: &std::path::Path, bytes: &[u8]) {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path).unwrap().write_all(bytes).unwrap();
}

async fn capture(store: &Store, op: &Operation, raw: &[u8]) -> CaptureInfo {
    let new = NewCapture {
        tenant: TENANT,
        operation: op.id.clone(),
        user_id: user(42),
        email: "jane@example.com",
        raw,
    };
    store.capture(new, entry()).await.unwrap()
}

fn user(id: i64) -> UserId {
    UserId::new(id).unwrap()
}

fn actor() -> Actor {
    Actor::new("local", "a client 1.0", Channel::Stdio)
}

fn approval() -> Approval {
    Approval { by: "Olga Approver".into(), channel: "form".into(), digest: Digest::of(b"seen") }
}

fn details() -> Value {
    json!({"user": {"name": "Jane Doe", "email": "jane@example.com"}, "notes": []})
}

fn entry() -> AuditEntry {
    AuditEntry::new("test.event").with("field", "value")
}
