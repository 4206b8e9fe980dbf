//! Every byte, every record, every place of the trail, changed: each is found and named (T25).

use sqlx::{AnyConnection, AssertSqlSafe};
use zia_mcp::store::{AuditCheck, Store, Verdict, append_checkpoints};

use crate::place::{NO_TRIGGER, is_of_files_alone};

use super::{Home, TENANT, actor, entry};

/// Records of the trail.
const RECORDS: i64 = 6;

/// The record in the middle that is signed, as the last one is.
const MIDDLE: i64 = 3;

/// A trail, and the hands of somebody with the database file.
struct Trail {
    home: Home,
    store: Store,
    hands: AnyConnection,
}

impl Trail {
    /// Records with and without actors and operations, signed in the middle and at the end.
    async fn signed() -> Self {
        let home = Home::new();
        let store = home.open().await;
        let operation = "op_0123456789abcdef0123456789abcdef".parse().unwrap();
        for n in 1..=RECORDS {
            let (actor, operation) = ((n % 2 == 0).then(actor), (n % 3 == 0).then_some(&operation));
            store.audit(TENANT, operation, actor.as_ref(), entry().with("n", n)).await.unwrap();
            if n == MIDDLE || n == RECORDS {
                assert_eq!(store.checkpoint().await.unwrap().len(), 1);
            }
        }
        let hands = home.tmp.insider().await;
        let mut trail = Self { home, store, hands };
        let first = if trail.home.tmp.url().is_none() { "PRAGMA synchronous = OFF" } else { NO_TRIGGER };
        trail.sql(first).await;
        trail.sql("CREATE TABLE kept AS SELECT * FROM audit").await;
        trail.sql("CREATE TABLE points AS SELECT * FROM checkpoints").await;
        trail
    }

    async fn sql(&mut self, text: &str) {
        sqlx::raw_sql(AssertSqlSafe(self.home.tmp.in_its_words(text)))
            .execute(&mut self.hands)
            .await
            .unwrap();
    }

    async fn check(&self) -> AuditCheck {
        self.store.verify_audit(&[]).await.unwrap()
    }

    /// What a check says after some SQL, which is undone again.
    async fn after(&mut self, change: &str) -> AuditCheck {
        self.sql(change).await;
        let found = self.check().await;
        self.sql(
            "BEGIN; DELETE FROM audit; INSERT INTO audit SELECT * FROM kept; \
             DELETE FROM checkpoints; INSERT INTO checkpoints SELECT * FROM points; COMMIT",
        )
        .await;
        found
    }

    /// A value as bytes; `None` where there is none.
    async fn bytes(&mut self, table: &str, column: &str, seq: i64) -> Option<Vec<u8>> {
        let query = format!("SELECT CAST({column} AS BLOB) FROM {table} WHERE seq = {seq}");
        sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut self.hands).await.unwrap()
    }

    /// Changes each byte of a value in turn; tells whether the check names the record each time.
    async fn change_each_byte(&mut self, table: &str, column: &str, seq: i64) -> usize {
        let Some(whole) = self.bytes(table, column, seq).await else { return 0 };
        for at in 0..whole.len() {
            let value = literal(column, &changed(column, &whole, at));
            let change = format!("UPDATE {table} SET {column} = {value} WHERE seq = {seq}");
            let found = self.after(&change).await;
            assert_eq!(first_bad(&found), Some(seq), "{change}: {found:?}");
        }
        whole.len()
    }
}

/// The first bad record of the tenant's chain.
fn first_bad(found: &AuditCheck) -> Option<i64> {
    let chain = found.chains.iter().find(|chain| chain.tenant == TENANT)?;
    match chain.verdict {
        Verdict::Broken { seq, .. } => Some(seq),
        _ => None,
    }
}

/// The SQL of a value of the column's type.
fn literal(column: &str, bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|b| format!("{b:02X}")).collect();
    match column {
        "at" => String::from_utf8(bytes.to_vec()).unwrap(),
        "event" | "operation" | "body" => format!("CAST(X'{hex}' AS TEXT)"),
        _ => format!("X'{hex}'"),
    }
}

/// One byte changed: the lowest bit, or the one between capital and small letters; of a number, a digit.
fn changed(column: &str, bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] = match (column, bytes[at]) {
        ("at", digit) => b'1' + (digit - b'0') % 9,
        (_, byte) if at.is_multiple_of(2) => byte ^ 0x01,
        (_, byte) => byte ^ 0x20,
    };
    bytes
}

#[tokio::test]
async fn t25_any_byte_of_any_column_of_any_record_that_changes_is_found_and_named() {
    if is_of_files_alone("bytes changed by casts that SQLite alone allows") {
        return;
    }
    let mut trail = Trail::signed().await;
    assert!(!trail.check().await.is_broken());
    let mut tried = 0;
    for seq in 1..=RECORDS {
        for column in ["at", "event", "operation", "actor", "body", "prev_hash", "hash"] {
            tried += trail.change_each_byte("audit", column, seq).await;
        }
    }
    assert!(tried > 2_000, "{tried}");
}

#[tokio::test]
async fn t25_any_record_that_is_dropped_is_found_and_named_and_cut_tails_are_told_apart() {
    let mut trail = Trail::signed().await;
    for seq in 1..RECORDS {
        let found = trail.after(&format!("DELETE FROM audit WHERE seq = {seq}")).await;
        assert_eq!(first_bad(&found), Some(seq), "{found:?}");
    }
    for last in 0..RECORDS {
        let found = trail.after(&format!("DELETE FROM audit WHERE seq > {last}")).await;
        let truncated = Verdict::Truncated { seq: last + 1, signed: RECORDS };
        assert_eq!(found.chains[0].verdict, truncated, "{found:?}");
        assert!(found.is_truncated() && !found.is_broken());
    }
}

#[tokio::test]
async fn t25_any_two_records_that_are_swapped_are_found_and_the_first_is_named() {
    let mut trail = Trail::signed().await;
    for a in 1..=RECORDS {
        for b in a + 1..=RECORDS {
            let change = format!(
                "UPDATE audit SET seq = -seq WHERE seq IN ({a}, {b}); \
                 UPDATE audit SET seq = {a} + {b} + seq WHERE seq < 0"
            );
            assert_eq!(first_bad(&trail.after(&change).await), Some(a), "{change}");
        }
    }
}

#[tokio::test]
async fn t25_a_record_that_is_doubled_moved_or_given_to_another_tenant_is_found() {
    let mut trail = Trail::signed().await;
    let copy = "INSERT INTO audit SELECT tenant, 7, at, event, operation, actor, body, prev_hash, hash \
                FROM audit WHERE seq = 6";
    assert_eq!(first_bad(&trail.after(copy).await), Some(7));
    for seq in 1..=RECORDS {
        for place in [-1, 0, 7, 99] {
            let change = format!("UPDATE audit SET seq = {place} WHERE seq = {seq}");
            let found = trail.after(&change).await;
            let expected = if place < 1 { 1 } else { seq };
            assert_eq!(first_bad(&found), Some(expected), "{change}: {found:?}");
        }
        for tenant in ["''", "'zscalertwo.net/4712'", "X'00'"] {
            let found = trail.after(&format!("UPDATE audit SET tenant = {tenant} WHERE seq = {seq}")).await;
            assert!(found.is_broken() || found.is_truncated(), "{tenant} {seq}: {found:?}");
        }
    }
}

#[tokio::test]
async fn t25_a_cut_tail_shows_by_each_of_the_three_copies_alone_and_by_none_not_at_all() {
    for kept in ["database", "own file", "operator's file", "none"] {
        let mut trail = Trail::signed().await;
        let far = trail.home.tmp.path().join("far.jsonl");
        append_checkpoints(&far, &trail.store.checkpoints(TENANT, 1, 10).await.unwrap()).unwrap();
        trail.sql("DELETE FROM audit WHERE seq > 4").await;
        if kept != "database" {
            trail.sql("DELETE FROM checkpoints WHERE seq > 4").await;
        }
        if kept != "own file" {
            std::fs::remove_file(trail.home.settings().state_dir.join("checkpoints")).unwrap();
        }
        let files = if kept == "operator's file" { vec![far] } else { Vec::new() };
        let found = trail.store.verify_audit(&files).await.unwrap();
        let verdict = found.chains[0].verdict;
        let truncated = Verdict::Truncated { seq: 5, signed: RECORDS };
        assert_eq!(verdict, if kept == "none" { Verdict::Whole } else { truncated }, "{kept}");
        // What cannot be told is said.
        assert_eq!(found.notes.iter().any(|note| note.contains("is gone")), kept != "own file", "{found:?}");
    }
}

#[tokio::test]
async fn t25_any_byte_of_a_checkpoint_in_the_database_that_changes_is_found_and_named() {
    if is_of_files_alone("bytes changed by casts that SQLite alone allows") {
        return;
    }
    let mut trail = Trail::signed().await;
    for seq in [MIDDLE, RECORDS] {
        for (column, bytes) in [("at", 16), ("hash", 32), ("signature", 64)] {
            assert_eq!(trail.change_each_byte("checkpoints", column, seq).await, bytes);
        }
    }
}

#[tokio::test]
async fn t25_any_byte_of_a_checkpoint_in_a_file_that_changes_is_found_or_told() {
    let trail = Trail::signed().await;
    let own = trail.home.settings().state_dir.join("checkpoints");
    let text = std::fs::read(&own).unwrap();
    // The key that a line names is for who has no key file: the store's own decides.
    let key = text.windows(7).position(|window| window == b"\"key\":\"").unwrap();
    for at in 0..text.len() - 1 {
        let mut spoilt = text.clone();
        spoilt[at] ^= 0x01;
        std::fs::write(&own, &spoilt).unwrap();
        let found = trail.check().await;
        let told = found.is_broken() || found.notes.iter().any(|note| note.contains("cut off"));
        assert!(told || at > key, "{at} {:?}: {found:?}", String::from_utf8_lossy(&spoilt));
    }
}
