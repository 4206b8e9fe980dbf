//! The server out of reach, and answers that are lost (F7, F8).

use std::time::{Duration, Instant};

use serde_json::json;
use zia_mcp::{
    model::State,
    store::{SendOutcome, StoreError},
};

use super::{
    Host, TENANT, approved, entry, send, until,
    wire::{Way, Wire},
};
use crate::place::Place;

/// The bound of a call, and what a busy machine may add.
const BOUND: Duration = Duration::from_millis(3_000);

#[tokio::test]
async fn f7_a_server_out_of_reach_is_told_within_two_seconds_and_found_again() {
    let place = Place::on_postgres();
    let wire = Wire::to(place.url().unwrap()).await;
    let host = Host::reaching(&place, &wire.url);
    let store = host.open().await;
    let op = approved(&store, 42, true).await;
    for way in [Way::Cut, Way::Stalled] {
        wire.set(way);
        let start = Instant::now();
        let sent = send(&store, &op).await.unwrap_err();
        assert!(matches!(sent, StoreError::Unavailable(_)), "{way:?}: {sent:?}");
        let read = store.operation(&op.id).await.unwrap_err();
        assert!(matches!(read, StoreError::Unavailable(_)), "{way:?}: {read:?}");
        let health = store.health().await.unwrap_err();
        assert!(matches!(health, StoreError::Unavailable(_)), "{way:?}: {health:?}");
        assert!(start.elapsed() < 3 * BOUND, "{way:?}: {:?}", start.elapsed());
        wire.set(Way::Open);
        until("the store is back", async || store.health().await.is_ok()).await;
        let now = store.operation(&op.id).await.unwrap().unwrap();
        assert_eq!((now.state, now.version), (State::Approved, op.version), "{way:?}: nothing was sent");
    }
    until("the session is back", async || send(&store, &op).await.is_ok()).await;
}

#[tokio::test]
async fn f7_a_server_out_of_reach_at_the_start_is_told_and_nothing_is_made() {
    let place = Place::on_postgres();
    let wire = Wire::to(place.url().unwrap()).await;
    wire.set(Way::Cut);
    let host = Host::reaching(&place, &wire.url);
    let start = Instant::now();
    let refused = host.try_open(zia_mcp::model::Clock::system()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    assert!(start.elapsed() < 2 * BOUND && !host.key_file.exists());
}

#[tokio::test]
async fn f8_a_commit_whose_answer_was_lost_is_read_again_and_never_made_twice() {
    let place = Place::on_postgres();
    let wire = Wire::to(place.url().unwrap()).await;
    let host = Host::reaching(&place, &wire.url);
    let store = host.open().await;
    let op = approved(&store, 42, true).await;
    wire.lose_commit();
    let sent = send(&store, &op).await.unwrap_err();
    assert!(matches!(sent, StoreError::Unavailable(_)), "{sent:?}");
    assert_eq!(wire.lost(), 1);
    // It was done: whoever reads by id knows, and who does not is refused.
    let now = store.operation(&op.id).await.unwrap().unwrap();
    assert_eq!((now.state, now.version), (State::Sending, op.version + 1));
    assert_eq!(send(&store, &op).await.unwrap_err(), StoreError::Conflict);
    let sends = store.sends(&now).await.unwrap();
    assert_eq!((sends.len(), sends[0].outcome), (1, None), "on record as open");
}

#[tokio::test]
async fn f8_of_a_commit_that_was_lost_on_its_way_nothing_is_there() {
    let place = Place::on_postgres();
    let wire = Wire::to(place.url().unwrap()).await;
    let host = Host::reaching(&place, &wire.url);
    let store = host.open().await;
    let op = approved(&store, 42, true).await;
    wire.set(Way::Stalled);
    let late = store.advance(&op, State::Failed, json!({}), entry()).await.unwrap_err();
    assert!(matches!(late, StoreError::Unavailable(_)), "{late:?}");
    wire.set(Way::Cut);
    wire.set(Way::Open);
    until("the store is back", async || store.health().await.is_ok()).await;
    let now = store.operation(&op.id).await.unwrap().unwrap();
    assert_eq!((now.state, now.version), (State::Approved, op.version));
    store.advance(&now, State::Failed, json!({}), entry()).await.unwrap();
}

#[tokio::test]
async fn f8_the_outcome_of_a_send_is_on_record_once_although_its_answer_was_lost() {
    let place = Place::on_postgres();
    let wire = Wire::to(place.url().unwrap()).await;
    let host = Host::reaching(&place, &wire.url);
    let store = host.open().await;
    let op = approved(&store, 42, true).await;
    let (op, permit) = send(&store, &op).await.unwrap();
    wire.lose_commit();
    assert!(store.end_send(permit, SendOutcome::Done, None, entry()).await.is_err());
    let sends = store.sends(&op).await.unwrap();
    assert_eq!((sends.len(), sends[0].outcome), (1, Some(SendOutcome::Done)));
    let records = store.audit_records(TENANT, 1, 100).await.unwrap();
    assert_eq!(zia_mcp::store::verify_chain(None, &records), Ok(()));
}
