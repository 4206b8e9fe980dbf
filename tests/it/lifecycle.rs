//! The use cases against the sandbox tenant.

mod activate;
mod approval;
mod changed;
mod clocks;
mod costs;
mod deprovision;
mod find;
mod handoff;
mod index;
mod joined;
mod killed;
mod lists;
mod lost;
mod names;
mod nth;
mod provision;
mod recover;
mod refused;
mod restore;
mod rules;
mod secrecy;
mod secrets;
mod several;
mod standing;
mod store_faults;
mod turns;
mod update;
mod updated;
mod waves;

use std::time::Duration;

use zia_mcp::{
    lifecycle::{Answer, DeprovisionUser, Failure, FindUser, FoundUsers, INTERACTIVE, ProvisionUser, Report},
    model::OperationId,
    sandbox::SandboxUser,
};

use crate::support::{Bench, local};

/// The ids of the awkward users of the sandbox tenant.
const FIRST_ID: u64 = 165_000_001;

/// A plain user of the tenant, the `at`-th.
fn plain_at(bench: &Bench, at: usize) -> SandboxUser {
    let users = bench.tenant.users();
    let plain = |u: &SandboxUser| !u.admin_user && !u.non_editable && !u.disabled && u.id > FIRST_ID + 30;
    users.into_iter().filter(plain).nth(at).unwrap()
}

/// A plain user of the tenant: id and address.
fn plain(bench: &Bench) -> (u64, String) {
    let user = plain_at(bench, 0);
    (user.id, user.email)
}

fn leaver(user: &str) -> DeprovisionUser {
    DeprovisionUser { user: user.into(), reason: Some("leaves on Friday".into()) }
}

/// Asks to delete a user; a question comes.
async fn ask(bench: &Bench, user: &str) -> OperationId {
    let begun = bench.lifecycle.deprovision(local(), leaver(user)).await.unwrap();
    assert!(begun.question.is_some());
    begun.operation
}

fn yes(text: &str) -> Answer {
    Answer::Accepted(text.into())
}

/// Answers a question and waits as long as a call does.
async fn answer(bench: &Bench, id: &OperationId, answer: Answer) -> Result<Report, Failure> {
    bench.lifecycle.answer(local(), id.clone(), answer).await?;
    bench.lifecycle.wait(id, INTERACTIVE).await
}

/// Asks to delete a user and answers.
async fn answered(bench: &Bench, user: &str, with: Answer) -> Report {
    let id = ask(bench, user).await;
    answer(bench, &id, with).await.unwrap()
}

/// Deletes a user with the person's consent.
async fn deleted(bench: &Bench, email: &str) -> Report {
    answered(bench, email, yes(email)).await
}

/// A user who is not there yet.
fn newcomer(email: &str) -> ProvisionUser {
    ProvisionUser {
        name: "Nora Newcomer".into(),
        email: email.into(),
        department: Some("Finance".into()),
        groups: vec!["Engineering".into(), "Sales".into()],
        comments: None,
        dry_run: false,
    }
}

/// Asks for a user and waits as long as a call does.
async fn provisioned(bench: &Bench, request: ProvisionUser) -> Result<Report, Failure> {
    let begun = bench.lifecycle.provision(local(), request).await?;
    bench.lifecycle.wait(&begun.operation, INTERACTIVE).await
}

fn query(text: &str) -> FindUser {
    let query = text.into();
    FindUser { query, department: None, group: None, limit: 20, cursor: None, fresh: false }
}

async fn found(bench: &Bench, text: &str) -> FoundUsers {
    bench.lifecycle.find_user(query(text)).await.unwrap()
}

fn ids(found: &FoundUsers) -> Vec<u64> {
    found.users.iter().map(|u| u64::try_from(u.id.get()).unwrap()).collect()
}

/// Waits until something holds, or fails.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}
