//! Killed at random: any flow, any trouble, any instant or point, and again in the recovery (K13).

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{task::JoinSet, time::timeout};
use zia_mcp::sandbox::{Endpoint, Fault};

use crate::place::is_on_postgres;

use super::{
    control::{ANSWER, Mode, PAGE, SEND, SYNC, Strike},
    life::{Asked, Life},
    world::{Flow, World},
};

/// Kills in each run of all the tests here together, if nobody asks for more.
const KILLS: u64 = 200;

/// The tests here, each with its share.
const SHARES: u64 = 4;

/// Rounds in one world; each ends with a kill, and some with several.
const ROUNDS: u64 = 5;

/// Worlds side by side.
const WORLDS: usize = 10;

/// The longest that a flow lives where it is to die at a point, which it may never reach.
const LONGEST: Duration = Duration::from_secs(8);

/// A number from the environment.
#[allow(clippy::disallowed_methods)] // tests have no settings
pub(super) fn asked_for(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Kills a share of all, in worlds of new seeds; or in the world of the seed that is asked for.
async fn kill_a_share() {
    if let Some(seed) = asked_for("TEST_SEED") {
        println!("seed {seed}: {:?}", world(seed).await);
        return;
    }
    let wanted = asked_for("TEST_KILLS").unwrap_or(KILLS).div_ceil(SHARES);
    let first: u64 = rand::random_range(0..u64::MAX / 2);
    let most = if is_on_postgres() { WORLDS / 2 } else { WORLDS };
    let (mut seeds, mut worlds, mut tally) = (first.., JoinSet::new(), Tally::default());
    loop {
        let expected = |under_way: usize| ROUNDS * u64::try_from(under_way).unwrap();
        while worlds.len() < most && tally.kills + expected(worlds.len()) < wanted {
            worlds.spawn(world(seeds.next().unwrap()));
        }
        let Some(one) = worlds.join_next().await else { break };
        tally.add(&one.unwrap());
    }
    println!("seeds {first} and on: {tally:?}");
    let in_the_middle = tally.at_work + tally.in_recovery;
    assert!(tally.kills >= wanted && in_the_middle * 2 > tally.kills, "{tally:?}");
}

/// What the kills of a world came to.
#[derive(Debug, Default)]
struct Tally {
    kills: u64,
    /// Before the flow had been answered.
    at_work: u64,
    at_points: u64,
    in_recovery: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.kills += other.kills;
        self.at_work += other.at_work;
        self.at_points += other.at_points;
        self.in_recovery += other.in_recovery;
    }
}

/// One world from its seed; the seed makes the same choices again, though not the same timing.
async fn world(seed: u64) -> Tally {
    let (mut rng, mut world) = (StdRng::seed_from_u64(seed), World::new().await);
    let mut tally = Tally::default();
    let mut life = world.start().await.unwrap();
    for round in 0..ROUNDS {
        let asked = asked(&mut world, &mut life, &mut rng).await;
        let mut story = format!("TEST_SEED={seed}, round {round}: {asked:?}");
        make_trouble(&mut world, &asked, &mut rng, &mut story);
        let beside = if rng.random_bool(0.2) { world.start().await } else { None };
        cut_short(&world, life, &asked, &mut rng, &mut tally, &mut story).await;
        life = match beside {
            Some(beside) => taken_over(&world, beside, &mut story).await,
            None => {
                recover_in_vain(&world, &mut rng, &mut tally, &mut story).await;
                next(&world, &story).await
            }
        };
        world.check(&story).await;
    }
    life.kill().await;
    tally
}

/// Another life, without trouble from now on, that has brought everything to rest.
async fn next(world: &World, story: &str) -> Life {
    world.tenant.faults().clear();
    world.control.disarm();
    let mut life = world.start().await.unwrap_or_else(|| panic!("{story}\n{}", world.log()));
    world.rest(&mut life, story).await.unwrap_or_else(|| panic!("{story}\n{}", world.log()));
    life
}

/// A server that ran beside the one that was killed takes over, if the point was not its own.
async fn taken_over(world: &World, mut beside: Life, story: &mut String) -> Life {
    *story += "\nanother server ran beside";
    world.tenant.faults().clear();
    match world.rest(&mut beside, story).await {
        Some(()) => beside,
        None => next(world, story).await,
    }
}

/// What is asked in one round: one thing, or two at the same time.
async fn asked(world: &mut World, life: &mut Life, rng: &mut StdRng) -> Vec<Asked> {
    let mut asked = Vec::new();
    for _ in 0..rng.random_range(1..=2) {
        let flow = Flow::ALL[rng.random_range(0..Flow::ALL.len())];
        asked.push(world.asked(flow, life, rng).await);
    }
    asked
}

/// Switches faults on, which may stay on during a part of the recovery.
fn make_trouble(world: &mut World, asked: &[Asked], rng: &mut StdRng, story: &mut String) {
    for _ in 0..rng.random_range(0..=2) {
        let fault = match rng.random_range(0..12) {
            0 => Fault::ReplyLostBeforeApply,
            1 => Fault::ReplyLostAfterApply,
            2 => Fault::Hang { applied: rng.random() },
            3 | 4 => Fault::Delay { ms: rng.random_range(50..1_500) },
            5 => Fault::EditLock { hold_ms: Some(20) },
            6 => Fault::ReadAfterWriteLag { reads: rng.random_range(1..4) },
            7 => Fault::ServerError { status: 500, applied: rng.random() },
            8 => Fault::TruncatedBody { after: None },
            9 => Fault::SessionExpired,
            10 => Fault::HtmlPage { status: 200, applied: rng.random() },
            _ => Fault::OtherAdminChanges { user: None, after: rng.random() },
        };
        if matches!(fault, Fault::OtherAdminChanges { .. }) {
            let named = asked.iter().filter_map(|(_, arguments)| arguments["user"].as_str());
            world.foreign.extend(named.map(str::to_owned));
        }
        let places = [
            Endpoint::DeleteUser,
            Endpoint::ReplaceUser,
            Endpoint::CreateUser,
            Endpoint::Activate,
            Endpoint::GetUser,
            Endpoint::ListUsers,
            Endpoint::Status,
        ];
        let rule = fault.on(places[rng.random_range(0..places.len())]).times(rng.random_range(1..3));
        *story += &format!("\n{rule:?}");
        world.tenant.faults().switch_on(rule);
    }
}

fn some_strike(rng: &mut StdRng, most: u32) -> Strike {
    let ways = [
        (SYNC | SEND | ANSWER, Mode::Before),
        (SYNC | SEND | ANSWER, Mode::After),
        (SEND | ANSWER, Mode::Half),
        (PAGE, Mode::Half),
    ];
    let (kinds, mode) = ways[rng.random_range(0..ways.len())];
    let points = if kinds == PAGE { most * 5 } else { most };
    Strike::at(rng.random_range(1..=points), kinds, mode)
}

/// Lets a life begin its work and kills it, at a point or at an instant.
async fn cut_short(
    world: &World,
    mut life: Life,
    asked: &[Asked],
    rng: &mut StdRng,
    tally: &mut Tally,
    story: &mut String,
) {
    let mut longest = LONGEST;
    if rng.random_bool(0.6) {
        let strike = some_strike(rng, 20);
        *story += &format!("\n{strike:?}");
        world.control.arm(strike);
    } else {
        longest = Duration::from_millis(rng.random_range(0..1_200));
        *story += &format!("\nafter {longest:?}");
    }
    let answered = timeout(longest, life.calls(asked)).await;
    life.kill().await;
    tally.kills += 1;
    tally.at_work += u64::from(!matches!(answered, Ok(Some(_))));
    tally.at_points += u64::from(world.control.struck().is_some());
    world.control.disarm();
    if rng.random() {
        world.trail_is_whole().await;
    }
}

/// Kills some of the servers that take over, sometimes with the faults still on.
async fn recover_in_vain(world: &World, rng: &mut StdRng, tally: &mut Tally, story: &mut String) {
    let turns = if rng.random_bool(0.4) { rng.random_range(1..=3) } else { 0 };
    if rng.random() {
        world.tenant.faults().clear();
    }
    for _ in 0..turns {
        let (strike, instant) = (some_strike(rng, 30), Duration::from_millis(rng.random_range(100..3_000)));
        *story += &format!("\nin recovery: {strike:?} or after {instant:?}");
        world.control.arm(strike);
        if let Some(mut life) = world.start().await {
            let _ = timeout(instant, world.rest(&mut life, story)).await;
            life.kill().await;
        }
        tally.kills += 1;
        tally.in_recovery += 1;
        tally.at_points += u64::from(world.control.struck().is_some());
        world.trail_is_whole().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k13_random_kills_leave_every_user_known_1_of_4() {
    kill_a_share().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k13_random_kills_leave_every_user_known_2_of_4() {
    kill_a_share().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k13_random_kills_leave_every_user_known_3_of_4() {
    kill_a_share().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k13_random_kills_leave_every_user_known_4_of_4() {
    kill_a_share().await;
}
