//! Several hosts on one server: who is alive, who may send, and what time it is.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::json;
use zia_mcp::{
    model::{Clock, SendPermit as _, State},
    store::{Store, StoreError, Turn},
};

use super::{
    Host, TENANT, approved, entry, new_operation, send, until,
    wire::{Way, Wire},
};
use crate::place::{Place, administer};

fn ahead(by: SignedDuration) -> Clock {
    let host = Clock::system();
    Clock::of_host(move || host.now() + by)
}

fn database(place: &Place) -> String {
    place.url().unwrap().parse::<url::Url>().unwrap().path()[1..].to_owned()
}

/// Whether anybody new may connect.
fn let_in(place: &Place, open: bool) {
    administer(format!("ALTER DATABASE \"{}\" ALLOW_CONNECTIONS {open}", database(place)));
}

/// Ends the server's side of every session that holds a lock, as a broken network does.
///
/// Returns once the locks are free: the server's processes end after the statement that ends them.
fn break_sessions(place: &Place) {
    let locks = format!(
        "FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 \
         AND database = (SELECT oid FROM pg_database WHERE datname = '{}')",
        database(place)
    );
    administer(format!(
        "DO $$ BEGIN PERFORM pg_terminate_backend(pid) {locks}; \
         WHILE EXISTS (SELECT 1 {locks}) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$"
    ));
}

#[tokio::test]
async fn f31_fifty_at_once_on_three_hosts_begin_one_change_of_a_user() {
    let place = Place::on_postgres();
    let hosts: Vec<Host> = (0..3).map(|_| Host::of(&place)).collect();
    let mut stores = Vec::new();
    for host in &hosts {
        stores.push(host.open().await);
    }
    let attempts = (0..50).map(|n| {
        let store = &stores[n % 3];
        store.create_operation(new_operation(store, 42), entry())
    });
    let all = futures::future::join_all(attempts).await;
    assert_eq!(all.iter().filter(|made| made.is_ok()).count(), 1);
    assert!(all.iter().flatten().all(|op| op.state == State::Awaiting));
    let others = all.into_iter().filter_map(Result::err);
    assert!(others.into_iter().all(|error| error == StoreError::Conflict));
}

#[tokio::test]
async fn t5_a_nonce_is_used_once_on_three_hosts() {
    let place = Place::on_postgres();
    let hosts: Vec<Host> = (0..3).map(|_| Host::of(&place)).collect();
    let mut stores = Vec::new();
    for host in &hosts {
        stores.push(host.open().await);
    }
    let until = stores[0].clock().now() + SignedDuration::from_mins(10);
    let uses = (0..99).map(|n| stores[n % 3].burn_nonce("one question", until));
    let used = futures::future::join_all(uses).await;
    assert_eq!(used.into_iter().filter(|first| *first.as_ref().unwrap()).count(), 1);
}

#[tokio::test]
async fn f45_what_one_host_sealed_every_other_with_the_key_opens() {
    let place = Place::on_postgres();
    let (one, two) = (Host::of(&place), Host::of(&place));
    let (one, two) = (one.open().await, two.open().await);
    let op = approved(&one, 42, false).await;
    let seen = two.operation(&op.id).await.unwrap().unwrap();
    assert_eq!((seen.actor, seen.details), (op.actor, op.details));
    assert_eq!(*one.derived_key("request-state"), *two.derived_key("request-state"));
    // Without the key there is no second host.
    let stranger = Host { key_file: place.path().join("another.key"), ..Host::of(&place) };
    assert_eq!(stranger.try_open(Clock::system()).await.unwrap_err(), StoreError::WrongKey);
    assert!(!stranger.key_file.exists(), "no key is made beside existing data");
}

#[tokio::test]
async fn f34_hosts_whose_clocks_are_hours_apart_agree_on_the_time() {
    let place = Place::on_postgres();
    let (early, late) = (Host::of(&place), Host::of(&place));
    let early = early.try_open(ahead(SignedDuration::from_hours(-2))).await.unwrap();
    let late = late.try_open(ahead(SignedDuration::from_hours(3))).await.unwrap();
    let apart = early.clock().now().duration_since(late.clock().now()).abs();
    assert!(apart < SignedDuration::from_secs(2), "{apart}");
    // A lease that one took holds for the other, and an operation lapses for both alike.
    let op = approved(&early, 42, true).await;
    assert!(late.living().await.unwrap().contains(&early.presence().unwrap()));
    assert!(late.claim(std::slice::from_ref(&op)).await.unwrap().is_empty());
    let apart = op.created_at.duration_since(late.clock().now()).abs();
    assert!(apart < SignedDuration::from_secs(20), "{apart}");
    let records = late.audit_records(TENANT, 1, 100).await.unwrap();
    assert!(records.windows(2).all(|pair| pair[0].at <= pair[1].at + SignedDuration::from_secs(2)));
}

#[tokio::test]
async fn f32_who_was_cut_off_begins_no_send_until_it_has_its_place_back() {
    let place = Place::on_postgres();
    let host = Host::of(&place);
    let store = host.open().await;
    let op = approved(&store, 42, true).await;
    // Without a new session in between: what is refused is not what comes back by itself.
    let_in(&place, false);
    break_sessions(&place);
    // Looked up in the transaction of the send: it does not matter who noticed.
    let refused = send(&store, &op).await;
    assert!(matches!(refused.unwrap_err(), StoreError::Unavailable(_)));
    let_in(&place, true);
    assert_eq!(store.operation(&op.id).await.unwrap().unwrap().state, State::Approved);
    until("the place is back", async || send(&store, &op).await.is_ok()).await;
}

#[tokio::test]
async fn k5_what_another_host_left_unsent_is_claimed_at_once_and_what_it_may_be_sending_is_not() {
    let place = Place::on_postgres();
    let (ours, theirs) = (Host::of(&place), Host::of(&place));
    let (ours, store) = (ours.open().await, theirs.open().await);
    let (unsent, sending) = (approved(&store, 1, true).await, approved(&store, 2, true).await);
    let (sending, permit) = send(&store, &sending).await.unwrap();
    let both = [unsent, sending];
    assert!(ours.claim(&both).await.unwrap().is_empty(), "it is alive");
    let name = store.presence().unwrap();
    // Killed, or cut off: from here that looks the same.
    store.close().await;
    until("its end is noticed", async || !ours.living().await.unwrap().contains(&name)).await;
    let taken = ours.claim(&both).await.unwrap();
    assert_eq!(taken.iter().map(|op| &op.id).collect::<Vec<_>>(), [&both[0].id]);
    assert!(permit.holds_for(Duration::from_secs(75)), "its request may still be on its way");
    // Once the lease is over nothing is on its way any more.
    super::administer(&place, "UPDATE workers SET lease_until = 1").await;
    assert_eq!(ours.claim(&both[1..]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn k5_a_host_that_was_cut_off_can_record_nothing_on_what_was_taken_from_it() {
    let place = Place::on_postgres();
    let wire = Wire::to(place.url().unwrap()).await;
    let (ours, theirs) = (Host::of(&place), Host::reaching(&place, &wire.url));
    let (ours, theirs) = (ours.open().await, theirs.open().await);
    let op = approved(&theirs, 42, true).await;
    let name = theirs.presence().unwrap();
    wire.set(Way::Cut);
    until("it is missed", async || !ours.living().await.unwrap().contains(&name)).await;
    let taken = ours.claim(std::slice::from_ref(&op)).await.unwrap().remove(0);
    wire.set(Way::Open);
    until("it is back", async || theirs.health().await.is_ok()).await;
    until("it may act again", async || ours.living().await.unwrap().contains(&name)).await;
    assert_eq!(send(&theirs, &op).await.unwrap_err(), StoreError::Conflict);
    let late = theirs.advance(&op, State::Failed, json!({}), entry()).await;
    assert_eq!(late.unwrap_err(), StoreError::Conflict);
    assert_eq!(send(&ours, &taken).await.unwrap().0.state, State::Sending);
}

#[tokio::test]
async fn f32_after_a_restart_of_all_sessions_one_host_alone_goes_on_with_an_operation() {
    let place = Place::on_postgres();
    let hosts: Vec<Host> = (0..3).map(|_| Host::of(&place)).collect();
    let mut stores: Vec<Store> = Vec::new();
    for host in &hosts {
        stores.push(host.open().await);
    }
    let op = approved(&stores[0], 42, true).await;
    for store in &stores {
        // Each gets a session of its own.
        store.renew_lease().await.unwrap();
    }
    administer(format!(
        "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{}'",
        database(&place)
    ));
    let mut sent = 0;
    for _ in 0..40 {
        for store in &stores {
            let Ok(Some(now)) = store.operation(&op.id).await else { continue };
            let now = match store.claim(std::slice::from_ref(&now)).await {
                Ok(mut taken) => taken.pop().unwrap_or(now),
                Err(_) => continue,
            };
            sent += usize::from(
                now.owner == store.presence()
                    && now.state == State::Approved
                    && send(store, &now).await.is_ok(),
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(sent, 1);
}

#[tokio::test]
async fn f32_the_wave_and_the_filling_of_a_living_host_are_left_to_it_by_one_that_has_just_begun() {
    let place = Place::on_postgres();
    let (ours, theirs) = (Host::of(&place), Host::of(&place));
    let (ours, theirs) = (ours.open().await, theirs.open().await);
    let wave = theirs.open_wave(TENANT).await.unwrap().unwrap().wave;
    theirs.hold_wave(&wave, true).await.unwrap();
    assert_eq!(theirs.take_filling(TENANT).await.unwrap(), Turn::Ours);
    // The first things that this one ever asks.
    assert!(ours.is_wave_closing(TENANT).await.unwrap());
    assert!(ours.open_wave(TENANT).await.unwrap().is_none());
    let just_begun = Host::of(&place);
    assert_eq!(just_begun.open().await.take_filling(TENANT).await.unwrap(), Turn::Elsewhere);
    theirs.close().await;
    until("its wave is free", async || ours.open_wave(TENANT).await.unwrap().is_some()).await;
    until("its filling is free", async || ours.take_filling(TENANT).await.unwrap() == Turn::Ours).await;
}

#[tokio::test]
async fn what_another_host_carries_out_is_known_to_go_on_by_whoever_reads_it() {
    let place = Place::on_postgres();
    let (ours, theirs) = (Host::of(&place), Host::of(&place));
    let (ours, theirs) = (ours.open().await, theirs.open().await);
    let op = approved(&theirs, 42, true).await;
    let seen = ours.operation(&op.id).await.unwrap().unwrap();
    let owner = seen.owner.unwrap();
    assert!(ours.is_present(&owner));
    theirs.close().await;
    until("its end is noticed", async || {
        ours.operation(&op.id).await.unwrap();
        !ours.is_present(&owner)
    })
    .await;
}
