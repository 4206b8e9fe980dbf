//! Purged captures are gone from the disk, and what needs them stops (T27).

use std::{fs, path::PathBuf};

use jiff::SignedDuration;
use serde_json::json;
use sqlx::Connection as _;
use zia_mcp::{
    model::{Action, CaptureId, Operation, State, Write},
    store::{CaptureInfo, NewCapture, Purge, Purged, Store, StoreError, verify_chain},
};

use crate::place::is_of_files_alone;

use super::{Home, TENANT, actor, approval, capture, details, entry, user};

/// A deprovision that was declined, with its capture.
async fn ended(home: &Home, store: &Store, id: i64, raw: &[u8]) -> CaptureInfo {
    let new = home.new_operation(Action::DeprovisionUser, State::Awaiting, Some(user(id)));
    let op = store.create_operation(new, entry()).await.unwrap();
    let email = format!("user{id}@example.com");
    let new = NewCapture { tenant: TENANT, operation: op.id.clone(), user_id: user(id), email: &email, raw };
    let info = store.capture(new, entry()).await.unwrap();
    store.advance(&op, State::Declined, details(), entry()).await.unwrap();
    info
}

/// The sealed data keys, as an insider with the database file reads them.
async fn data_keys(home: &Home) -> Vec<Vec<u8>> {
    let mut connection = home.tmp.insider().await;
    let keys =
        sqlx::query_scalar("SELECT data_key FROM captures ORDER BY ordinal").fetch_all(&mut connection).await;
    connection.close().await.unwrap();
    keys.unwrap()
}

fn files(home: &Home) -> Vec<PathBuf> {
    let dir = fs::read_dir(home.settings().state_dir).unwrap();
    dir.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
}

/// Whether any file of the store holds these bytes.
fn on_disk(home: &Home, needle: &[u8]) -> bool {
    files(home).iter().any(|path| fs::read(path).unwrap().windows(needle.len()).any(|w| w == needle))
}

/// The part of a sealed value that no other one shares.
fn unique(sealed: &[u8]) -> &[u8] {
    &sealed[9..]
}

#[tokio::test]
async fn no_file_holds_the_key_the_body_or_the_address_of_a_purged_capture() {
    if is_of_files_alone("what is in the file") {
        return;
    }
    let home = Home::new();
    let store = home.open().await;
    let mut made = Vec::new();
    for id in 1..=120 {
        // Large enough now and then for pages of their own.
        made.push(ended(&home, &store, id, &vec![b'x'; if id % 7 == 0 { 9_000 } else { 700 }]).await);
    }
    let keys = data_keys(&home).await;
    let (gone, kept): (Vec<_>, Vec<_>) = (0..made.len()).partition(|at| at % 3 == 0);
    let digest = store.email_digest("user1@example.com");
    assert!(keys.iter().all(|key| on_disk(&home, unique(key))) && on_disk(&home, digest.as_bytes()));

    let ids: Vec<_> = gone.iter().map(|at| made[*at].id.clone()).collect();
    let purged = store.purge(&ids, "id", Some(&actor())).await.unwrap();
    assert_eq!(purged, Purged { captures: 40, log_cleared: true });
    for at in gone {
        assert!(!on_disk(&home, unique(&keys[at])), "key {at}");
        assert!(!on_disk(&home, &unique(&keys[at])[..16]), "the beginning of key {at}");
    }
    assert!(!on_disk(&home, digest.as_bytes()));
    for at in kept {
        assert!(on_disk(&home, unique(&keys[at])));
        assert!(store.open_capture(&made[at].id).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_purged_capture_is_told_from_an_unknown_one() {
    let home = Home::new();
    let store = home.open().await;
    let info = ended(&home, &store, 7, b"{}").await;
    home.pass(60);
    let at = home.now();
    store.purge(std::slice::from_ref(&info.id), "id", None).await.unwrap();
    assert_eq!(store.open_capture(&info.id).await.unwrap_err(), StoreError::Purged { at });
    assert_eq!(StoreError::Purged { at }.to_string(), "the capture was purged on 2027-01-15T08:01:00Z");
    let left = CaptureInfo { digest: None, bytes: 0, purged_at: Some(at), ..info.clone() };
    assert_eq!(store.captures(None, 10).await.unwrap(), std::slice::from_ref(&left));
    assert_eq!(store.capture_info(&info.id).await.unwrap(), Some(left));
    assert!(store.captures_of_email(TENANT, "user7@example.com").await.unwrap().is_empty());
    assert!(store.open_capture(&CaptureId::random()).await.unwrap().is_none());
    assert!(store.purgeable(Purge::Id(&info.id)).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_was_purged_and_why_is_on_record_once() {
    let home = Home::new();
    let store = home.open().await;
    let info = ended(&home, &store, 7, b"{}").await;
    for captures in [1, 0] {
        let purged = store.purge(std::slice::from_ref(&info.id), "age", Some(&actor())).await.unwrap();
        assert_eq!(purged.captures, captures);
    }
    let records = store.audit_records(TENANT, 1, 100).await.unwrap();
    assert_eq!(verify_chain(None, &records), Ok(()));
    let of_purge: Vec<_> = records.iter().filter(|r| r.event == "captures.purged").collect();
    assert_eq!(of_purge.len(), 1);
    let body: serde_json::Value = serde_json::from_str(&of_purge[0].body).unwrap();
    assert_eq!(body["fields"], json!({"captures": [info.id], "why": "age"}));
    assert!(body["actor"]["caller"].is_string());
}

#[tokio::test]
async fn a_purge_that_cannot_be_recorded_purges_nothing() {
    let home = Home::new();
    let store = home.open().await;
    let info = ended(&home, &store, 7, b"{}").await;
    home.raw_sql("ALTER TABLE audit RENAME TO audit_gone").await;
    let purged = store.purge(std::slice::from_ref(&info.id), "id", None).await;
    assert_eq!(purged.unwrap_err(), StoreError::AuditUnavailable);
    assert!(store.open_capture(&info.id).await.unwrap().is_some());
}

#[tokio::test]
async fn the_capture_of_an_operation_that_goes_on_is_kept() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.approved(&store).await;
    let id = store.captures(None, 1).await.unwrap().remove(0).id;
    assert!(!store.purgeable(Purge::Id(&id)).await.unwrap()[0].ended);
    assert_eq!(store.purge(std::slice::from_ref(&id), "id", None).await.unwrap().captures, 0);
    assert!(store.open_capture(&id).await.unwrap().is_some());
    delete(&store, &op).await.unwrap();
}

async fn delete(store: &Store, op: &Operation) -> Result<(), StoreError> {
    store.begin_send(op, Write::DeleteUser(user(42)), details(), entry()).await.map(drop)
}

#[tokio::test]
async fn nothing_is_deleted_on_a_capture_that_was_purged() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.approved(&store).await;
    // What only an insider can bring about.
    home.raw_sql("UPDATE captures SET purged_at = 1").await;
    assert_eq!(delete(&store, &op).await.unwrap_err(), StoreError::NotApproved);
    home.raw_sql("UPDATE captures SET purged_at = NULL, data_key = x'', body = x''").await;
    assert_eq!(delete(&store, &op).await.unwrap_err(), StoreError::Corrupt);
    assert_eq!(store.approval(&op.id).await.unwrap().unwrap().by, approval().by);
    // A capture that is there again is good enough.
    capture(&store, &op, b"{}").await;
    delete(&store, &op).await.unwrap();
}

#[tokio::test]
async fn captures_are_chosen_by_age_and_by_address_whatever_its_case() {
    let home = Home::new();
    let store = home.open().await;
    let old = ended(&home, &store, 1, b"{}").await;
    home.pass(24 * 3600);
    let new = ended(&home, &store, 2, b"{}").await;
    let open = home.awaiting(&store).await;
    let chosen = async |which: Purge<'_>| -> Vec<CaptureId> {
        store.purgeable(which).await.unwrap().into_iter().map(|c| c.id).collect()
    };
    let before = Purge::TakenBefore(home.now() - SignedDuration::from_hours(1));
    assert_eq!(chosen(before).await, std::slice::from_ref(&old.id));
    assert_eq!(chosen(Purge::OfEmail("USER2@example.COM")).await, [new.id]);
    assert!(chosen(Purge::OfEmail("user3@example.com")).await.is_empty());
    let of_open = store.purgeable(Purge::OfEmail("jane@example.com")).await.unwrap();
    assert_eq!((of_open.len(), of_open[0].ended), (1, false), "{}", open.id);
    store.purge(&[old.id], "age", None).await.unwrap();
    assert!(chosen(before).await.is_empty());
}
