//! Sends: approved, captured, on record, bounded (I1, I2, I6, T5).

use serde_json::json;
use zia_mcp::{
    model::{Action, Operation, SendPermit as _, State, Write},
    store::{MAX_SENDS, NewCapture, SendOutcome, Store, StoreError},
};

use super::{Home, RAW, TENANT, approval, capture, details, entry, user};

async fn try_send(store: &Store, op: &Operation, write: Write) -> Result<Operation, StoreError> {
    store.begin_send(op, write, details(), entry()).await.map(|(op, _)| op)
}

fn delete() -> Write {
    Write::DeleteUser(user(42))
}

#[tokio::test]
async fn a_send_is_on_record_before_its_permit_exists() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.approved(&store).await;
    let (op, permit) = store.begin_send(&op, delete(), json!({"n": 2}), entry()).await.unwrap();
    assert_eq!((op.state, &op.details), (State::Sending, &json!({"n": 2})));
    assert_eq!((permit.operation(), permit.write(), permit.attempt()), (&op.id, delete(), 1));
    assert!(!format!("{permit:?}").contains("client"));
    let record = store.audit_records(TENANT, 1, 100).await.unwrap().pop().unwrap();
    assert_eq!(record.operation, Some(op.id.clone()));
    assert!(record.body.contains(r#""attempt":1"#) && record.body.contains(r#""write":"delete_user""#));
    assert!(store.approval(&op.id).await.unwrap().unwrap().used_at.is_some());
    store.end_send(permit, SendOutcome::Done, Some("204"), entry()).await.unwrap();
    let record = store.audit_records(TENANT, 1, 100).await.unwrap().pop().unwrap();
    assert!(record.body.contains(r#""outcome":"done""#));
}

#[tokio::test]
async fn a_delete_without_an_approval_is_refused() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.awaiting(&store).await;
    assert_eq!(try_send(&store, &op, delete()).await.unwrap_err(), StoreError::NotApproved);
    // The state in the caller's hands does not count.
    let forged = Operation { state: State::Approved, ..op.clone() };
    assert_eq!(try_send(&store, &forged, delete()).await.unwrap_err(), StoreError::NotApproved);
    store.advance(&op, State::Failed, details(), entry()).await.unwrap();

    let new = home.new_operation(Action::DeprovisionUser, State::Approved, Some(user(42)));
    let unasked = store.create_operation(new, entry()).await.unwrap();
    capture(&store, &unasked, RAW).await;
    assert_eq!(try_send(&store, &unasked, delete()).await.unwrap_err(), StoreError::NotApproved);
    let lost = store.advance(&unasked, State::Unknown, details(), entry()).await.unwrap();
    assert_eq!(try_send(&store, &lost, delete()).await.unwrap_err(), StoreError::NotApproved);
}

#[tokio::test]
async fn an_approval_that_was_forged_in_the_database_is_refused() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.awaiting(&store).await;
    home.raw_sql("UPDATE operations SET state = 'approved'").await;
    home.raw_sql("INSERT INTO approvals SELECT id, sealed, 1, NULL FROM operations").await;
    assert_eq!(try_send(&store, &op, delete()).await.unwrap_err(), StoreError::Corrupt);
}

#[tokio::test]
async fn a_delete_without_a_capture_of_that_user_that_opens_is_refused() {
    let home = Home::new();
    let store = home.open().await;
    let new = home.new_operation(Action::DeprovisionUser, State::Awaiting, Some(user(42)));
    let op = store.create_operation(new, entry()).await.unwrap();
    let op = store.approve(&op, approval(), details(), false, entry()).await.unwrap();
    assert_eq!(try_send(&store, &op, delete()).await.unwrap_err(), StoreError::NotApproved);
    let of_another = NewCapture {
        tenant: TENANT,
        operation: op.id.clone(),
        user_id: user(43),
        email: "john@example.com",
        raw: RAW,
    };
    store.capture(of_another, entry()).await.unwrap();
    assert_eq!(try_send(&store, &op, delete()).await.unwrap_err(), StoreError::NotApproved);
    capture(&store, &op, RAW).await;
    home.raw_sql("UPDATE captures SET body = zeroblob(length(body)) WHERE user_id = 42").await;
    assert_eq!(try_send(&store, &op, delete()).await.unwrap_err(), StoreError::Corrupt);
    capture(&store, &op, RAW).await;
    try_send(&store, &op, delete()).await.unwrap();
}

#[tokio::test]
async fn a_write_that_is_not_the_operations_own_is_refused() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.approved(&store).await;
    for write in [Write::DeleteUser(user(43)), Write::CreateUser, Write::Activate] {
        assert_eq!(try_send(&store, &op, write).await.unwrap_err(), StoreError::NotApproved, "{write:?}");
    }
    assert_eq!(store.operation(&op.id).await.unwrap().unwrap().version, op.version);
}

#[tokio::test]
async fn of_a_hundred_sends_at_once_exactly_one_is_permitted() {
    let home = Home::new();
    let stores = [home.open().await, home.open().await];
    let op = home.approved(&stores[0]).await;
    let tries = (0..100).map(|n| {
        let (store, op) = (stores[n % 2].clone(), op.clone());
        // Those that read anew find it sending.
        tokio::spawn(async move {
            let op = if n % 3 == 0 { store.operation(&op.id).await?.unwrap() } else { op };
            store.begin_send(&op, delete(), details(), entry()).await
        })
    });
    let results = futures::future::join_all(tries).await;
    let permits: Vec<_> = results.into_iter().filter_map(|r| r.unwrap().ok()).collect();
    assert_eq!(permits.len(), 1);
}

#[tokio::test]
async fn a_send_whose_outcome_is_open_is_not_repeated_without_a_look() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.approved(&store).await;
    let (op, permit) = store.begin_send(&op, delete(), details(), entry()).await.unwrap();
    drop(permit);
    assert_eq!(try_send(&store, &op, delete()).await.unwrap_err(), StoreError::NotApproved);
    let op = store.advance(&op, State::Unknown, details(), entry()).await.unwrap();
    assert_eq!(try_send(&store, &op, delete()).await.unwrap().state, State::Sending);
}

#[tokio::test]
async fn sends_are_bounded() {
    let home = Home::new();
    let store = home.open().await;
    let mut op = home.approved(&store).await;
    for attempt in 1..=MAX_SENDS {
        let (next, permit) = store.begin_send(&op, delete(), details(), entry()).await.unwrap();
        assert_eq!(permit.attempt(), attempt);
        store.end_send(permit, SendOutcome::Refused, Some("EDIT_LOCK_NOT_AVAILABLE"), entry()).await.unwrap();
        op = next;
    }
    assert_eq!(try_send(&store, &op, delete()).await.unwrap_err(), StoreError::SendsExhausted);
}

#[tokio::test]
async fn what_zia_said_it_did_is_never_sent_again() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.approved(&store).await;
    let (op, permit) = store.begin_send(&op, delete(), details(), entry()).await.unwrap();
    store.end_send(permit, SendOutcome::Done, None, entry()).await.unwrap();
    assert_eq!(try_send(&store, &op, delete()).await.unwrap_err(), StoreError::NotApproved);
    let op = store.advance(&op, State::Unknown, details(), entry()).await.unwrap();
    assert_eq!(try_send(&store, &op, delete()).await.unwrap_err(), StoreError::NotApproved);
}

#[tokio::test]
async fn a_used_approval_serves_no_other_first_send() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.approved(&store).await;
    try_send(&store, &op, delete()).await.unwrap();
    // As if the database had been put back, all but the approval.
    home.raw_sql("DELETE FROM sends; UPDATE operations SET state = 'approved'").await;
    let op = store.operation(&op.id).await.unwrap().unwrap();
    assert_eq!(try_send(&store, &op, delete()).await.unwrap_err(), StoreError::NotApproved);
}

#[tokio::test]
async fn a_provision_that_policy_approved_is_sent_and_then_activated() {
    let home = Home::new();
    let store = home.open().await;
    let new = home.new_operation(Action::ProvisionUser, State::Approved, None);
    let op = store.create_operation(new, entry()).await.unwrap();
    assert_eq!(try_send(&store, &op, Write::Activate).await.unwrap_err(), StoreError::NotApproved);
    let (op, permit) = store.begin_send(&op, Write::CreateUser, details(), entry()).await.unwrap();
    store.end_send(permit, SendOutcome::Done, None, entry()).await.unwrap();
    let op = store.advance(&op, State::Verified, details(), entry()).await.unwrap();
    let (op, permit) = store.begin_send(&op, Write::Activate, details(), entry()).await.unwrap();
    assert_eq!(op.state, State::Activating);
    store.end_send(permit, SendOutcome::Done, None, entry()).await.unwrap();
    let op = store.advance(&op, State::NotActive, details(), entry()).await.unwrap();
    assert_eq!(try_send(&store, &op, Write::Activate).await.unwrap().state, State::Activating);
}

#[tokio::test]
async fn an_approved_activation_is_sent_once() {
    let home = Home::new();
    let store = home.open().await;
    let new = home.new_operation(Action::Activate, State::Awaiting, None);
    let op = store.create_operation(new, entry()).await.unwrap();
    assert_eq!(try_send(&store, &op, Write::Activate).await.unwrap_err(), StoreError::NotApproved);
    let op = store.approve(&op, approval(), details(), false, entry()).await.unwrap();
    assert_eq!(try_send(&store, &op, Write::Activate).await.unwrap().state, State::Activating);
    assert_eq!(try_send(&store, &op, Write::Activate).await.unwrap_err(), StoreError::Conflict);
}
