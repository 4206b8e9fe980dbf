//! The schema: broken off, newer, several at once (F11).

use zia_mcp::{
    model::Clock,
    store::{Store, StoreError},
};

use super::{Host, administer, approved, wire::Wire};
use crate::place::Place;

#[tokio::test]
async fn f11_a_first_start_that_is_cut_off_anywhere_is_gone_on_with_by_the_next() {
    for pieces in (0..400).step_by(7) {
        let place = Place::on_postgres();
        let wire = Wire::to(place.url().unwrap()).await;
        wire.cut_after(pieces);
        let cut_off = Host::reaching(&place, &wire.url);
        let first =
            tokio::time::timeout(std::time::Duration::from_secs(3), cut_off.try_open(Clock::system())).await;
        let store = Host::of(&place).open().await;
        approved(&store, 42, false).await;
        if matches!(first, Ok(Ok(_))) && wire.left() > 0 {
            assert!(pieces > 40, "no start takes {pieces} pieces only");
            return;
        }
    }
    panic!("no start was let through whole");
}

#[tokio::test]
async fn f11_replicas_that_start_at_once_make_one_schema() {
    let place = Place::on_postgres();
    // The first makes the key, which the others are given.
    let other = Place::on_postgres();
    let first = Host::of(&other);
    first.open().await.close().await;
    std::fs::copy(&first.key_file, place.path().join("shared.key")).unwrap();
    let hosts: Vec<Host> = (0..5).map(|_| Host::of(&place)).collect();
    let opened = futures::future::join_all(hosts.iter().map(|host| host.try_open(Clock::system()))).await;
    for store in opened {
        store.unwrap().health().await.unwrap();
    }
}

#[tokio::test]
async fn f11_a_newer_schema_is_refused_unless_it_says_that_older_versions_may_go_on() {
    let place = Place::on_postgres();
    let host = Host::of(&place);
    host.open().await.close().await;
    administer(&place, "INSERT INTO schema_version (version) VALUES (1000)").await;
    let newer = || async { host.try_open(Clock::system()).await.err() };
    administer(&place, "UPDATE meta SET value = CAST('1000 1000' AS BYTEA) WHERE name = 'oldest'").await;
    assert_eq!(newer().await, Some(StoreError::NewerSchema));
    let reading = Store::open_to_read(&host.settings(), Clock::system()).await.err();
    assert_eq!(reading, Some(StoreError::NewerSchema));
    administer(&place, "UPDATE meta SET value = CAST('1000 1' AS BYTEA) WHERE name = 'oldest'").await;
    assert_eq!(newer().await, None);
    administer(&place, "DELETE FROM meta WHERE name = 'oldest'").await;
    assert_eq!(newer().await, Some(StoreError::NewerSchema));
}

#[tokio::test]
async fn f3_a_database_that_was_emptied_is_not_made_anew() {
    let place = Place::on_postgres();
    let host = Host::of(&place);
    let store = host.open().await;
    store.audit(super::TENANT, None, None, super::entry()).await.unwrap();
    let points = store.checkpoint().await.unwrap();
    zia_mcp::store::append_checkpoints(&host.settings().state_dir.join("checkpoints"), &points).unwrap();
    store.close().await;
    administer(&place, "DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
    let lost = host.try_open(Clock::system()).await.unwrap_err();
    assert!(matches!(lost, StoreError::Lost(_)) && lost.to_string().contains("PostgreSQL"), "{lost}");
}
