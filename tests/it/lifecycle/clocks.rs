//! Clocks that are wrong, jump, or have come far (F34).

use std::time::Duration;

use jiff::SignedDuration;
use zia_mcp::{
    lifecycle::{Code, INTERACTIVE, Outcome},
    sandbox::{Endpoint, Fault},
    store::verify_chain,
};

use super::{answer, ask, deleted, newcomer, plain, provisioned, yes};
use crate::support::{Bench, local};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

#[tokio::test]
async fn f34_a_clock_that_jumps_in_the_middle_of_a_delete_neither_ends_nor_doubles_it() {
    for by in [HOUR, -HOUR, SignedDuration::from_hours(24 * 366), SignedDuration::from_secs(-1)] {
        let bench = Bench::new().await;
        let (id, email) = plain(&bench);
        let asked = ask(&bench, &email).await;
        bench.tenant.faults().switch_on(Fault::Delay { ms: 400 }.on(Endpoint::DeleteUser));
        bench.lifecycle.answer(local(), asked.clone(), yes(&email)).await.unwrap();
        bench.tenant.arrived(Endpoint::DeleteUser, 1).await;
        bench.jump(by);
        let report = bench.lifecycle.wait(&asked, INTERACTIVE).await.unwrap();
        assert_eq!(report.outcome, Outcome::Done, "{by:?}: {report:?}");
        assert_eq!(bench.calls("DELETE /users/{id}"), 1, "{by:?}");
        assert!(bench.tenant.user(id).is_none());
    }
}

#[tokio::test]
async fn f34_what_expired_stays_so_when_the_clock_is_set_back() {
    let bench = Bench::new().await;
    let (_, email) = plain(&bench);
    let asked = ask(&bench, &email).await;
    bench.jump(HOUR);
    bench.lifecycle.recover().await.unwrap();
    bench.jump(-HOUR);
    bench.lifecycle.answer(local(), asked.clone(), yes(&email)).await.unwrap();
    assert_eq!(bench.lifecycle.report(&asked).await.unwrap().outcome, Outcome::Expired);
    assert_eq!(bench.writes(), 0);
}

#[tokio::test]
async fn f34_an_hour_of_difference_to_zias_clock_is_worked_with_and_told() {
    for hours in [1, -1] {
        let bench = Bench::new().await;
        bench.tenant.faults().switch_on(Fault::ClockSkew { ms: hours * 3_600_000 });
        let (_, email) = plain(&bench);
        assert_eq!(deleted(&bench, &email).await.outcome, Outcome::Done);
        let status = bench.lifecycle.tenant_status(&local()).await.unwrap();
        let side = if hours > 0 { "behind" } else { "ahead of" };
        let warned = status.warnings.iter().any(|w| w.contains("clock is 3") && w.contains(side));
        assert!(warned, "{:?}", status.warnings);
    }
}

#[tokio::test]
async fn f34_a_sign_in_that_fails_by_the_clock_names_it_and_is_not_repeated() {
    for hours in [3, -3] {
        let bench = Bench::new().await;
        bench.tenant.faults().switch_on(Fault::ClockSkew { ms: hours * 3_600_000 });
        let (_, email) = plain(&bench);
        for _ in 0..3 {
            let failure = bench.lifecycle.deprovision(local(), super::leaver(&email)).await.unwrap_err();
            assert_eq!(failure.code, Code::SignInFailed);
            assert!(format!("{} {}", failure.message, failure.next).contains("clock"), "{failure:?}");
        }
        assert_eq!(bench.tenant.calls(Endpoint::Login), 1);
    }
}

#[tokio::test]
async fn f34_after_2038_everything_goes_on() {
    let bench = Bench::new().await;
    bench.pass(Duration::from_secs(14 * 366 * 24 * 3600));
    let email = "nora.new@example.com";
    assert_eq!(provisioned(&bench, newcomer(email)).await.unwrap().outcome, Outcome::Done);
    let asked = ask(&bench, email).await;
    let report = answer(&bench, &asked, yes(email)).await.unwrap();
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(report.capture.unwrap().taken_at.to_string().as_str() > "2038-01-19T03:14:08Z");
    let tenant = &bench.store.audit_tenants().await.unwrap()[0];
    let records = bench.store.audit_records(tenant, 1, 1_000).await.unwrap();
    assert_eq!(verify_chain(None, &records), Ok(()));
    assert!(records[0].at.to_string().as_str() > "2038-01-19T03:14:08Z");
}
