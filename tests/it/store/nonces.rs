//! Nonces: once.

use jiff::SignedDuration;

use super::Home;

#[tokio::test]
async fn a_nonce_burns_once_however_many_try() {
    let home = Home::new();
    let stores = [home.open().await, home.open().await];
    let until = home.now() + SignedDuration::from_mins(10);
    let tries = (0..60).map(|n| {
        let store = stores[n % 2].clone();
        tokio::spawn(async move { store.burn_nonce("nonce", until).await.unwrap() })
    });
    let first = futures::future::join_all(tries).await.into_iter().filter(|r| *r.as_ref().unwrap()).count();
    assert_eq!(first, 1);
    assert!(stores[0].burn_nonce("another", until).await.unwrap());
}

#[tokio::test]
async fn a_nonce_does_not_come_back_when_it_is_pruned() {
    let home = Home::new();
    let store = home.open().await;
    let soon = home.now() + SignedDuration::from_secs(1);
    assert!(store.burn_nonce("old", soon).await.unwrap());
    home.pass(2);
    assert!(store.burn_nonce("new", home.now() + SignedDuration::from_mins(1)).await.unwrap());
    assert!(!store.burn_nonce("old", soon).await.unwrap());
}
