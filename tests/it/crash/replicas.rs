//! Three replicas on one PostgreSQL, killed and cut off at random (F6, F8, F31, F32, I9, T5).
//!
//! Each has a state directory of its own and its own way to the server, which stalls or breaks now and
//! then. `TEST_OPERATIONS` asks for another number of operations, `TEST_SEED` for one run again.

use std::{collections::HashSet, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::time::{sleep, timeout};
use zia_mcp::{model::State, sandbox::Endpoint};

use super::{
    collect,
    facts::Op,
    life::{Asked, Life},
    random::asked_for,
    windows,
    world::{Flow, World},
};
use crate::{
    place::Place,
    postgres::wire::{Way, Wire},
};

/// Operations, if nobody asks for another number.
const OPERATIONS: u64 = 300;

/// The longest that a round of calls may take before the next one begins.
const ROUND: Duration = Duration::from_secs(8);

const FLOWS: [Flow; 3] = [Flow::Provision, Flow::Update, Flow::Deprovision];

/// What befalls a replica in a round, and when.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Spared,
    Killed(Duration),
    CutOff(Way, Duration, Duration),
}

impl Fate {
    fn at_random(rng: &mut StdRng) -> Self {
        let mut within = |most: u64| Duration::from_millis(rng.random_range(0..most));
        let (when, time) = (within(1_500), within(3_500));
        match rng.random_range(0..5) {
            0 | 1 => Self::Killed(when),
            2 => Self::CutOff(Way::Cut, when, time),
            3 => Self::CutOff(Way::Stalled, when, time),
            _ => Self::Spared,
        }
    }
}

/// One replica's round; the replica, if it lives.
async fn round(mut life: Life, wire: &Wire, asked: &[Asked], fate: Fate) -> Option<Life> {
    if let Fate::Killed(when) = fate {
        let _ = timeout(when, life.calls(asked)).await;
        life.kill().await;
        return None;
    }
    let trouble = async {
        if let Fate::CutOff(way, when, time) = fate {
            sleep(when).await;
            wire.set(way);
            sleep(time).await;
            wire.set(Way::Open);
        }
    };
    let (answered, ()) = tokio::join!(timeout(ROUND, life.calls(asked)), trouble);
    // It ended by itself only if it was killed, which it was not; silence is no end.
    assert!(!matches!(answered, Ok(None)), "a replica ended by itself: {fate:?}");
    Some(life)
}

/// A change of a user whom no other one is about, so that the end shows what each did.
async fn once(world: &mut World, life: &mut Life, rng: &mut StdRng, touched: &mut HashSet<String>) -> Asked {
    loop {
        let flow = FLOWS[rng.random_range(0..FLOWS.len())];
        let asked = world.asked(flow, life, rng).await;
        let is_free = |email: &str| !email.starts_with("new.") && touched.insert(email.to_owned());
        if asked.1["user"].as_str().is_none_or(is_free) {
            return asked;
        }
    }
}

async fn started(world: &World, n: usize, wire: &Wire) -> Life {
    wire.set(Way::Open);
    world.replica(n, &wire.url).await.unwrap_or_else(|| panic!("replica {n}\n{}", world.log()))
}

#[tokio::test(flavor = "multi_thread")]
async fn f32_i9_three_replicas_killed_and_cut_off_at_random_end_everything_in_budget_and_send_nothing_twice()
{
    let seed = asked_for("TEST_SEED").unwrap_or_else(|| rand::random_range(0..u64::MAX / 2));
    let wanted = usize::try_from(asked_for("TEST_OPERATIONS").unwrap_or(OPERATIONS)).unwrap();
    println!("TEST_SEED={seed} for {wanted} operations");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::of(wanted * 5 + 200, Place::on_postgres(), windows::narrow()).await;
    world.make_state();
    let url = world.dir.url().unwrap().to_owned();
    let mut wires = Vec::new();
    for _ in 0..3 {
        wires.push(Wire::to(&url).await);
    }
    let mut lives: Vec<Option<Life>> = [const { None }; 3].into();
    // The first makes the key and the schema.
    lives[0] = Some(started(&world, 0, &wires[0]).await);
    let (mut kills, mut cuts, mut story, mut touched) = (0, 0, String::new(), HashSet::new());
    while collect::operations(&world.dir).await.len() < wanted || kills + cuts < 10 {
        let mut rounds = Vec::new();
        for (n, (life, wire)) in lives.iter_mut().zip(&wires).enumerate() {
            let mut one = match life.take() {
                Some(life) => life,
                None => started(&world, n, wire).await,
            };
            let mut asked = Vec::new();
            for _ in 0..rng.random_range(3..=8) {
                asked.push(once(&mut world, &mut one, &mut rng, &mut touched).await);
            }
            let fate = Fate::at_random(&mut rng);
            kills += usize::from(matches!(fate, Fate::Killed(_)));
            cuts += usize::from(matches!(fate, Fate::CutOff(..)));
            story = format!("TEST_SEED={seed}, last: {fate:?} for {asked:?}");
            rounds.push(async move { round(one, wire, &asked, fate).await });
        }
        lives = futures::future::join_all(rounds).await;
    }
    println!("{kills} kills, {cuts} cuts");
    for (n, (life, wire)) in lives.iter_mut().zip(&wires).enumerate() {
        if life.is_none() {
            *life = Some(started(&world, n, wire).await);
        }
    }
    let mut last = lives.pop().flatten().unwrap();
    world.rest(&mut last, &story).await.unwrap();
    let facts = world.check(&story).await;
    println!("{}", windows::told(&facts));
    assert!(facts.operations.len() >= wanted && facts.chain.is_ok(), "{}", facts.operations.len());
    // Whoever was asked by a replica that was killed may still answer at another one.
    let ended = |op: &Op| op.state.is_ended() || op.state == State::Awaiting;
    assert!(facts.operations.iter().all(ended), "all operations ended");
    // The windows that were kept were ones that the replicas together filled.
    for endpoint in [Endpoint::ListUsers, Endpoint::GetUser, Endpoint::DeleteUser] {
        assert!(windows::is_filled(&facts, endpoint), "{endpoint}");
    }
    world.trail_is_whole().await;
}
