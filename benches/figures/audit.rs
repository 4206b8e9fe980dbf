//! Checking the audit trail, record by record and signature by signature.

use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use zia_mcp::{
    model::{Actor, Channel, OperationId},
    store::{AuditEntry, Store},
};

use super::{
    operations::{House, runtime},
    stats::{Times, millis, ratio},
    table,
};

/// Records of the trail.
const RECORDS: usize = 20_000;

/// How often it is checked.
const ROUNDS: usize = 5;

pub(crate) fn print() {
    table::head(
        &format!("`audit verify` of {RECORDS} records (floor: SHA-256 alone, over the same bytes)"),
        &["what", "50 %", "records a second", "aim", "/ floor"],
    );
    runtime().block_on(measure());
}

async fn measure() {
    let house = House::new(50).await;
    fill(&house.store, house.zia.tenant()).await;
    let bodies = bodies(&house.store, house.zia.tenant()).await;
    let mut times = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        times.0.push(hashed(&bodies));
        times.1.push(checked(&house.store).await);
    }
    let [floor, whole] = [times.0, times.1].map(|times| Times::new(times).median());
    show("SHA-256 alone", floor, "", floor);
    show("the check: rows, hashes, columns and signatures", whole, "> 100,000", floor);
}

/// Fills a trail with records like those of a deprovision, and signs it.
async fn fill(store: &Store, tenant: &str) {
    let actor = Actor::new("local", "bench 1", Channel::Stdio);
    let operation = OperationId::random();
    for n in 0..RECORDS {
        let entry =
            AuditEntry::new("send.ended").with("outcome", "done").with("attempt", 1).with("user_id", n);
        store.audit(tenant, Some(&operation), Some(&actor), entry).await.expect("recorded");
        if n % 1_000 == 999 {
            store.checkpoint().await.expect("signed");
        }
    }
}

async fn bodies(store: &Store, tenant: &str) -> Vec<String> {
    let records = store.audit_records(tenant, 1, u32::MAX).await.expect("records");
    assert_eq!(records.len(), RECORDS);
    records.into_iter().map(|record| record.body).collect()
}

fn hashed(bodies: &[String]) -> Duration {
    let start = Instant::now();
    let mut last = [0; 32];
    for body in bodies {
        last = Sha256::new().chain_update(last).chain_update(body).finalize().into();
    }
    assert_ne!(last, [0; 32]);
    start.elapsed()
}

async fn checked(store: &Store) -> Duration {
    let start = Instant::now();
    let found = store.verify_audit(&[]).await.expect("checked");
    assert!(!found.is_broken() && found.chains.iter().any(|chain| chain.records == RECORDS as i64));
    start.elapsed()
}

fn show(name: &str, took: Duration, aim: &str, floor: Duration) {
    let each_second = RECORDS as f64 / took.as_secs_f64();
    let ratio = ratio(took.as_secs_f64(), floor.as_secs_f64());
    table::row(&[name, &millis(took), &format!("{each_second:.0}"), aim, &ratio]);
}
