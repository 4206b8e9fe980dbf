//! Beside servers that hold the old key.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::json;
use zia_mcp::{
    model::{Action, State},
    store::{OldKeys, StoreError},
};

use super::{Home, details, entry, fill, keys_in_file, person, rekeyed, sealed, user};

#[tokio::test]
async fn a_server_that_slept_through_it_reads_and_writes_with_the_new_key() {
    let home = Home::new();
    let (reads, writes, store) = (home.open().await, home.open().await, home.open().await);
    let held = fill(&home, &store, 1..7).await;
    let done = rekeyed(&store).await;
    held.is_there(&reads).await;
    let new = home.new_operation(Action::DeprovisionUser, State::Awaiting, Some(user(99)));
    let op = writes.create_operation(new, entry()).await.unwrap();
    assert!(sealed(&home).await.iter().all(|(id, _)| *id == done.key), "sealed with a key that is gone");
    assert_eq!(home.open().await.operation(&op.id).await.unwrap().unwrap().details, details());
}

#[tokio::test]
async fn a_server_without_the_new_key_writes_nothing_until_it_is_there() {
    let home = Home::new();
    let (asleep, store) = (home.open().await, home.open().await);
    fill(&home, &store, 1..4).await;
    rekeyed(&store).await;
    let (key, away) = (super::key_path(&home), home.tmp.path().join("away"));
    std::fs::rename(&key, &away).unwrap();
    let new = || home.new_operation(Action::DeprovisionUser, State::Awaiting, Some(user(99)));
    assert_eq!(asleep.create_operation(new(), entry()).await.unwrap_err(), StoreError::WrongKey);
    assert!(!key.exists());
    std::fs::rename(&away, &key).unwrap();
    asleep.create_operation(new(), entry()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_write_meanwhile_lose_nothing() {
    let home = Arc::new(Home::new());
    let store = home.open().await;
    let held = fill(&home, &store, 1..120).await;
    let over = Arc::new(AtomicBool::new(false));
    let writers = (0..2).map(|writer| {
        let (home, over) = (home.clone(), over.clone());
        tokio::spawn(async move {
            let server = home.open().await;
            let new =
                home.new_operation(Action::DeprovisionUser, State::Awaiting, Some(user(5_000 + writer)));
            let mut op = server.create_operation(new, entry()).await.unwrap();
            let mut n = 0;
            while !over.load(Ordering::SeqCst) {
                n += 1;
                // Busy, but without keeping everybody else from the lock.
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                op = server.advance(&op, State::Awaiting, json!({"n": n}), entry()).await.unwrap();
                assert_eq!(server.operation(&op.id).await.unwrap().unwrap().details, json!({"n": n}));
            }
            (op, n)
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut last = None;
    for _ in 0..3 {
        last = Some(rekeyed(&store).await);
    }
    over.store(true, Ordering::SeqCst);
    let next = home.open().await;
    for writer in writers {
        let (op, n) = writer.await.unwrap();
        assert!(n > 1);
        assert_eq!(next.operation(&op.id).await.unwrap().unwrap().details, json!({"n": n}));
    }
    held.is_there(&next).await;
    let key = last.unwrap().key;
    assert_eq!(keys_in_file(&home), std::slice::from_ref(&key));
    assert!(sealed(&home).await.iter().all(|(id, _)| *id == key));
}

#[tokio::test]
async fn two_at_once_are_refused() {
    let home = Home::new();
    let store = home.open().await;
    rekeyed(&store).await;
    let lock = std::fs::File::open(home.settings().state_dir.join("running").join("rekey")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let before = keys_in_file(&home);
    let refused = store.rekey(OldKeys::Drop, &person()).await.unwrap_err();
    assert!(refused.to_string().contains("another"), "{refused}");
    assert_eq!(keys_in_file(&home), before);
    drop(lock);
    rekeyed(&store).await;
}
