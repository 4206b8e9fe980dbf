//! Owners, leases and epochs: one process at a time acts on an operation (F6, F32, I11, K5).

use std::time::Duration;

use zia_mcp::{
    model::{Operation, SendPermit as _, State, UserId, Write},
    store::{LEASE, NewOperation, Store, StoreError},
};

use super::{Home, TENANT, approval, details, entry, user};

fn lease_and_more() -> i64 {
    i64::try_from(LEASE.as_secs()).unwrap() + 1
}

/// An approved deprovision that `store`'s process carries out.
async fn own(home: &Home, store: &Store) -> Operation {
    let op = home.awaiting(store).await;
    store.approve(&op, approval(), details(), true, entry()).await.unwrap()
}

async fn sent(store: &Store, op: &Operation) -> Result<Operation, StoreError> {
    store.begin_send(op, Write::DeleteUser(user(42)), details(), entry()).await.map(|(op, _)| op)
}

#[tokio::test]
async fn what_a_living_process_carries_out_is_not_taken_from_it() {
    let home = Home::new();
    let (ours, theirs) = (home.open().await, home.open().await);
    let op = own(&home, &theirs).await;
    assert_eq!(op.owner, theirs.presence());
    assert!(ours.living().await.unwrap().contains(&theirs.presence().unwrap()));
    assert!(ours.claim(std::slice::from_ref(&op)).await.unwrap().is_empty());
    assert_eq!(ours.operation(&op.id).await.unwrap().unwrap().owner, theirs.presence());
}

#[tokio::test]
async fn i11_what_a_dead_process_left_is_claimed_at_once() {
    let home = Home::new();
    let (ours, theirs) = (home.open().await, home.open().await);
    let op = own(&home, &theirs).await;
    drop(theirs);
    let taken = ours.claim(std::slice::from_ref(&op)).await.unwrap();
    assert_eq!((taken.len(), taken[0].owner.clone()), (1, ours.presence()));
    assert_eq!(taken[0].epoch, op.epoch + 1);
    assert_eq!(sent(&ours, &taken[0]).await.unwrap().state, State::Sending);
}

#[tokio::test]
async fn k5_f32_a_process_that_stood_still_for_its_lease_loses_its_operations_and_can_act_no_more() {
    let home = Home::new();
    let (ours, theirs) = (home.open().await, home.open().await);
    let op = own(&home, &theirs).await;
    home.pass(lease_and_more());
    assert!(!ours.living().await.unwrap().contains(&theirs.presence().unwrap()));
    let taken = ours.claim(std::slice::from_ref(&op)).await.unwrap().remove(0);
    // It wakes up, with what it knew.
    assert_eq!(sent(&theirs, &op).await.unwrap_err(), StoreError::Conflict);
    let late = theirs.advance(&op, State::Failed, details(), entry()).await;
    assert_eq!(late.unwrap_err(), StoreError::Conflict);
    assert_eq!(sent(&ours, &taken).await.unwrap().state, State::Sending);
}

#[tokio::test]
async fn a_send_renews_the_lease_and_its_permit_holds_for_less_than_the_lease() {
    let home = Home::new();
    let (ours, theirs) = (home.open().await, home.open().await);
    let op = own(&home, &theirs).await;
    home.pass(lease_and_more() - 2);
    let (op, permit) = theirs.begin_send(&op, Write::DeleteUser(user(42)), details(), entry()).await.unwrap();
    assert!(permit.holds_for(Duration::from_secs(75)) && !permit.holds_for(LEASE + Duration::from_secs(1)));
    home.pass(lease_and_more() - 2);
    assert!(ours.claim(std::slice::from_ref(&op)).await.unwrap().is_empty());
    home.pass(3);
    assert_eq!(ours.claim(std::slice::from_ref(&op)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_operation_is_claimed_by_one_of_many() {
    let home = Home::new();
    let dead = home.open().await;
    let op = own(&home, &dead).await;
    drop(dead);
    let mut stores = Vec::new();
    for _ in 0..6 {
        stores.push(home.open().await);
    }
    let claims = stores.iter().map(|store| store.claim(std::slice::from_ref(&op)));
    let taken: Vec<_> =
        futures::future::join_all(claims).await.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(taken.len(), 1);
    let record = stores[0].audit_records(TENANT, 1, 100).await.unwrap().pop().unwrap();
    assert!(record.event == "operation.claimed" && record.body.contains(op.id.as_str()), "{record:?}");
}

#[tokio::test]
async fn a_claim_of_what_changed_or_ended_takes_nothing() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.approved(&store).await;
    assert_eq!(op.owner, None, "approved elsewhere, and carried out by whoever looks next");
    let ended = store.advance(&op, State::Expired, details(), entry()).await.unwrap();
    assert!(store.claim(&[op, ended]).await.unwrap().is_empty());
}

#[tokio::test]
async fn left_operations_are_claimed_in_batches() {
    let home = Home::new();
    let store = home.open().await;
    let mut left = Vec::new();
    for n in 1..=1_200 {
        let new = home.new_operation(zia_mcp::model::Action::UpdateUser, State::Approved, UserId::new(n));
        left.push(store.create_operation(NewOperation { own: false, ..new }, entry()).await.unwrap());
    }
    assert_eq!(store.claim(&left).await.unwrap().len(), left.len());
    let records = store.audit_records(TENANT, 1_201, 100).await.unwrap();
    assert_eq!(records.len(), 3, "one record for each batch");
}
