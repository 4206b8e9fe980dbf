//! A disk that fills up, simulated inside SQLite (F1, F2).

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tempfile::TempDir;

use super::*;
use crate::model::{Action, Actor, Channel, Operation, State, UserId, Write};

const TENANT: &str = "zscalertwo.net/4711";

async fn open(tmp: &TempDir) -> Store {
    let settings = Settings::embedded(tmp.path().join("state"));
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    Store::open(&settings, Clock::from_fn(move || now)).await.unwrap()
}

/// Lets the database grow by so many pages only.
async fn leave_pages(store: &Store, pages: i64) {
    let writer = store.0.engine.writer();
    let used: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(writer).await.unwrap();
    let limit = AssertSqlSafe(format!("PRAGMA max_page_count = {}", used + pages));
    let set: i64 = sqlx::query_scalar(limit).fetch_one(writer).await.unwrap();
    assert_eq!(set, used + pages);
}

async fn approved(store: &Store) -> Operation {
    let user = UserId::new(42).unwrap();
    let new = NewOperation {
        tenant: TENANT.into(),
        action: Action::DeprovisionUser,
        actor: Actor::new("local", "test", Channel::Stdio),
        own: false,
        state: State::Awaiting,
        alone: false,
        arguments: Digest::of(b"arguments"),
        subject: Some(user),
        users: Vec::new(),
        expires_at: store.now() + SignedDuration::from_mins(15),
        details: json!({}),
    };
    let op = store.create_operation(new, AuditEntry::new("created")).await.unwrap();
    let new = NewCapture {
        tenant: TENANT,
        operation: op.id.clone(),
        user_id: user,
        email: "jane@example.com",
        raw: b"{}",
    };
    store.capture(new, AuditEntry::new("captured")).await.unwrap();
    let approval = Approval { by: "Olga".into(), channel: "form".into(), digest: Digest::of(b"seen") };
    store.approve(&op, approval, json!({}), false, AuditEntry::new("approved")).await.unwrap()
}

/// Details that need more pages than are left.
fn large() -> Value {
    json!({"notes": "x".repeat(64 * 1024)})
}

#[tokio::test]
async fn a_disk_that_fills_up_leaves_nothing_half_written_and_nothing_to_send() {
    let tmp = TempDir::new().unwrap();
    let store = open(&tmp).await;
    let op = approved(&store).await;
    let before = store.audit_records(TENANT, 1, 100).await.unwrap();
    for pages in 0..6 {
        leave_pages(&store, pages).await;
        let delete = Write::DeleteUser(UserId::new(42).unwrap());
        let sent = store.begin_send(&op, delete, large(), AuditEntry::new("sending")).await;
        let expected = StoreError::unavailable("the disk is full");
        assert_eq!(sent.err(), Some(expected), "with {pages} pages left");
        let now = store.operation(&op.id).await.unwrap().unwrap();
        assert_eq!((now.state, now.version), (State::Approved, op.version));
        assert_eq!(store.approval(&op.id).await.unwrap().unwrap().used_at, None);
        assert_eq!(store.audit_records(TENANT, 1, 100).await.unwrap(), before);
    }
}

#[tokio::test]
async fn the_store_writes_again_when_the_disk_has_room_again() {
    let tmp = TempDir::new().unwrap();
    let store = open(&tmp).await;
    let op = approved(&store).await;
    for _ in 0..3 {
        leave_pages(&store, 0).await;
        let moved = store.advance(&op, State::Failed, large(), AuditEntry::new("failed")).await;
        assert!(moved.is_err(), "written on a full disk");
    }
    leave_pages(&store, 1000).await;
    let next = store.advance(&op, State::Failed, large(), AuditEntry::new("failed")).await.unwrap();
    assert_eq!(next.version, op.version + 1);
    let records = store.audit_records(TENANT, 1, 100).await.unwrap();
    assert_eq!(verify_chain(None, &records), Ok(()));
}

/// A disk whose free space a test sets, in bytes.
async fn open_with(tmp: &TempDir, free: u64) -> (Store, Arc<std::sync::atomic::AtomicU64>) {
    use std::sync::atomic::{AtomicU64, Ordering};
    let settings = Settings::embedded(tmp.path().join("state"));
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let left = Arc::new(AtomicU64::new(free));
    let told = left.clone();
    let free: FreeSpace = Arc::new(move |_| Ok(told.load(Ordering::SeqCst)));
    (Store::open_on(&settings, Clock::from_fn(move || now), free, Trouble::default()).await.unwrap(), left)
}

fn reserve(tmp: &TempDir) -> u64 {
    std::fs::metadata(tmp.path().join("state").join(space::FILE)).map_or(0, |about| about.len())
}

const GIB: u64 = 1 << 30;

#[tokio::test]
async fn f1_below_64_mib_nothing_new_is_sent_and_reading_goes_on() {
    let tmp = TempDir::new().unwrap();
    let (store, free) = open_with(&tmp, GIB).await;
    let op = approved(&store).await;
    free.store(63 << 20, std::sync::atomic::Ordering::SeqCst);
    let delete = Write::DeleteUser(UserId::new(42).unwrap());
    let refused = store.begin_send(&op, delete, json!({}), AuditEntry::new("sending")).await;
    assert!(matches!(refused.err(), Some(StoreError::Unavailable(why)) if why.contains("64 MiB")));
    assert_eq!(store.operation(&op.id).await.unwrap().unwrap().state, State::Approved);
    free.store(GIB, std::sync::atomic::Ordering::SeqCst);
    assert!(store.begin_send(&op, delete, json!({}), AuditEntry::new("sending")).await.is_ok());
}

#[tokio::test]
async fn f2_what_was_sent_is_recorded_on_a_full_disk_with_the_room_that_was_kept() {
    let tmp = TempDir::new().unwrap();
    let (store, free) = open_with(&tmp, GIB).await;
    assert_eq!(reserve(&tmp), 4 << 20);
    let op = approved(&store).await;
    let delete = Write::DeleteUser(UserId::new(42).unwrap());
    let (op, permit) = store.begin_send(&op, delete, json!({}), AuditEntry::new("sending")).await.unwrap();
    // The disk fills up after ZIA answered.
    free.store(0, std::sync::atomic::Ordering::SeqCst);
    store.end_send(permit, SendOutcome::Done, None, AuditEntry::new("ended")).await.unwrap();
    assert_eq!(reserve(&tmp), 0, "the reserve made room");
    store.advance(&op, State::Acked, json!({}), AuditEntry::new("acked")).await.unwrap();
    drop(store);
    // With room again, the next start keeps it anew.
    let (_store, _) = open_with(&tmp, GIB).await;
    assert_eq!(reserve(&tmp), 4 << 20);
}
