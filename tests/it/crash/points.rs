//! Killed at every point of a flow, one after the other.

use std::time::Instant;

use rand::{SeedableRng as _, rngs::StdRng};
use tokio::task::JoinSet;

use crate::place::is_on_postgres;

use super::{
    control::{ANSWER, Mode, PAGE, SEND, SYNC, Strike},
    life::Life,
    world::{Flow, World},
};

/// Worlds side by side: most of the time goes by in waiting for ZIA to show what it did.
const WORLDS: u32 = 8;

/// So many, or fewer where they keep one database server busy.
fn worlds() -> u32 {
    if is_on_postgres() { WORLDS / 2 } else { WORLDS }
}

/// Kills at every point of a flow in one way; how many there were.
async fn killed_everywhere(flow: Flow, kinds: u32, mode: Mode) -> u32 {
    let began = Instant::now();
    let mut workers = JoinSet::new();
    for first in 1..=worlds() {
        workers.spawn(async move {
            let mut world = World::new().await;
            let mut rng = StdRng::seed_from_u64(first.into());
            let mut life = world.start().await.unwrap();
            let mut kills = 0;
            for n in (first..).step_by(worlds() as usize) {
                let strike = Strike::at(n, kinds, mode);
                let (next, killed) = killed_at(&mut world, life, flow, strike, &mut rng).await;
                life = next;
                if !killed {
                    break;
                }
                kills += 1;
            }
            kills
        });
    }
    let kills = workers.join_all().await.into_iter().sum();
    println!("{flow:?} {mode:?}: {kills} kills in {:.1?}", began.elapsed());
    kills
}

/// Lets a life die at one point, if it comes to it, and the next one bring everything to rest.
async fn killed_at(
    world: &mut World,
    mut life: Life,
    flow: Flow,
    strike: Strike,
    rng: &mut StdRng,
) -> (Life, bool) {
    let asked = world.asked(flow, &mut life, rng).await;
    world.control.arm(strike);
    let answered = life.calls(std::slice::from_ref(&asked)).await;
    // An answer may have left in time.
    let killed = world.control.struck().is_some();
    assert!(
        killed || answered.as_ref().is_some_and(|a| a[0]["outcome"] == "done"),
        "{answered:?} {}",
        world.log()
    );
    life.kill().await;
    world.control.disarm();
    world.trail_is_whole().await;
    let mut next = world.start().await.unwrap();
    let story = format!("{asked:?} killed at {strike:?}: {answered:?}");
    world.rest(&mut next, &story).await.unwrap();
    world.check(&story).await;
    (next, killed)
}

/// Before, after and within: a commit is whole or not at all, so it has no middle of its own here.
async fn at_every_point(flow: Flow) {
    let whole = SYNC | SEND | ANSWER;
    let (before, after, within) = tokio::join!(
        killed_everywhere(flow, whole, Mode::Before),
        killed_everywhere(flow, whole, Mode::After),
        killed_everywhere(flow, SEND | ANSWER, Mode::Half),
    );
    assert!(before >= 10 && after >= 10 && within >= 5, "{before} {after} {within}");
}

#[tokio::test(flavor = "multi_thread")]
async fn k1_to_k12_killed_at_every_commit_and_every_send_of_a_deprovision_the_user_is_deleted_once_or_kept() {
    at_every_point(Flow::Deprovision).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_commit_and_every_send_of_a_provision_the_user_is_created_once_or_not() {
    at_every_point(Flow::Provision).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_commit_and_every_send_of_an_update_the_user_is_as_before_or_as_asked() {
    at_every_point(Flow::Update).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_commit_and_every_send_of_a_restore_the_user_comes_back_once_or_not() {
    at_every_point(Flow::Restore).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k11_killed_at_every_commit_and_every_send_of_an_activation_it_comes_to_rest() {
    at_every_point(Flow::Activate).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k2_killed_within_a_page_of_the_store_nothing_is_half_there() {
    if crate::place::is_of_files_alone("pages of the file") {
        return;
    }
    let kills = killed_everywhere(Flow::Deprovision, PAGE, Mode::Half).await;
    assert!(kills > 40, "{kills}");
}
