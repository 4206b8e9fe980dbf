//! Reads what the store holds, as an insider with the database and the key could.

use std::collections::BTreeMap;

use secrecy::ExposeSecret as _;
use serde_json::Value;
use sqlx::Connection as _;
use zia_mcp::{
    model::{Clock, Operation},
    store::{AuditEntry, Handed, Store, StoreError, Which},
};

use super::facts::{Capture, Intent, Op, Send};
use crate::place::{Place, is_on_postgres};

/// More than any world of the rig has.
const ALL: u32 = 10_000;

/// What is on record.
pub(super) struct OnRecord {
    pub(super) operations: Vec<Op>,
    pub(super) captures: Vec<Capture>,
    pub(super) intents: Vec<Intent>,
    pub(super) chain: Result<(), String>,
    /// Calls on the account, by endpoint.
    pub(super) departures: BTreeMap<String, usize>,
}

/// The operations as the store's own code reads them.
pub(super) async fn operations(place: &Place) -> Vec<Operation> {
    let store = open(place).await;
    let all = store.operations(None, Which::Recent, ALL).await.unwrap();
    store.close().await;
    all
}

pub(super) async fn on_record(place: &Place) -> OnRecord {
    let store = open(place).await;
    let mut rows = Rows::read(place).await;
    let operations = store.operations(None, Which::Recent, ALL).await.unwrap();
    let intents = intents(&store, &operations).await;
    let operations = operations.into_iter().map(|o| rows.complete(o)).collect();
    let captures = captures(&store).await;
    let check = store.verify_audit(&[]).await.unwrap();
    let whole = !check.is_broken() && !check.is_truncated();
    let chain = whole.then_some(()).ok_or_else(|| format!("{check:?}"));
    store.close().await;
    OnRecord { operations, captures, intents, chain, departures: rows.departures }
}

/// The first passwords of some operations, which nobody is shown after this.
pub(super) async fn passwords<'a>(
    place: &Place,
    of: impl Iterator<Item = &'a Op>,
) -> BTreeMap<String, Option<String>> {
    let store = in_the_end(async || Store::open(&place.settings(), Clock::system()).await).await;
    let mut all = BTreeMap::new();
    for op in of {
        let audit = || AuditEntry::new("password.shown").with("channel", "crash");
        let id = op.id.parse().unwrap();
        let shown = match in_the_end(async || store.take_password(&id, audit()).await).await {
            Handed::Password(password) => Some(password.expose_secret().to_owned()),
            _ => None,
        };
        all.insert(op.id.clone(), shown);
    }
    store.close().await;
    all
}

async fn open(place: &Place) -> Store {
    in_the_end(async || Store::open_to_read(&place.settings(), Clock::system()).await).await
}

/// What the rig itself asks of a server that many worlds keep busy may take some attempts.
async fn in_the_end<T, F: Future<Output = Result<T, StoreError>>>(mut attempt: impl FnMut() -> F) -> T {
    for _ in 0..5 {
        match attempt().await {
            Err(StoreError::Unavailable(_)) if is_on_postgres() => {}
            done => return done.unwrap(),
        }
    }
    attempt().await.unwrap()
}

async fn captures(store: &Store) -> Vec<Capture> {
    let mut all = Vec::new();
    for info in store.captures(None, ALL).await.unwrap() {
        let opened = store.open_capture(&info.id).await.ok().flatten();
        let image = opened.and_then(|(_, raw)| serde_json::from_slice::<Value>(&raw).ok());
        let id: fn(Value) -> Option<u64> = |image| image["by_id"]["id"].as_u64();
        all.push(Capture {
            operation: info.operation.to_string(),
            user: u64::try_from(info.user_id.get()).unwrap(),
            taken_ms: info.taken_at.as_millisecond(),
            opens: image.and_then(id),
        });
    }
    all
}

async fn intents(store: &Store, operations: &[Operation]) -> Vec<Intent> {
    let Some(tenant) = operations.first().map(|o| o.tenant.clone()) else { return Vec::new() };
    let records = store.audit_records(&tenant, 1, ALL * 10).await.unwrap();
    let sends = records.into_iter().filter(|r| r.event == "send.intended");
    let intent = |record: zia_mcp::store::AuditRecord| {
        let body: Value = serde_json::from_str(&record.body).unwrap();
        Intent {
            operation: record.operation.unwrap().to_string(),
            write: body["fields"]["write"].as_str().unwrap().to_owned(),
            attempt: body["fields"]["attempt"].as_i64().unwrap(),
            at_ms: record.at.as_millisecond(),
        }
    };
    sends.map(intent).collect()
}

/// What only the tables tell, by operation.
#[derive(Default)]
struct Rows {
    sends: BTreeMap<String, Vec<Send>>,
    approvals: BTreeMap<String, (i64, Option<i64>)>,
    departures: BTreeMap<String, usize>,
}

impl Rows {
    async fn read(place: &Place) -> Self {
        let mut database = place.insider().await;
        let mut rows = Self::default();
        let sends: Vec<(String, String, i64, i64)> =
            sqlx::query_as("SELECT operation, kind, attempt, begun_at FROM sends")
                .fetch_all(&mut database)
                .await
                .unwrap();
        for (operation, write, attempt, begun) in sends {
            let send = Send { write, attempt, begun_ms: begun / 1_000 };
            rows.sends.entry(operation).or_default().push(send);
        }
        let approvals: Vec<(String, i64, Option<i64>)> =
            sqlx::query_as("SELECT operation, approved_at, used_at FROM approvals")
                .fetch_all(&mut database)
                .await
                .unwrap();
        rows.approvals = approvals.into_iter().map(|(id, at, used)| (id, (at, used))).collect();
        let departures: Vec<(String, i64)> =
            sqlx::query_as("SELECT endpoint, COUNT(*) FROM call_departures GROUP BY endpoint")
                .fetch_all(&mut database)
                .await
                .unwrap();
        let count = |n| usize::try_from(n).unwrap();
        rows.departures = departures.into_iter().map(|(endpoint, n)| (endpoint, count(n))).collect();
        database.close().await.unwrap();
        rows
    }

    fn complete(&mut self, operation: Operation) -> Op {
        let id = operation.id.to_string();
        let approval = self.approvals.get(&id).copied();
        Op {
            sends: self.sends.remove(&id).unwrap_or_default(),
            approved_ms: approval.map(|(at, _)| at / 1_000),
            used_ms: approval.and_then(|(_, used)| used).map(|at| at / 1_000),
            action: operation.action,
            state: operation.state,
            subject: operation.subject.map(|id| u64::try_from(id.get()).unwrap()),
            details: operation.details,
            id,
        }
    }
}
