//! Replicas that read as fast as they can and are killed again and again keep a tenant's windows in sum
//! (F6, I9): the tenant enforces them, and refuses nothing.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use tokio::time::timeout;
use zia_mcp::{
    model::Per,
    sandbox::{Endpoint, LimitPolicy},
};

use super::{
    life::{Asked, Life},
    random::asked_for,
    windows::{self, fullest},
    world::World,
};
use crate::place::Place;

/// The tenant allows so many times what ZIA does, and the servers know: four lists a second.
const TIMES: u32 = 4;

/// Lists that the tenant lets through in a minute: fewer than the replicas ask for.
const LISTS: usize = 40;

/// Each ends with the death of every replica.
const ROUNDS: usize = 14;

/// Reads until it is killed.
async fn read(mut life: Life, asked: &[Asked], time: Duration) {
    let reading = async { while life.calls(asked).await.is_some() {} };
    let _ = timeout(time, reading).await;
    life.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f6_i9_three_replicas_killed_while_they_read_meet_no_429_and_use_what_there_is() {
    let seed = asked_for("TEST_SEED").unwrap_or_else(|| rand::random_range(0..u64::MAX / 2));
    println!("TEST_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::of(40, Place::on_postgres(), windows::documented(TIMES)).await;
    world.tenant.set_limits(LimitPolicy::Times(TIMES));
    world.make_state();
    let url = world.dir.url().unwrap().to_owned();
    let email = world.several(1, &mut rng).remove(0).email;
    let asked = vec![("find_user", json!({"query": email, "fresh": true})); 5];
    for _ in 0..ROUNDS {
        let mut lives = Vec::new();
        for n in 0..3 {
            let life = world.replica(n, &url).await.unwrap_or_else(|| panic!("replica {n}\n{}", world.log()));
            lives.push(read(life, &asked, Duration::from_millis(rng.random_range(300..2_000))));
        }
        futures::future::join_all(lives).await;
    }
    let facts = world.check(&format!("TEST_SEED={seed}")).await;
    println!("{}", windows::told(&facts));
    assert!(facts.journal.iter().all(|call| call.status != Some(429)), "{}", world.log());
    // Who dies between counting and sending has counted a call that never left.
    let lists = fullest(&facts, Endpoint::ListUsers, Per::Minute);
    assert!((LISTS * 3 / 5..=LISTS).contains(&lists), "{lists} lists");
    assert!(facts.departures.unwrap()["GET /users"] >= LISTS, "every one was asked for");
}
