//! `audit verify`, by the binary itself: whole 0, broken 2, truncated 3, unreadable 4 (T25).

use std::{fs, path::PathBuf, process::Command};

use serde_json::Value;
use zia_mcp::store::{Store, append_checkpoints};

use crate::place::is_of_files_alone;

use super::{Home, TENANT, actor, entry};

/// Records of the trail that is spoilt.
const RECORDS: i64 = 12;

/// What the binary says of a store.
struct Said {
    code: i32,
    report: Value,
    message: String,
}

impl Said {
    fn chain(&self) -> (&str, i64) {
        let chain = &self.report["chains"][0];
        (chain["verdict"].as_str().unwrap_or_default(), chain["first_bad"].as_i64().unwrap_or_default())
    }
}

fn verify(home: &Home, more: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_zia-mcp"))
        .env_clear()
        .envs(home.tmp.env())
        .args(["audit", "verify", "--json", "--state-dir"])
        .arg(home.settings().state_dir)
        .args(more)
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    Said { code: output.status.code().unwrap(), report, message }
}

async fn filled(home: &Home) -> Store {
    let store = home.open().await;
    for n in 0..RECORDS {
        let actor = (n % 2 == 0).then(actor);
        store.audit(TENANT, None, actor.as_ref(), entry().with("n", n)).await.unwrap();
    }
    store
}

/// A trail that is signed to its end.
async fn signed() -> Home {
    let home = Home::new();
    let store = filled(&home).await;
    assert_eq!(store.checkpoint().await.unwrap().len(), 1);
    store.close().await;
    home
}

fn file(home: &Home, name: &str) -> PathBuf {
    home.settings().state_dir.join(name)
}

#[tokio::test]
async fn a_whole_trail_exits_zero_and_tells_how_far_it_is_signed() {
    let said = verify(&signed().await, &[]);
    assert_eq!(said.code, 0, "{}", said.message);
    assert_eq!(said.chain(), ("whole", 0));
    assert_eq!(said.report["chains"][0]["signed"], RECORDS);
}

#[tokio::test]
async fn one_changed_byte_in_any_column_of_a_record_exits_two_and_names_it() {
    if is_of_files_alone("bytes changed by casts that SQLite alone allows") {
        return;
    }
    for (sql, seq) in [
        ("UPDATE audit SET body = replace(body, '\"n\":4', '\"n\":5') WHERE seq = 5", 5),
        ("UPDATE audit SET body = body || ' ' WHERE seq = 12", 12),
        ("UPDATE audit SET body = X'00' WHERE seq = 1", 1),
        ("UPDATE audit SET event = 'test.evenu' WHERE seq = 7", 7),
        ("UPDATE audit SET at = at + 1 WHERE seq = 2", 2),
        ("UPDATE audit SET operation = 'op_0123456789abcdef0123456789abcdef' WHERE seq = 4", 4),
        ("UPDATE audit SET actor = zeroblob(32) WHERE seq = 3", 3),
        ("UPDATE audit SET actor = zeroblob(32) WHERE seq = 4", 4),
        ("UPDATE audit SET actor = NULL WHERE seq = 3", 3),
        ("UPDATE audit SET prev_hash = zeroblob(32) WHERE seq = 2", 2),
        ("UPDATE audit SET hash = zeroblob(32) WHERE seq = 6", 6),
        ("UPDATE audit SET hash = X'01' WHERE seq = 12", 12),
        ("UPDATE audit SET seq = 99 WHERE seq = 8", 8),
        ("UPDATE audit SET tenant = 'another' WHERE seq = 9", 9),
    ] {
        let home = signed().await;
        home.raw_sql(sql).await;
        let said = verify(&home, &[]);
        assert_eq!(said.code, 2, "{sql}: {}", said.message);
        let chains = said.report["chains"].as_array().unwrap();
        let named = chains.iter().any(|c| c["verdict"] == "broken" && c["first_bad"] == seq);
        assert!(named, "{sql}: {}", said.report);
    }
}

#[tokio::test]
async fn a_record_dropped_or_two_swapped_exit_two_and_are_named() {
    for (sql, seq) in [
        ("DELETE FROM audit WHERE seq = 1", 1),
        ("DELETE FROM audit WHERE seq = 6", 6),
        ("UPDATE audit SET seq = -seq WHERE seq IN (4, 5); UPDATE audit SET seq = 9 + seq WHERE seq < 0", 4),
    ] {
        let home = signed().await;
        home.raw_sql(sql).await;
        let said = verify(&home, &[]);
        assert_eq!((said.code, said.chain()), (2, ("broken", seq)), "{sql}: {}", said.message);
        assert!(said.message.contains(&format!("record {seq}")), "{}", said.message);
    }
}

#[tokio::test]
async fn a_tail_that_was_cut_exits_three_with_its_checkpoints_or_without() {
    for sql in [
        "DELETE FROM audit WHERE seq > 9",
        // Cut together with what was signed in the database: the state directory still knows.
        "DELETE FROM audit WHERE seq > 9; DELETE FROM checkpoints",
        "DELETE FROM audit; DELETE FROM checkpoints",
    ] {
        let home = signed().await;
        home.raw_sql(sql).await;
        let said = verify(&home, &[]);
        assert_eq!(said.code, 3, "{sql}: {} {}", said.message, said.report);
        assert_eq!(said.chain().0, "truncated");
    }
}

#[tokio::test]
async fn a_cut_that_took_every_trace_on_this_disk_shows_in_the_operators_file() {
    let home = Home::new();
    let store = filled(&home).await;
    let elsewhere = home.tmp.path().join("far.jsonl");
    append_checkpoints(&elsewhere, &store.checkpoint().await.unwrap()).unwrap();
    store.close().await;
    home.raw_sql("DELETE FROM audit WHERE seq > 9; DELETE FROM checkpoints").await;
    fs::remove_file(file(&home, "checkpoints")).unwrap();
    assert_eq!(verify(&home, &[]).code, 0, "nothing on this disk knows of more");
    let said = verify(&home, &["--checkpoints", elsewhere.to_str().unwrap()]);
    assert_eq!((said.code, said.chain()), (3, ("truncated", 10)), "{}", said.message);
}

#[tokio::test]
async fn a_chain_that_was_replaced_whole_does_not_fit_what_was_signed() {
    if is_of_files_alone("a file is attached") {
        return;
    }
    let home = signed().await;
    // Another store's chain has right hashes all along, but not this store's signatures.
    let other = Home::new();
    filled(&other).await.close().await;
    let stolen = file(&other, "store.db").to_str().unwrap().to_owned();
    let sql = format!(
        "ATTACH '{stolen}' AS other; DELETE FROM audit; INSERT INTO audit SELECT * FROM other.audit; DETACH other"
    );
    home.raw_sql(Box::leak(sql.into_boxed_str())).await;
    let said = verify(&home, &[]);
    assert_eq!((said.code, said.chain()), (2, ("broken", RECORDS)), "{}", said.report);
}

#[tokio::test]
async fn a_forged_checkpoint_exits_two() {
    for sql in [
        "UPDATE checkpoints SET hash = zeroblob(32)",
        "UPDATE checkpoints SET signature = zeroblob(64)",
        "UPDATE checkpoints SET at = at + 1",
        "UPDATE checkpoints SET seq = 5",
    ] {
        let home = signed().await;
        home.raw_sql(sql).await;
        let said = verify(&home, &[]);
        assert_eq!(said.code, 2, "{sql}: {} {}", said.message, said.report);
    }
}

#[tokio::test]
async fn a_store_or_key_that_cannot_be_read_exits_four() {
    if is_of_files_alone("bytes of the file") {
        return;
    }
    let home = signed().await;
    fs::write(file(&home, "store.db"), vec![0x5a; 20_000]).unwrap();
    let said = verify(&home, &[]);
    assert_eq!(said.code, 4, "{}", said.message);

    let home = signed().await;
    fs::remove_file(file(&home, "key")).unwrap();
    assert_eq!(verify(&home, &[]).code, 4);
    assert!(!file(&home, "key").exists(), "a key is never made beside data");

    assert_eq!(verify(&Home::new(), &[]).code, 4, "there is no store");
}

#[tokio::test]
async fn a_trail_that_no_longer_holds_what_was_signed_is_not_signed_again() {
    let home = signed().await;
    home.raw_sql("DELETE FROM audit WHERE seq > 9").await;
    let store = home.open().await;
    store.audit(TENANT, None, None, entry()).await.unwrap();
    assert!(store.checkpoint().await.unwrap().is_empty());
    store.close().await;
    assert_ne!(verify(&home, &[]).code, 0);
}

#[tokio::test]
async fn an_export_goes_on_after_a_record_and_can_be_checked_elsewhere() {
    let home = signed().await;
    let export = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_zia-mcp"))
            .env_clear()
            .envs(home.tmp.env())
            .args(["audit", "export", "--state-dir"])
            .arg(home.settings().state_dir)
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()).collect::<Vec<_>>()
    };
    let all = export(&[]);
    let (records, points): (Vec<_>, Vec<_>) = all.iter().partition(|line| line.get("checkpoint").is_none());
    assert_eq!((records.len(), points.len()), (12, 1));
    for pair in records.windows(2) {
        assert_eq!(pair[0]["hash"], pair[1]["prev_hash"]);
    }
    assert_eq!(records[11]["hash"], points[0]["checkpoint"]["hash"]);
    let rest = export(&["--after", &format!("{TENANT}:10")]);
    let seqs: Vec<_> = rest.iter().filter_map(|line| line["seq"].as_i64()).collect();
    assert_eq!(seqs, [11, 12]);
    assert_eq!(
        export(&["--tenant", TENANT, "--after", "12"]).iter().filter(|l| l.get("seq").is_some()).count(),
        0
    );
}
