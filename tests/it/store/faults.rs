//! Full disks, held locks, lost files (F1, F3, F4, T26).

use std::{
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    time::{Duration, Instant},
};

use sqlx::Connection as _;
use zia_mcp::{
    model::{State, Write},
    store::{Store, StoreError, verify_chain},
};

use crate::place::is_of_files_alone;

use super::{Home, RAW, TENANT, actor, capture, details, entry, user};

fn delete() -> Write {
    Write::DeleteUser(user(42))
}

async fn nothing_was_sent(store: &Store, op: &zia_mcp::model::Operation) {
    let now = store.operation(&op.id).await.unwrap().unwrap();
    assert_eq!((now.state, now.version), (State::Approved, op.version));
    assert_eq!(store.approval(&op.id).await.unwrap().unwrap().used_at, None);
}

#[tokio::test]
async fn a_lock_held_by_another_process_is_waited_for_two_seconds_at_most() {
    if is_of_files_alone("the lock of the file") {
        return;
    }
    let home = Home::new();
    let store = home.open().await;
    let op = home.approved(&store).await;
    let mut other = home.tmp.insider().await;
    let held = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let start = Instant::now();
    let late = store.begin_send(&op, delete(), details(), entry()).await.unwrap_err();
    assert!(matches!(late, StoreError::Unavailable(_)), "{late:?}");
    assert!(start.elapsed() < Duration::from_millis(2500), "{:?}", start.elapsed());
    let unwritten = store.audit(TENANT, None, Some(&actor()), entry()).await.unwrap_err();
    assert_eq!(unwritten, StoreError::AuditUnavailable);
    // Readers are not held up.
    nothing_was_sent(&store, &op).await;
    held.rollback().await.unwrap();
    store.begin_send(&op, delete(), details(), entry()).await.unwrap();
}

#[tokio::test]
async fn an_audit_trail_that_cannot_be_written_stops_every_change() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.approved(&store).await;
    home.raw_sql("ALTER TABLE audit RENAME TO audit_away").await;
    let sent = store.begin_send(&op, delete(), details(), entry()).await;
    assert_eq!(sent.unwrap_err(), StoreError::AuditUnavailable);
    let moved = store.advance(&op, State::Failed, details(), entry()).await;
    assert_eq!(moved.unwrap_err(), StoreError::AuditUnavailable);
    nothing_was_sent(&store, &op).await;
    home.raw_sql("ALTER TABLE audit_away RENAME TO audit").await;
    store.begin_send(&op, delete(), details(), entry()).await.unwrap();
}

#[tokio::test]
async fn a_database_that_was_removed_is_noticed_before_anything_is_promised() {
    if is_of_files_alone("the file is removed") {
        return;
    }
    let home = Home::new();
    let store = home.open().await;
    let op = home.approved(&store).await;
    let dir = home.settings().state_dir;
    for file in ["store.db", "store.db-wal"] {
        let (path, away) = (dir.join(file), dir.join("away"));
        fs::rename(&path, &away).unwrap();
        let sent = store.begin_send(&op, delete(), details(), entry()).await.unwrap_err();
        assert!(matches!(sent, StoreError::Unavailable(_)), "{sent:?}");
        assert!(store.health().await.is_err());
        fs::rename(&away, &path).unwrap();
    }
    fs::rename(&dir, dir.with_extension("away")).unwrap();
    assert!(store.begin_send(&op, delete(), details(), entry()).await.is_err());
    assert!(store.health().await.is_err());
}

#[tokio::test]
async fn a_damaged_page_is_noticed() {
    if is_of_files_alone("pages of the file") {
        return;
    }
    let home = Home::new();
    let store = home.open().await;
    let op = home.awaiting(&store).await;
    for n in 0..40 {
        capture(&store, &op, &[n; 5000]).await;
    }
    store.check().await.unwrap();
    store.close().await;
    let path = home.settings().state_dir.join("store.db");
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    for page in 2..fs::metadata(&path).unwrap().len() / 4096 {
        file.seek(SeekFrom::Start(page * 4096)).unwrap();
        file.write_all(&[0xA5; 64]).unwrap();
    }
    drop(file);
    match home.try_open().await {
        Err(error) => assert_eq!(error, StoreError::Corrupt),
        Ok(store) => assert_eq!(store.check().await.unwrap_err(), StoreError::Corrupt),
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    if is_of_files_alone("bytes of the file") {
        return;
    }
    let home = Home::new();
    home.open().await.close().await;
    fs::write(home.settings().state_dir.join("store.db"), [b'x'; 8192]).unwrap();
    assert_eq!(home.try_open().await.unwrap_err(), StoreError::Corrupt);
}

#[tokio::test]
async fn callers_that_give_up_leave_the_store_usable_and_whole() {
    let home = Home::new();
    let store = home.open().await;
    for n in 0..200_u64 {
        let give_up = Duration::from_micros(n * 20);
        let _ = tokio::time::timeout(give_up, store.audit(TENANT, None, None, entry())).await;
    }
    store.audit(TENANT, None, None, entry()).await.unwrap();
    let records = store.audit_records(TENANT, 1, 1000).await.unwrap();
    assert_eq!(verify_chain(None, &records), Ok(()));
    capture(&store, &home.awaiting(&store).await, RAW).await;
}
