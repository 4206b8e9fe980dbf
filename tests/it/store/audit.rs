//! The audit trail: whole, or the first bad record named (T25).

use zia_mcp::{
    model::State,
    store::{AuditEntry, AuditRecord, BrokenChain, Store, verify_chain},
};

use super::{Home, TENANT, actor, details, entry};

async fn records(store: &Store) -> Vec<AuditRecord> {
    store.audit_records(TENANT, 1, 1000).await.unwrap()
}

#[tokio::test]
async fn every_change_is_on_a_chain_that_holds() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.approved(&store).await;
    store.advance(&op, State::Changed, details(), entry()).await.unwrap();
    store.audit(TENANT, None, Some(&actor()), AuditEntry::new("call.refused")).await.unwrap();
    let all = records(&store).await;
    assert_eq!(all.iter().map(|r| r.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(verify_chain(None, &all), Ok(()));
    assert_eq!(verify_chain(Some(&all[1]), &all[2..]), Ok(()));
    assert_eq!((all[4].event.as_str(), &all[4].operation), ("call.refused", &None));
    assert!(!all[4].body.contains("a client"), "{}", all[4].body);
}

#[tokio::test]
async fn each_tenant_has_a_chain_of_its_own() {
    let home = Home::new();
    let store = home.open().await;
    for tenant in [TENANT, "another", TENANT] {
        store.audit(tenant, None, None, entry()).await.unwrap();
    }
    assert_eq!(records(&store).await.len(), 2);
    let other = store.audit_records("another", 1, 10).await.unwrap();
    assert_eq!(verify_chain(None, &other), Ok(()));
    assert_eq!(store.audit_records(TENANT, 2, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_changed_dropped_or_moved_record_is_named() {
    let home = Home::new();
    let store = home.open().await;
    for n in 0..5 {
        store.audit(TENANT, None, None, entry().with("n", n)).await.unwrap();
    }
    for (sql, seq) in [
        ("UPDATE audit SET body = replace(body, '\"n\":2', '\"n\":9') WHERE seq = 3", 3),
        ("UPDATE audit SET event = 'another.event' WHERE seq = 2", 2),
        ("UPDATE audit SET at = at + 1 WHERE seq = 2", 2),
        ("UPDATE audit SET operation = 'op_0123456789abcdef0123456789abcdef' WHERE seq = 4", 4),
        ("UPDATE audit SET prev_hash = zeroblob(32) WHERE seq = 2", 2),
        ("UPDATE audit SET hash = zeroblob(32) WHERE seq = 5", 5),
        ("DELETE FROM audit WHERE seq = 1", 1),
        ("DELETE FROM audit WHERE seq = 3", 3),
        ("UPDATE audit SET seq = -seq WHERE seq IN (2, 3); UPDATE audit SET seq = 5 + seq WHERE seq < 0", 2),
    ] {
        home.raw_sql("CREATE TABLE kept AS SELECT * FROM audit").await;
        home.raw_sql(sql).await;
        assert_eq!(verify_chain(None, &records(&store).await), Err(BrokenChain { seq }), "{sql}");
        home.raw_sql("DELETE FROM audit; INSERT INTO audit SELECT * FROM kept; DROP TABLE kept").await;
        assert_eq!(verify_chain(None, &records(&store).await), Ok(()));
    }
}
