//! What is on record, against what the tenant saw.

use serde_json::Value;
use sqlx::Connection as _;
use zia_mcp::{
    lifecycle::Outcome,
    model::{Operation, State},
    sandbox::{Endpoint, JournalEntry},
    store::{AuditRecord, Which, verify_chain},
};

use super::{
    Answer,
    work::{Tool, Work},
};
use crate::support::Bench;

/// The calls that write, as records name them.
const WRITES: [(Endpoint, &str); 5] = [
    (Endpoint::CreateUser, "create_user"),
    (Endpoint::ReplaceUser, "replace_user"),
    (Endpoint::DeleteUser, "delete_user"),
    (Endpoint::BulkDelete, "delete_users"),
    (Endpoint::Activate, "activate"),
];

/// Where the store stood before the work.
pub(super) struct Mark {
    records: usize,
    operations: Vec<String>,
}

/// A send on record.
struct Intent {
    write: String,
    at_ms: i64,
}

impl Mark {
    pub(super) async fn of(bench: &Bench) -> Self {
        let records = records(bench).await.len();
        let all = bench.store.operations(None, Which::Recent, 100).await.unwrap();
        Self { records, operations: all.into_iter().map(|o| o.id.to_string()).collect() }
    }

    /// The operations since, oldest first.
    async fn operations(&self, bench: &Bench) -> Vec<Operation> {
        let mut all = bench.store.operations(None, Which::Recent, 100).await.unwrap();
        all.retain(|o| !self.operations.contains(&o.id.to_string()));
        all.reverse();
        all
    }

    /// Whether nothing is under way.
    pub(super) async fn is_at_rest(&self, bench: &Bench) -> bool {
        use State::{Acked, Activating, Approved, Sending, Unknown, Verified};
        let moving = [Approved, Sending, Acked, Verified, Activating, Unknown];
        self.operations(bench).await.iter().all(|o| !moving.contains(&o.state))
    }

    /// What the caller is told is so at that moment.
    pub(super) fn check_answer(&self, bench: &Bench, work: &Work, answer: &Answer, case: &str) {
        let (arrived, applied) = (arrived(bench, work.endpoint()), applied(bench, work.endpoint()));
        let told = match answer {
            Ok(report) => format!("{:?} {:?}", report.notes, report.activation),
            Err(failure) => failure.message.clone(),
        };
        if told.contains("nothing was sent") || told.contains("nothing was done") {
            assert_eq!(arrived, 0, "told that nothing was sent: {case}");
        }
        if told.contains("nothing was applied") {
            assert_eq!(applied, 0, "told that nothing was applied: {case}");
        }
        use Outcome::{AlreadyDone, Changed, Declined, Done, Expired, Failed, Planned};
        match answer.as_ref().map(|report| report.outcome) {
            Ok(Done) => assert!(work.is_live(bench), "told that it is live: {case}"),
            Ok(AlreadyDone | Changed | Declined | Expired | Failed | Planned) => {
                assert_eq!(applied, 0, "told that nothing was done: {case}");
            }
            _ => {}
        }
    }

    /// What is on record is so, and was before it was sent.
    pub(super) async fn check_claims(&self, bench: &Bench, work: &Work, case: &str) {
        let operations = self.operations(bench).await;
        let claims = operations.iter().filter(|o| claims_effect(o.state)).count();
        let effects = applied(bench, work.endpoint());
        if work.tool == Tool::Activate {
            assert!(claims == 0 || effects > 0, "active, and nothing was sent: {case}");
        } else {
            assert_eq!(claims, effects, "records and effects: {operations:?} {case}");
        }
        if operations.iter().any(|o| o.state == State::Done) {
            assert!(work.is_live(bench), "done, and not live: {case}");
        }
        self.check_sends(bench, case).await;
    }

    /// After asking again: one effect, and live.
    pub(super) async fn check_end(&self, bench: &Bench, work: &Work, case: &str) {
        self.check_claims(bench, work, case).await;
        assert!(work.is_live(bench), "not live in the end: {case}");
        if work.tool != Tool::Activate {
            assert_eq!(applied(bench, work.endpoint()), 1, "one effect: {case}");
        }
    }

    /// Every call that arrived was on record before, three of a kind at most for one operation.
    async fn check_sends(&self, bench: &Bench, case: &str) {
        let records = records(bench).await;
        assert_eq!(verify_chain(None, &records), Ok(()), "{case}");
        let since = &records[self.records..];
        let intents: Vec<Intent> = since.iter().filter(|r| r.event == "send.intended").map(intent).collect();
        let ids = self.operations(bench).await.into_iter().map(|o| o.id.to_string()).collect::<Vec<_>>();
        let (sends, most) = sends_on_record(bench, &ids).await;
        assert_eq!(sends, intents.len(), "sends and audit records: {case}");
        assert!(most <= 3, "{most} sends: {case}");
        for (endpoint, write) in WRITES {
            let of_kind: Vec<_> = intents.iter().filter(|i| i.write == write).collect();
            let calls = calls(bench, endpoint);
            assert!(calls.len() <= of_kind.len(), "{write} without a record: {case}");
            for (call, intent) in calls.iter().zip(&of_kind) {
                assert!(intent.at_ms <= call.at_ms, "{write} before its record: {case}");
            }
            let acked = since.iter().filter(|r| r.event == "send.ended" && says_done(r, write)).count();
            // An activation with nothing staged any more does nothing, and is done.
            let did = calls.iter().filter(|c| c.applied || endpoint == Endpoint::Activate).count();
            assert!(acked <= did, "{write}: done on record, not in the tenant: {case}");
        }
    }
}

/// Whether a state says that the operation's own write took effect.
fn claims_effect(state: State) -> bool {
    matches!(state, State::Done | State::NotActive)
}

fn calls(bench: &Bench, endpoint: Endpoint) -> Vec<JournalEntry> {
    bench.tenant.journal().into_iter().filter(|e| e.endpoint == endpoint).collect()
}

fn arrived(bench: &Bench, endpoint: Endpoint) -> usize {
    calls(bench, endpoint).len()
}

fn applied(bench: &Bench, endpoint: Endpoint) -> usize {
    calls(bench, endpoint).iter().filter(|e| e.applied).count()
}

/// The whole audit trail of the one tenant.
async fn records(bench: &Bench) -> Vec<AuditRecord> {
    let Some(tenant) = bench.store.audit_tenants().await.unwrap().pop() else { return Vec::new() };
    bench.store.audit_records(&tenant, 1, 10_000).await.unwrap()
}

fn fields(record: &AuditRecord) -> Value {
    serde_json::from_str::<Value>(&record.body).unwrap()["fields"].clone()
}

fn intent(record: &AuditRecord) -> Intent {
    let write = fields(record)["write"].as_str().unwrap().to_owned();
    Intent { write, at_ms: record.at.as_millisecond() }
}

fn says_done(record: &AuditRecord, write: &str) -> bool {
    let fields = fields(record);
    fields["write"] == write && fields["outcome"] == "done"
}

/// How many sends of these operations are on record, and the most of one write.
async fn sends_on_record(bench: &Bench, operations: &[String]) -> (usize, i64) {
    let mut connection = bench.dir.insider().await;
    // The users of a bulk delete share a send.
    let all: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT DISTINCT operation, kind, attempt FROM sends")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    connection.close().await.unwrap();
    let ours = all.into_iter().filter(|(id, ..)| operations.contains(id));
    ours.fold((0, 0), |(count, most), (.., attempt)| (count + 1, most.max(attempt)))
}
