//! Deleting a user: in order, approved, verified, told truly.

use zia_mcp::lifecycle::{ActivationState, Answer, Code, DeprovisionUser, Outcome, Report};

use crate::support::{Bench, local};

fn leaver(user: &str) -> DeprovisionUser {
    DeprovisionUser { user: user.into(), reason: Some("leaves on Friday".into()) }
}

/// A plain user of the sandbox tenant.
fn plain(bench: &Bench) -> (u64, String) {
    let users = bench.tenant.users();
    let user = users.iter().find(|u| !u.admin_user && !u.non_editable && !u.disabled).unwrap();
    (user.id, user.email.clone())
}

async fn ask(bench: &Bench, user: &str) -> zia_mcp::model::OperationId {
    let begun = bench.lifecycle.deprovision(local(), leaver(user)).await.unwrap();
    assert!(begun.question.is_some());
    begun.operation
}

async fn answered(bench: &Bench, user: &str, answer: Answer) -> Report {
    let id = ask(bench, user).await;
    bench.lifecycle.answer(local(), id.clone(), answer).await.unwrap();
    bench.lifecycle.wait(&id, zia_mcp::lifecycle::INTERACTIVE).await.unwrap()
}

#[tokio::test]
async fn an_approved_user_is_deleted_verified_and_activated() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    let report = answered(&bench, &email, Answer::Accepted(format!(" {} ", email.to_uppercase()))).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(report.activation.state, ActivationState::Active);
    assert!(report.capture.is_some() && report.approval.is_some());
    assert!(bench.tenant.live_user(id).is_none());
    assert_eq!(bench.calls("DELETE /users/{id}"), 1);
}

#[tokio::test]
async fn deprovision_without_approval_sends_nothing() {
    let bench = Bench::new().await;
    let (id, email) = plain(&bench);
    for (answer, outcome) in [
        (Answer::Accepted("yes".into()), Outcome::AwaitingApproval),
        (Answer::Cancelled, Outcome::AwaitingApproval),
        (Answer::Silent, Outcome::AwaitingApproval),
        (Answer::Declined, Outcome::Declined),
    ] {
        let report = answered(&bench, &email, answer.clone()).await;
        assert_eq!(report.outcome, outcome, "{answer:?}");
    }
    assert!(bench.tenant.user(id).is_some());
    assert_eq!(bench.calls("DELETE /users/{id}") + bench.calls("POST /status/activate"), 0);
}

#[tokio::test]
async fn an_unknown_user_is_not_found_and_absence_is_proven() {
    let bench = Bench::new().await;
    let failure = bench.lifecycle.deprovision(local(), leaver("nobody@example.com")).await.unwrap_err();
    assert_eq!(failure.code, Code::NotFound);
    assert!(failure.message.contains("prove"), "{failure:?}");
}
