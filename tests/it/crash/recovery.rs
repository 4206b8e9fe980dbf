//! Killed at the points that matter most, in the recovery itself, and in the first start.

use rand::{SeedableRng as _, rngs::StdRng};
use zia_mcp::model::State;

use crate::place::is_on_postgres;

use super::{
    control::{ANSWER, Gate, Mode, PAGE, SEND, SYNC, Strike},
    facts::{Facts, Op},
    world::{Flow, World},
};

const ON_A_USER: [Flow; 4] = [Flow::Provision, Flow::Update, Flow::Deprovision, Flow::Restore];

/// A world whose server was killed in a flow at a point, and nothing has been done about it yet.
async fn killed(flow: Flow, strike: Strike) -> World {
    let (mut world, mut rng) = (World::new().await, StdRng::seed_from_u64(1));
    let mut life = world.start().await.unwrap();
    let asked = world.asked(flow, &mut life, &mut rng).await;
    world.facts().await;
    world.control.arm(strike);
    assert!(life.calls(&[asked]).await.is_none(), "{}", world.log());
    assert!(world.control.struck().is_some(), "{}", world.log());
    life.kill().await;
    world.control.disarm();
    world
}

/// The operation that was cut off: the newest.
fn cut_off(facts: &Facts) -> &Op {
    &facts.operations[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn k8_killed_with_the_answer_read_and_not_stored_the_write_is_settled_by_reading_and_not_repeated() {
    for flow in ON_A_USER {
        let strike = Strike::at(1, SYNC, Mode::Before).once(Gate::Answered);
        let mut world = killed(flow, strike).await;
        let facts = world.facts().await;
        let op = cut_off(&facts);
        let status = facts.calls_of(op).next().unwrap().status;
        assert!(status.is_some_and(|s| (200..300).contains(&s)), "{flow:?} {status:?}");
        assert_eq!(op.state, State::Sending, "{flow:?}");
        let mut next = world.start().await.unwrap();
        world.rest(&mut next, "").await.unwrap();
        let facts = world.check(&format!("{flow:?}")).await;
        let op = cut_off(&facts);
        assert_eq!((op.state, facts.calls_of(op).count()), (State::Done, 1), "{flow:?} {op:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k6_killed_with_the_send_on_record_and_no_byte_sent_it_is_sent_by_the_next_server() {
    // The last commit before the write is the send's own record: the next point is the write.
    let mut nested = tokio::task::JoinSet::new();
    for flow in ON_A_USER {
        nested.spawn(async move {
            let mut world = killed(flow, Strike::at(write_in(flow).await, SEND, Mode::Before)).await;
            let facts = world.facts().await;
            let op = cut_off(&facts);
            assert_eq!((op.state, facts.calls_of(op).count()), (State::Sending, 0), "{flow:?}");
            let mut next = world.start().await.unwrap();
            world.rest(&mut next, "").await.unwrap();
            let facts = world.check(&format!("{flow:?}")).await;
            let op = cut_off(&facts);
            assert_eq!((op.state, facts.calls_of(op).count()), (State::Done, 1), "{flow:?} {op:?}");
        });
    }
    nested.join_all().await;
}

/// Which send of an undisturbed flow is the write, from 1; right before it stands a commit.
async fn write_in(flow: Flow) -> u32 {
    let (mut world, mut rng) = (World::new().await, StdRng::seed_from_u64(1));
    let mut life = world.start().await.unwrap();
    let asked = world.asked(flow, &mut life, &mut rng).await;
    let begun = world.trace().len();
    let answer = life.calls(&[asked]).await.unwrap().remove(0);
    assert_eq!(answer["outcome"], "done", "{answer}");
    let trace = world.trace()[begun..].to_owned();
    let lines: Vec<_> = trace.lines().collect();
    let writes =
        |line: &&str| line.starts_with("send ") && line.contains("/users") && !line.contains(" GET ");
    let at = lines.iter().position(writes).unwrap();
    let commit = if is_on_postgres() { "sync COMMIT" } else { "sync store.db-wal" };
    assert_eq!(lines[at - 1], commit, "I1, I2: {trace}");
    let before = lines[..at].iter().filter(|line| line.starts_with("send ")).count();
    u32::try_from(before).unwrap() + 1
}

#[tokio::test(flavor = "multi_thread")]
async fn k14_killed_again_and_again_in_the_recovery_every_flow_still_ends_once() {
    let mut flows = tokio::task::JoinSet::new();
    for flow in ON_A_USER {
        for mode in [Mode::Before, Mode::After] {
            flows.spawn(nested_kills(flow, mode));
        }
    }
    let kills: u32 = flows.join_all().await.into_iter().sum();
    assert!(kills >= 50, "{kills}");
}

/// Kills each server that recovers one point later than the one before it; how many there were.
async fn nested_kills(flow: Flow, mode: Mode) -> u32 {
    let mut world = killed(flow, Strike::at(1, SYNC, Mode::Before).once(Gate::Sent)).await;
    for n in 1.. {
        world.control.arm(Strike::at(n, SYNC | SEND | ANSWER, mode));
        if let Some(mut life) = world.start().await {
            let rested = world.rest(&mut life, "").await.is_some();
            life.kill().await;
            if rested && world.control.struck().is_none() {
                let facts = world.check(&format!("{flow:?} {mode:?}")).await;
                assert_eq!(cut_off(&facts).state, State::Done, "{flow:?} {mode:?}");
                return n - 1;
            }
        }
        assert!(world.control.struck().is_some(), "{}", world.log());
        world.trail_is_whole().await;
    }
    0
}

#[tokio::test(flavor = "multi_thread")]
async fn f11_killed_anywhere_in_its_first_start_the_next_one_starts_and_works() {
    let mut ways = tokio::task::JoinSet::new();
    for (kinds, mode) in [(SYNC, Mode::Before), (SYNC, Mode::After), (PAGE, Mode::Half)] {
        for first in 1..=4 {
            ways.spawn(first_starts(first, kinds, mode));
        }
    }
    let kills: u32 = ways.join_all().await.into_iter().sum();
    assert!(kills > if is_on_postgres() { 5 } else { 40 }, "{kills}");
}

/// First starts that are killed at every fourth point; how many there were.
async fn first_starts(first: u32, kinds: u32, mode: Mode) -> u32 {
    let mut kills = 0;
    for n in (first..).step_by(4) {
        let mut world = World::new().await;
        world.control.arm(Strike::at(n, kinds, mode));
        let cut = world.start().await;
        let struck = world.control.struck().is_some();
        if let Some(life) = cut {
            life.kill().await;
        }
        if !struck {
            break;
        }
        kills += 1;
        world.control.disarm();
        let mut life = world.start().await.unwrap_or_else(|| panic!("{n} {mode:?}: {}", world.log()));
        let asked = world.asked(Flow::Provision, &mut life, &mut StdRng::seed_from_u64(1)).await;
        let answer = life.calls(&[asked]).await.unwrap().remove(0);
        assert_eq!(answer["outcome"], "done", "{n} {mode:?}: {answer}");
        world.check(&format!("{n} {mode:?}")).await;
        world.trail_is_whole().await;
    }
    kills
}
