//! Several users deleted as one operation, killed at every point after the approval (K4–K12, F27).

use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::json;
use tokio::task::JoinSet;
use zia_mcp::{
    lifecycle::{Decision, Policy, Records},
    model::{Clock, OperationId, State, UserId},
    sandbox::{Endpoint, JournalEntry},
    store::{MAX_SENDS, Store},
};

use crate::place::is_on_postgres;

use super::{
    control::{Mode, SEND, SYNC, Strike},
    world::World,
};

/// Users of one operation.
const USERS: usize = 3;

/// Worlds side by side.
const WORLDS: u32 = 8;

/// So many, or fewer where they keep one database server busy.
fn worlds() -> u32 {
    if is_on_postgres() { WORLDS / 2 } else { WORLDS }
}

async fn open(world: &World) -> Store {
    Store::open(&world.dir.settings(), Clock::system()).await.unwrap()
}

/// Approves as a person at another process does; the server takes it up.
async fn approve(world: &World, id: &OperationId) {
    let store = open(world).await;
    if store.approvers().await.unwrap().is_empty() {
        store.enrol("Olga").await.unwrap();
    }
    let yes = Decision { approve: true, by: "Olga".into(), subject: None, channel: "code".into() };
    Records::new(store.clone(), Clock::system()).decide(id, yes, &Policy::default()).await.unwrap();
    store.close().await;
}

/// Lets a life die at one point of the carrying out, if it comes to it, and the next one finish.
///
/// ZIA takes one bulk delete a minute, and a server keeps to that: none has two of them to send.
async fn killed_at(world: &World, strike: Strike, rng: &mut StdRng) -> bool {
    let mut life = world.start().await.unwrap();
    let users = world.several(USERS, rng);
    let emails: Vec<_> = users.iter().map(|u| u.email.clone()).collect();
    let asked = life.call("deprovision_users", json!({"users": emails})).await.unwrap();
    assert_eq!(asked["outcome"], "awaiting_approval", "{asked}");
    let id: OperationId = asked["operation_id"].as_str().unwrap().parse().unwrap();
    world.control.arm(strike);
    approve(world, &id).await;
    let ended = life.call("get_operation", json!({"operation_id": id, "wait_seconds": 45})).await;
    let killed = world.control.struck().is_some();
    assert!(killed || ended.as_ref().is_some_and(|a| a["outcome"] == "done"), "{ended:?} {}", world.log());
    life.kill().await;
    world.control.disarm();
    world.trail_is_whole().await;
    let mut next = world.start().await.unwrap();
    let story = format!("{emails:?} killed at {strike:?}");
    world.rest(&mut next, &story).await.unwrap();
    let ids: Vec<_> = users.iter().map(|u| u.id).collect();
    check(world, &id, &ids, &story).await;
    next.kill().await;
    killed
}

/// Every user is gone by one effect, captured and on record before each call that names them.
async fn check(world: &World, id: &OperationId, users: &[u64], story: &str) {
    let store = open(world).await;
    let operation = store.operation(id).await.unwrap().unwrap();
    assert_eq!(operation.state, State::Done, "{story}: {operation:?}");
    let (sends, captures) = (store.bulk_sends(id).await.unwrap(), store.captures(None, 1_000).await.unwrap());
    let staged = world.tenant.staged_changes();
    for user in users {
        let named: Vec<JournalEntry> =
            world.tenant.journal().into_iter().filter(|e| names(e, *user)).collect();
        let effects = named.iter().filter(|e| e.applied).count();
        let key = UserId::new(i64::try_from(*user).unwrap()).unwrap();
        let recorded = sends.get(&key).map_or(0, Vec::len);
        assert_eq!(effects, 1, "I2: {user}: {story}");
        let most = usize::try_from(MAX_SENDS).unwrap();
        assert!(named.len() <= recorded && recorded <= most, "I2: {user}, {recorded} on record: {story}");
        assert!(world.tenant.user(*user).is_none(), "I4: {user}: {story}");
        assert!(staged.iter().all(|c| c.user_id != Some(*user)), "I5: {user}: {story}");
        let capture = captures.iter().find(|c| c.user_id == key && c.operation == *id).unwrap();
        let first = named.iter().map(|e| e.at_ms).min().unwrap();
        assert!(capture.taken_at.as_millisecond() <= first, "I1: {user}: {story}");
        assert!(store.open_capture(&capture.id).await.unwrap().is_some(), "I1: {user}: {story}");
    }
    store.close().await;
}

fn names(entry: &JournalEntry, user: u64) -> bool {
    let ids = entry.body.as_ref().and_then(|body| body["ids"].as_array());
    entry.endpoint == Endpoint::BulkDelete && ids.is_some_and(|ids| ids.contains(&user.into()))
}

/// Kills at every point in one way; how many there were.
async fn killed_everywhere(mode: Mode) -> u32 {
    let mut workers = JoinSet::new();
    for first in 1..=worlds() {
        workers.spawn(async move {
            let world = World::new().await;
            let mut rng = StdRng::seed_from_u64(first.into());
            let mut kills = 0;
            for n in (first..).step_by(worlds() as usize) {
                let strike = Strike::at(n, SYNC | SEND, mode);
                if !killed_at(&world, strike, &mut rng).await {
                    break;
                }
                kills += 1;
            }
            kills
        });
    }
    workers.join_all().await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn f27_killed_at_every_commit_and_every_send_of_a_bulk_delete_each_user_is_deleted_once() {
    let (before, after) = tokio::join!(killed_everywhere(Mode::Before), killed_everywhere(Mode::After));
    println!("{before} kills before, {after} after");
    assert!(before >= 10 && after >= 10, "{before} {after}");
}
