//! A role that serves and may not change the audit trail.

use sqlx::{AnyConnection, Connection as _};
use zia_mcp::{
    model::{Clock, State},
    store::{SendOutcome, verify_chain},
};

use super::{Host, TENANT, administer, approved, entry, send};
use crate::place::{self, Place};

/// The statements of the README, with a role of this test's.
fn grants(role: &str) -> [String; 3] {
    [
        format!("ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role}"),
        format!("REVOKE UPDATE, DELETE, TRUNCATE ON audit FROM {role}"),
        format!("REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON schema_version FROM {role}"),
    ]
}

#[test]
fn the_grants_of_this_test_are_those_of_the_readme() {
    let readme = include_str!("../../../README.md");
    for sql in grants("zia_server") {
        assert!(readme.contains(&sql), "{sql}");
    }
}

#[tokio::test]
async fn a_role_that_may_not_change_the_trail_serves_and_the_server_refuses_the_rest() {
    let place = Place::on_postgres();
    let url = place.url().unwrap().parse::<url::Url>().unwrap();
    let role = format!("serves_{}", &url.path()[1..]);
    place::administer(format!("CREATE ROLE {role} LOGIN"));
    let [before, after @ ..] = grants(&role);
    administer(&place, before).await;
    // The owner migrates.
    Host::of(&place).open().await.close().await;
    administer(&place, after.join("; ")).await;

    let mut as_server = url.clone();
    as_server.set_username(&role).unwrap();
    let host = Host::reaching(&place, as_server.as_str());
    let store = host.try_open(Clock::system()).await.unwrap();
    let server = store.server().await.unwrap().unwrap();
    assert!(!server.may_change_audit && server.shown.contains("version"), "{server:?}");
    let op = approved(&store, 42, true).await;
    let (op, permit) = send(&store, &op).await.unwrap();
    store.end_send(permit, SendOutcome::Done, None, entry()).await.unwrap();
    store.advance(&op, State::Acked, serde_json::json!({}), entry()).await.unwrap();
    store.health().await.unwrap();
    assert_eq!(verify_chain(None, &store.audit_records(TENANT, 1, 100).await.unwrap()), Ok(()));

    let mut hands = AnyConnection::connect(as_server.as_str()).await.unwrap();
    for sql in [
        "UPDATE audit SET body = '{}'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "DROP TABLE audit",
        "ALTER TABLE audit DISABLE TRIGGER ALL",
        "DELETE FROM schema_version",
    ] {
        let refused = sqlx::raw_sql(sql).execute(&mut hands).await.unwrap_err();
        let code = refused.as_database_error().and_then(|error| error.code()).unwrap().into_owned();
        assert_eq!(code, "42501", "{sql}");
    }
    hands.close().await.unwrap();
    store.close().await;
    assert!(Host::of(&place).open().await.server().await.unwrap().unwrap().may_change_audit, "the owner may");
    administer(&place, format!("DROP OWNED BY {role}")).await;
    place::administer(format!("DROP ROLE {role}"));
}

#[tokio::test]
async fn t25_the_owner_too_changes_the_trail_only_after_taking_the_trigger_away() {
    let place = Place::on_postgres();
    let store = Host::of(&place).open().await;
    store.audit(TENANT, None, None, entry()).await.unwrap();
    let mut hands: AnyConnection = place.insider().await;
    for sql in ["UPDATE audit SET body = '{}'", "DELETE FROM audit", "TRUNCATE audit"] {
        let refused = sqlx::raw_sql(sql).execute(&mut hands).await.unwrap_err();
        assert!(refused.to_string().contains("only added"), "{sql}: {refused}");
    }
    assert_eq!(store.audit_records(TENANT, 1, 100).await.unwrap().len(), 1);
    for sql in [place::NO_TRIGGER, "DELETE FROM audit"] {
        sqlx::raw_sql(sql).execute(&mut hands).await.unwrap();
    }
    hands.close().await.unwrap();
    assert_eq!(store.audit_records(TENANT, 1, 100).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_role_without_rights_to_change_the_schema_says_who_has_to() {
    let place = Place::on_postgres();
    let url = place.url().unwrap().parse::<url::Url>().unwrap();
    let role = format!("poor_{}", &url.path()[1..]);
    place::administer(format!("CREATE ROLE {role} LOGIN"));
    let mut as_server = url;
    as_server.set_username(&role).unwrap();
    let refused = Host::reaching(&place, as_server.as_str()).try_open(Clock::system()).await.unwrap_err();
    assert!(refused.to_string().contains("zia-mcp store migrate"), "{refused}");
    place::administer(format!("DROP ROLE {role}"));
}
