//! Taking up many operations that an earlier process left open.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use serde_json::json;
use zia_mcp::{
    model::{Action, Actor, Channel, Clock, Digest, State, UserId},
    store::{AuditEntry, NewOperation, Store},
};

use super::{
    operations::{House, runtime},
    stats::{millis, ratio},
    table,
};

/// Operations left open.
const OPEN: i64 = 10_000;

pub(crate) fn print() {
    table::head(
        &format!("Recovery with {OPEN} open operations (floor: an empty store)"),
        &["what they wait for", "one round", "aim", "/ floor"],
    );
    runtime().block_on(measure());
}

async fn measure() {
    let house = House::new(50).await;
    let floor = round(&house).await;
    show("nothing: an empty store", floor, floor);
    fill(&house.store, house.zia.tenant(), State::Awaiting).await;
    show("a person: looked at, and left alone", round(&house).await, floor);

    let house = House::new(50).await;
    fill(&house.store, house.zia.tenant(), State::Approved).await;
    show("a server: claimed, to be carried on", round(&house).await, floor);
}

async fn round(house: &House) -> Duration {
    let start = Instant::now();
    house.lifecycle.recover().await.expect("recovered");
    start.elapsed()
}

/// Fills the store with operations that nobody carries on.
async fn fill(store: &Store, tenant: &str, state: State) {
    let now = Clock::system().now();
    for n in 1..=OPEN {
        let new = NewOperation {
            tenant: tenant.to_owned(),
            action: Action::DeprovisionUser,
            actor: Actor::new("local", "bench 1", Channel::Stdio),
            state,
            own: false,
            alone: false,
            arguments: Digest::of(&n.to_le_bytes()),
            subject: UserId::new(n),
            users: Vec::new(),
            expires_at: now + SignedDuration::from_hours(1),
            details: json!({"user": {"id": n, "name": "Jane Doe", "email": format!("jane{n}@example.com")}}),
        };
        store.create_operation(new, AuditEntry::new("operation.created")).await.expect("created");
    }
}

fn show(name: &str, took: Duration, floor: Duration) {
    table::row(&[name, &millis(took), "< 5 s", &ratio(took.as_secs_f64(), floor.as_secs_f64())]);
}
