//! Killed at every point of a flow, one after the other.

use std::time::Instant;

use rand::{SeedableRng as _, rngs::StdRng};
use tokio::task::JoinSet;

use super::{
    control::{ANSWER, Mode, PAGE, SEND, SYNC, Strike},
    life::Life,
    world::{Flow, World},
};

/// Worlds side by side: most of the time goes by in waiting for ZIA to show what it did.
const WORLDS: u32 = 8;

/// Kills at every point of a flow in one way; how many there were.
async fn killed_everywhere(flow: Flow, kinds: u32, mode: Mode) -> u32 {
    let began = Instant::now();
    let mut workers = JoinSet::new();
    for first in 1..=WORLDS {
        workers.spawn(async move {
            let mut world = World::new().await;
            let mut rng = StdRng::seed_from_u64(first.into());
            let mut life = world.start().await.unwrap();
            let mut kills = 0;
            for n in (first..).step_by(WORLDS as usize) {
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
    let killed = answered.is_none();
    assert_eq!(killed, world.control.struck().is_some(), "{}", world.log());
    life.kill().await;
    world.control.disarm();
    world.trail_is_whole().await;
    let mut next = world.start().await.unwrap();
    world.rest(&mut next).await.unwrap();
    world.check(&format!("{asked:?} killed at {strike:?}: {answered:?}")).await;
    (next, killed)
}

#[tokio::test(flavor = "multi_thread")]
async fn try_deprovision() {
    killed_everywhere(Flow::Deprovision, SYNC | SEND | ANSWER, Mode::Before).await;
}
