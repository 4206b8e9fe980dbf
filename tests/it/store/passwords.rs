//! First passwords: sealed before the send, shown to one person once, gone after a day (T19, I7).

use std::{fs, path::PathBuf};

use futures::future::join_all;
use secrecy::ExposeSecret as _;
use sqlx::Connection as _;
use zia_mcp::{
    model::{Action, Operation, OperationId, State, Write},
    store::{AuditEntry, Handed, Permit, SendOutcome, Store, StoreError, verify_chain},
};

use super::{Home, TENANT, details, entry};

const PASSWORD: &str = "First-pa55word-of-a-new-user";
const DAY: i64 = 24 * 60 * 60;

async fn provision(home: &Home, store: &Store) -> Operation {
    let new = home.new_operation(Action::ProvisionUser, State::Approved, None);
    store.create_operation(new, entry()).await.unwrap()
}

/// A create whose password is kept, about to be sent.
async fn sending(home: &Home, store: &Store) -> (Operation, Permit) {
    let op = provision(home, store).await;
    store.keep_password(&op, PASSWORD.into()).await.unwrap();
    store.begin_send(&op, Write::CreateUser, details(), entry()).await.unwrap()
}

/// A create that is known to have happened.
async fn created(home: &Home, store: &Store) -> OperationId {
    let (op, permit) = sending(home, store).await;
    store.end_send(permit, SendOutcome::Done, None, entry()).await.unwrap();
    store.advance(&op, State::Verified, details(), entry()).await.unwrap().id
}

async fn take(store: &Store, id: &OperationId) -> Handed {
    store.take_password(id, AuditEntry::new("password.shown").with("channel", "test")).await.unwrap()
}

async fn sealed(home: &Home) -> Vec<Vec<u8>> {
    let mut connection = home.tmp.insider().await;
    let all = sqlx::query_scalar("SELECT sealed FROM passwords").fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    all
}

fn on_disk(home: &Home, needle: &[u8]) -> bool {
    let dir = fs::read_dir(home.settings().state_dir).unwrap();
    let files: Vec<PathBuf> = dir.map(|e| e.unwrap().path()).filter(|path| path.is_file()).collect();
    files.iter().any(|path| fs::read(path).unwrap().windows(needle.len()).any(|w| w == needle))
}

/// The same; of a server's disk nothing is seen from here.
fn kept_on_disk(home: &Home, needle: &[u8]) -> bool {
    home.tmp.url().is_some() || on_disk(home, needle)
}

async fn records_of(store: &Store, event: &str) -> usize {
    let records = store.audit_records(TENANT, 1, 1_000).await.unwrap();
    assert_eq!(verify_chain(None, &records), Ok(()));
    assert!(records.iter().all(|r| !r.body.contains(PASSWORD)));
    records.iter().filter(|r| r.event == event).count()
}

#[tokio::test]
async fn a_password_is_shown_once_and_its_sealed_bytes_leave_the_disk() {
    let home = Home::new();
    let store = home.open().await;
    let id = created(&home, &store).await;
    let bytes = sealed(&home).await.remove(0);
    assert!(kept_on_disk(&home, &bytes[9..]) && !on_disk(&home, PASSWORD.as_bytes()));
    assert!(store.keeps_password(&id).await.unwrap());
    let Handed::Password(password) = take(&store, &id).await else { panic!() };
    assert_eq!(password.expose_secret(), PASSWORD);
    assert!(!on_disk(&home, &bytes[9..]) && sealed(&home).await == [Vec::<u8>::new()]);
    assert!(matches!(take(&store, &id).await, Handed::Taken(at) if at == home.now()));
    assert!(!store.keeps_password(&id).await.unwrap());
    assert_eq!(records_of(&store, "password.shown").await, 1);
}

#[tokio::test]
async fn of_many_who_ask_at_once_one_is_shown_it() {
    let home = Home::new();
    let (store, other) = (home.open().await, home.open().await);
    let id = created(&home, &store).await;
    let asked = join_all((0..20).map(|n| take(if n % 2 == 0 { &store } else { &other }, &id))).await;
    assert_eq!(asked.iter().filter(|h| matches!(h, Handed::Password(_))).count(), 1);
    assert_eq!(asked.iter().filter(|h| matches!(h, Handed::Taken(_))).count(), 19);
    assert_eq!(records_of(&store, "password.shown").await, 1);
}

#[tokio::test]
async fn nobody_is_shown_it_before_the_user_is_known_to_be_created() {
    let home = Home::new();
    let store = home.open().await;
    let (op, permit) = sending(&home, &store).await;
    assert!(matches!(take(&store, &op.id).await, Handed::NotYet));
    store.end_send(permit, SendOutcome::Unknown, None, entry()).await.unwrap();
    let op = store.advance(&op, State::Unknown, details(), entry()).await.unwrap();
    assert!(matches!(take(&store, &op.id).await, Handed::NotYet));
    store.advance(&op, State::Verified, details(), entry()).await.unwrap();
    assert!(matches!(take(&store, &op.id).await, Handed::Password(_)));
}

#[tokio::test]
async fn every_send_of_one_create_carries_the_same_password() {
    let home = Home::new();
    let store = home.open().await;
    let (op, permit) = sending(&home, &store).await;
    store.end_send(permit, SendOutcome::Unknown, None, entry()).await.unwrap();
    let op = store.advance(&op, State::Unknown, details(), entry()).await.unwrap();
    store.close().await;
    let store = home.open().await;
    let again = store.keep_password(&op, "Another-pa55word".into()).await.unwrap();
    assert_eq!(again.expose_secret(), PASSWORD);
    assert_eq!(sealed(&home).await.len(), 1);
}

#[tokio::test]
async fn the_password_of_a_create_that_did_not_happen_is_forgotten() {
    let home = Home::new();
    let store = home.open().await;
    let (op, permit) = sending(&home, &store).await;
    let bytes = sealed(&home).await.remove(0);
    store.end_send(permit, SendOutcome::Rejected, None, entry()).await.unwrap();
    store.advance(&op, State::Failed, details(), entry()).await.unwrap();
    assert!(matches!(take(&store, &op.id).await, Handed::Nothing));
    assert!(sealed(&home).await.is_empty());
    store.checkpoint().await.unwrap();
    store.close().await;
    assert!(!on_disk(&home, &bytes[9..]));
}

#[tokio::test]
async fn after_24_hours_it_is_refused_even_before_it_is_destroyed() {
    let home = Home::new();
    let store = home.open().await;
    let (first, second) = (created(&home, &store).await, created(&home, &store).await);
    home.pass(DAY - 1);
    assert_eq!(store.expire_passwords().await.unwrap(), 0);
    assert!(matches!(take(&store, &first).await, Handed::Password(_)));
    home.pass(1);
    let bytes = sealed(&home).await.into_iter().find(|b| !b.is_empty()).unwrap();
    assert!(!store.keeps_password(&second).await.unwrap());
    assert!(matches!(take(&store, &second).await, Handed::Expired));
    assert!(kept_on_disk(&home, &bytes[9..]), "nothing has destroyed it yet");
    assert_eq!(store.expire_passwords().await.unwrap(), 1);
    assert!(!on_disk(&home, &bytes[9..]));
    assert!(matches!(take(&store, &second).await, Handed::Expired));
    assert!(matches!(take(&store, &first).await, Handed::Taken(_)));
    assert_eq!(store.expire_passwords().await.unwrap(), 0);
    assert_eq!(records_of(&store, "password.expired").await, 1);
}

#[tokio::test]
async fn what_creates_nobody_or_may_not_send_keeps_no_password() {
    let home = Home::new();
    let store = home.open().await;
    let refused = async |op: &Operation| store.keep_password(op, PASSWORD.into()).await.map(drop);
    let deletion = home.approved(&store).await;
    assert_eq!(refused(&deletion).await, Err(StoreError::NotApproved));
    let new = home.new_operation(Action::ProvisionUser, State::Awaiting, None);
    let waiting = store.create_operation(new, entry()).await.unwrap();
    assert_eq!(refused(&waiting).await, Err(StoreError::NotApproved));
    let old = provision(&home, &store).await;
    store.begin_send(&old, Write::CreateUser, details(), entry()).await.unwrap();
    assert_eq!(refused(&old).await, Err(StoreError::Conflict));
    assert!(sealed(&home).await.is_empty());
}

#[tokio::test]
async fn a_password_opens_in_its_own_row_alone() {
    let home = Home::new();
    let store = home.open().await;
    let (a, b) = (created(&home, &store).await, created(&home, &store).await);
    home.raw_sql(
        "UPDATE passwords SET sealed = (SELECT p.sealed FROM passwords p ORDER BY p.sealed DESC LIMIT 1)",
    )
    .await;
    let asked =
        [store.take_password(&a, entry()).await.map(drop), store.take_password(&b, entry()).await.map(drop)];
    assert_eq!(asked.iter().filter(|r| **r == Err(StoreError::Corrupt)).count(), 1, "{asked:?}");
}
