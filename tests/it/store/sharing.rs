//! Several processes on one store (F6).

use serde_json::json;
use zia_mcp::{
    model::{Action, State},
    store::{StoreError, Which, verify_chain},
};

use super::{Home, TENANT, details, entry, user};

#[tokio::test]
async fn many_starts_at_once_agree_on_one_key_and_one_schema() {
    let home = std::sync::Arc::new(Home::new());
    let starts = (0..8).map(|_| {
        let home = home.clone();
        tokio::spawn(async move { home.open().await })
    });
    let stores: Vec<_> =
        futures::future::join_all(starts).await.into_iter().map(|store| store.unwrap()).collect();
    for store in &stores {
        assert_eq!(store.derived_key("x"), stores[0].derived_key("x"));
        store.audit(TENANT, None, None, entry()).await.unwrap();
    }
    assert_eq!(stores[0].audit_records(TENANT, 1, 100).await.unwrap().len(), 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f6_two_handles_write_side_by_side_and_lose_nothing() {
    let home = std::sync::Arc::new(Home::new());
    let tasks = (0..2).map(|task| {
        let home = home.clone();
        tokio::spawn(async move {
            let store = home.open().await;
            for n in 0..40 {
                let subject = user(1000 * (task + 1) + n);
                let new = home.new_operation(Action::DeprovisionUser, State::Awaiting, Some(subject));
                let op = store.create_operation(new, entry()).await.unwrap();
                store.advance(&op, State::Awaiting, json!({"n": n}), entry()).await.unwrap();
            }
        })
    });
    for task in futures::future::join_all(tasks).await {
        task.unwrap();
    }
    let store = home.open().await;
    assert_eq!(store.operations(None, Which::Open, 1000).await.unwrap().len(), 80);
    let records = store.audit_records(TENANT, 1, 1000).await.unwrap();
    assert_eq!((records.len(), verify_chain(None, &records)), (160, Ok(())));
}

#[tokio::test]
async fn another_handles_change_is_seen_and_an_older_view_loses() {
    let home = Home::new();
    let (one, two) = (home.open().await, home.open().await);
    let op = home.awaiting(&one).await;
    let seen = two.operation(&op.id).await.unwrap().unwrap();
    two.advance(&seen, State::Declined, details(), entry()).await.unwrap();
    assert_eq!(one.advance(&op, State::Expired, details(), entry()).await.unwrap_err(), StoreError::Conflict);
    assert_eq!(one.operation(&op.id).await.unwrap().unwrap().state, State::Declined);
}
