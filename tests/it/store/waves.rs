//! Waves: one activator at a time, and what each activation covers (I5, K11).

use zia_mcp::{
    model::{Action, Operation, State, Write},
    store::{LEASE, SendOutcome, Store, StoreError, Wave},
};

use super::{Home, TENANT, details, entry};

/// A create that this store's process sent and verified.
async fn verified(home: &Home, store: &Store) -> Operation {
    let new = home.new_operation(Action::ProvisionUser, State::Approved, None);
    let op = store.create_operation(new, entry()).await.unwrap();
    let (sent, permit) = store.begin_send(&op, Write::CreateUser, details(), entry()).await.unwrap();
    store.end_send(permit, SendOutcome::Done, None, entry()).await.unwrap();
    store.advance(&sent, State::Verified, details(), entry()).await.unwrap()
}

async fn opened(store: &Store) -> Option<Wave> {
    store.open_wave(TENANT).await.unwrap().map(|opened| opened.wave)
}

#[tokio::test]
async fn one_process_at_a_time_has_a_wave() {
    let home = Home::new();
    let (ours, theirs) = (home.open().await, home.open().await);
    let wave = opened(&theirs).await.unwrap();
    assert_eq!(opened(&ours).await, None);
    assert!(!ours.is_wave_closing(TENANT).await.unwrap());
    theirs.hold_wave(&wave, true).await.unwrap();
    assert!(ours.is_wave_closing(TENANT).await.unwrap());
    assert!(!theirs.is_wave_closing(TENANT).await.unwrap(), "its own does not hold its writes off");
    theirs.end_wave(&wave).await.unwrap();
    assert!(opened(&ours).await.is_some());
    assert_eq!(theirs.hold_wave(&wave, false).await.unwrap_err(), StoreError::Conflict);
}

#[tokio::test]
async fn the_wave_of_a_process_that_died_or_stood_still_is_taken_over() {
    let home = Home::new();
    let (ours, theirs) = (home.open().await, home.open().await);
    opened(&theirs).await.unwrap();
    drop(theirs);
    let wave = opened(&ours).await.unwrap();
    let others = home.open().await;
    home.pass(i64::try_from(LEASE.as_secs()).unwrap() + 1);
    let taken = opened(&others).await.unwrap();
    // It wakes up, and can send nothing.
    let op = verified(&home, &ours).await;
    let late = ours.begin_wave(&wave, &op, details(), entry()).await;
    assert_eq!(late.unwrap_err(), StoreError::Conflict);
    assert_eq!(ours.operation(&op.id).await.unwrap().unwrap().state, State::Verified);
    assert!(others.begin_wave(&taken, &op, details(), entry()).await.is_ok());
}

#[tokio::test]
async fn i5_a_wave_covers_what_is_applied_when_it_is_sent_and_nothing_later() {
    let home = Home::new();
    let store = home.open().await;
    let (sender, early) = (verified(&home, &store).await, verified(&home, &store).await);
    let new = home.new_operation(Action::ProvisionUser, State::Approved, None);
    let unsent = store.create_operation(new, entry()).await.unwrap();
    let wave = opened(&store).await.unwrap();
    let sent = store.begin_wave(&wave, &sender, details(), entry()).await.unwrap();
    let late = verified(&home, &store).await;
    assert_eq!(ids_of(&sent.covered), [early.id.as_str()], "not {} nor {}", unsent.id, late.id);
    assert_eq!(sent.operation.state, State::Activating);
    let step = (sent.covered[0].clone(), State::Done, details(), entry());
    assert_eq!(store.advance_all(vec![step.clone()]).await.unwrap().len(), 1);
    assert_eq!(store.advance_all(vec![step]).await.unwrap().len(), 0, "closed once");
}

#[tokio::test]
async fn k11_only_a_wave_that_zia_answered_is_left_to_be_read() {
    for (outcome, left) in
        [(None, false), (Some(SendOutcome::Unknown), false), (Some(SendOutcome::Done), true)]
    {
        let home = Home::new();
        let (ours, theirs) = (home.open().await, home.open().await);
        let (sender, other) = (verified(&home, &theirs).await, verified(&home, &theirs).await);
        let wave = opened(&theirs).await.unwrap();
        let sent = theirs.begin_wave(&wave, &sender, details(), entry()).await.unwrap();
        if let Some(outcome) = outcome {
            theirs.end_send(sent.permit, outcome, None, entry()).await.unwrap();
        }
        let late = verified(&home, &theirs).await;
        drop(theirs);
        let opened = ours.open_wave(TENANT).await.unwrap().unwrap();
        assert_eq!(opened.left.is_some(), left, "{outcome:?}");
        if let Some(found) = opened.left {
            assert_eq!(ids_of(&found.covered), [sender.id.as_str(), other.id.as_str()], "not {}", late.id);
            assert_eq!(found.by, sender.id);
        }
    }
}

fn ids_of(operations: &[Operation]) -> Vec<&str> {
    operations.iter().map(|o| o.id.as_str()).collect()
}

#[tokio::test]
async fn what_is_about_to_write_or_has_just_written_is_under_way() {
    let home = Home::new();
    let store = home.open().await;
    verified(&home, &store).await;
    home.awaiting(&store).await;
    assert!(store.under_way(TENANT).await.unwrap().is_empty());
    let new = home.new_operation(Action::ProvisionUser, State::Approved, None);
    let own = zia_mcp::store::NewOperation { own: true, ..new };
    let op = store.create_operation(own, entry()).await.unwrap();
    let found = store.under_way(TENANT).await.unwrap();
    assert_eq!((found[0].id.clone(), found[0].owner.clone()), (op.id.clone(), store.presence()));
    assert!(!found[0].sending);
    let (op, permit) = store.begin_send(&op, Write::CreateUser, details(), entry()).await.unwrap();
    assert!(store.under_way(TENANT).await.unwrap()[0].sending);
    store.end_send(permit, SendOutcome::Done, None, entry()).await.unwrap();
    store.advance(&op, State::Verified, details(), entry()).await.unwrap();
    assert!(store.under_way(TENANT).await.unwrap().is_empty());
}
