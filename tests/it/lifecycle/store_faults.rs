//! A store that fails: nothing is sent that is not on record (I1, I6, T26).

use zia_mcp::{
    lifecycle::{Code, INTERACTIVE, Outcome},
    sandbox::{Endpoint, Fault},
};

use super::{answer, ask, leaver, newcomer, plain, provisioned, until, yes};
use crate::support::{Bench, local};

const NORA: &str = "nora.new@example.com";

#[tokio::test]
async fn t26_a_store_without_an_audit_trail_sends_nothing() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    let asked = ask(&bench, &email).await;
    bench.raw_sql("ALTER TABLE audit RENAME TO audit_away").await;
    let failure = bench.lifecycle.answer(local(), asked.clone(), yes(&email)).await.unwrap_err();
    assert_eq!(failure.code, Code::AuditUnavailable);
    assert_eq!(provisioned(&bench, newcomer(NORA)).await.unwrap_err().code, Code::AuditUnavailable);
    assert!(bench.tenant.user(id).is_some());
    assert_eq!(bench.writes(), 0);
    // Once it is there again, the same question can be answered.
    bench.raw_sql("ALTER TABLE audit_away RENAME TO audit").await;
    assert_eq!(answer(&bench, &asked, yes(&email)).await.unwrap().outcome, Outcome::Done);
}

#[tokio::test]
async fn t26_a_send_that_cannot_be_recorded_is_not_made() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    let asked = ask(&bench, &email).await;
    bench.raw_sql("CREATE TRIGGER full BEFORE INSERT ON sends BEGIN SELECT RAISE(ABORT, 'full'); END").await;
    let failure = answer(&bench, &asked, yes(&email)).await.unwrap_err();
    assert_eq!(failure.code, Code::StoreUnavailable, "{failure:?}");
    assert_eq!(provisioned(&bench, newcomer(NORA)).await.unwrap_err().code, Code::StoreUnavailable);
    assert!(bench.tenant.user(id).is_some());
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn t26_a_store_that_takes_nothing_after_the_approval_is_told_and_nothing_is_sent() {
    let bench = Bench::new().await;
    bench
        .raw_sql("CREATE TRIGGER full BEFORE UPDATE ON operations BEGIN SELECT RAISE(ABORT, 'full'); END")
        .await;
    let failure = provisioned(&bench, newcomer(NORA)).await.unwrap_err();
    assert_eq!(failure.code, Code::StoreUnavailable, "{failure:?}");
    assert!(failure.operation_id.is_some());
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn an_approval_that_no_longer_opens_sends_nothing() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    let asked = ask(&bench, &email).await;
    // The last look at the user takes long enough for the record to be changed meanwhile.
    bench.tenant.faults().switch_on(Fault::Delay { ms: 1_500 }.on(Endpoint::GetUser));
    bench.lifecycle.answer(local(), asked.clone(), yes(&email)).await.unwrap();
    bench.raw_sql("UPDATE approvals SET sealed = zeroblob(96)").await;
    let failure = bench.lifecycle.wait(&asked, INTERACTIVE).await.unwrap_err();
    assert_eq!(failure.code, Code::StoreUnavailable, "{failure:?}");
    assert!(bench.tenant.user(id).is_some());
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn a_user_who_cannot_be_captured_is_not_asked_about() {
    let bench = Bench::new().await;
    let (_, email) = plain(&bench);
    bench
        .raw_sql("CREATE TRIGGER full BEFORE INSERT ON captures BEGIN SELECT RAISE(ABORT, 'full'); END")
        .await;
    let failure = bench.lifecycle.deprovision(local(), leaver(&email)).await.unwrap_err();
    assert_eq!(failure.code, Code::StoreUnavailable);
    assert!(bench.lifecycle.tenant_status(&local()).await.unwrap().open_operations.is_empty());
    assert_eq!(bench.writes(), 0);
    bench.raw_sql("DROP TRIGGER full").await;
    ask(&bench, &email).await;
}

#[tokio::test]
async fn a_capture_that_no_longer_opens_stops_the_delete() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    let asked = ask(&bench, &email).await;
    bench.raw_sql("UPDATE captures SET body = zeroblob(length(body))").await;
    assert!(answer(&bench, &asked, yes(&email)).await.is_err());
    assert!(bench.tenant.user(id).is_some());
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn an_end_that_cannot_be_recorded_is_settled_later_and_never_sent_again() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    let asked = ask(&bench, &email).await;
    bench.raw_sql("CREATE TRIGGER full BEFORE UPDATE ON sends BEGIN SELECT RAISE(ABORT, 'full'); END").await;
    bench.lifecycle.answer(local(), asked.clone(), yes(&email)).await.unwrap();
    bench.tenant.arrived(Endpoint::DeleteUser, 1).await;
    until("the delete is applied", async || bench.tenant.user(id).is_none()).await;
    bench.raw_sql("DROP TRIGGER full").await;
    until("the task is over", async || {
        bench.lifecycle.recover().await.unwrap();
        bench.lifecycle.report(&asked).await.unwrap().outcome != Outcome::InProgress
    })
    .await;
    assert_eq!(bench.lifecycle.wait(&asked, INTERACTIVE).await.unwrap().outcome, Outcome::Done);
    assert_eq!(bench.calls("DELETE /users/{id}"), 1);
}

#[tokio::test]
async fn a_state_directory_that_is_gone_stops_writes_and_not_searches() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    let asked = ask(&bench, &email).await;
    let (state, away) = (bench.dir.path().join("state"), bench.dir.path().join("away"));
    std::fs::rename(&state, &away).unwrap();
    let failure = bench.lifecycle.answer(local(), asked.clone(), yes(&email)).await;
    assert!(failure.is_err() || answer(&bench, &asked, yes(&email)).await.is_err());
    assert!(bench.lifecycle.ready().await.is_err());
    assert_eq!(super::found(&bench, &email).await.users.len(), 1);
    assert!(bench.tenant.user(id).is_some());
    assert_eq!(bench.writes(), 0);
    assert!(!state.exists(), "it came back empty");
    std::fs::rename(&away, &state).unwrap();
}
