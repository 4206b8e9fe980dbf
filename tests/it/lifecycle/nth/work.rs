//! What is asked of the server while its store fails.

use std::time::Duration;

use zia_mcp::{
    lifecycle::{
        Begun, Decision, DeprovisionUsers, Failure, INTERACTIVE, Lifecycle, Outcome, Report, RestoreUser,
    },
    model::OperationId,
    sandbox::{Endpoint, SandboxUser},
};

use super::{Answer, plot::Planned};
use crate::{
    lifecycle::{
        deleted, leaver, newcomer, plain_at,
        update::{renamed, somebody},
        yes,
    },
    support::{Bench, local},
};

const NORA: &str = "nora.new@example.com";
const NAME: &str = "Another Name";

/// A tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    Provision,
    Update,
    Deprovision,
    Several,
    Restore,
    Activate,
}

/// A tool and whom it is asked about.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) tool: Tool,
    user: SandboxUser,
    several: Vec<SandboxUser>,
}

impl Work {
    /// Brings the tenant and the store to where the work begins.
    pub(super) async fn prepare(tool: Tool, bench: &Bench) -> Self {
        let user = somebody(bench);
        match tool {
            Tool::Restore => drop(deleted(bench, &user.email).await),
            Tool::Activate => bench.tenant.other_admin().stage_foreign_change(),
            Tool::Several => bench.enrolled(&["Olga"]).await,
            _ => {}
        }
        bench.tenant.clear_journal();
        let several = (0..3).map(|at| plain_at(bench, at)).collect();
        Self { tool, user, several }
    }

    /// Asks as a client does, answers what is asked back, and waits for the end.
    pub(super) async fn ask(&self, lifecycle: &Lifecycle) -> Answer {
        let id = self.asked(lifecycle).await?;
        lifecycle.wait(&id, INTERACTIVE).await
    }

    /// The same, of a server that ends half a second after its trouble came about.
    pub(super) async fn ask_until_struck(&self, lifecycle: &Lifecycle, planned: &Planned) -> Answer {
        let id = self.asked(lifecycle).await?;
        loop {
            let struck = planned.struck();
            let report = lifecycle.wait(&id, Duration::from_millis(500)).await?;
            // What cannot be told in half a second goes on: nothing has befallen it yet.
            if struck || report.outcome == Outcome::Done {
                return Ok(report);
            }
        }
    }

    /// The operation, asked for and approved.
    async fn asked(&self, lifecycle: &Lifecycle) -> Result<OperationId, Failure> {
        let begun = self.begin(lifecycle).await?;
        let id = begun.operation;
        if begun.question.is_some() {
            let word = if self.tool == Tool::Activate { "activate" } else { &self.user.email };
            lifecycle.answer(local(), id.clone(), yes(word)).await?;
        } else if self.tool == Tool::Several
            && lifecycle.report(&id).await?.outcome == Outcome::AwaitingApproval
        {
            let (by, channel) = ("Olga".into(), "code".into());
            lifecycle.decide(&id, Decision { approve: true, by, subject: None, channel }).await?;
        }
        Ok(id)
    }

    async fn begin(&self, lifecycle: &Lifecycle) -> Result<Begun, Failure> {
        let email = &self.user.email;
        match self.tool {
            Tool::Provision => lifecycle.provision(local(), newcomer(NORA)).await,
            Tool::Update => lifecycle.update(local(), renamed(email, NAME)).await,
            Tool::Deprovision => lifecycle.deprovision(local(), leaver(email)).await,
            Tool::Several => {
                let users = self.several.iter().map(|u| u.email.clone()).collect();
                lifecycle.deprovision_users(local(), DeprovisionUsers { users, reason: None }).await
            }
            Tool::Restore => lifecycle.restore(local(), RestoreUser { capture: email.clone() }).await,
            Tool::Activate => lifecycle.activate(local()).await,
        }
    }

    /// The call of ZIA that the tool is for.
    pub(super) fn endpoint(&self) -> Endpoint {
        match self.tool {
            Tool::Provision | Tool::Restore => Endpoint::CreateUser,
            Tool::Update => Endpoint::ReplaceUser,
            Tool::Deprovision => Endpoint::DeleteUser,
            Tool::Several => Endpoint::BulkDelete,
            Tool::Activate => Endpoint::Activate,
        }
    }

    /// Whether what is wanted is live in the tenant.
    pub(super) fn is_live(&self, bench: &Bench) -> bool {
        let tenant = &bench.tenant;
        let there = |email: &str| tenant.live_users().into_iter().find(|u| u.email == email);
        match self.tool {
            Tool::Provision => there(NORA).is_some(),
            Tool::Update => tenant.live_user(self.user.id).is_some_and(|u| u.name == NAME),
            Tool::Deprovision => tenant.live_user(self.user.id).is_none(),
            Tool::Several => self.several.iter().all(|u| tenant.live_user(u.id).is_none()),
            Tool::Restore => there(&self.user.email).is_some_and(|u| u.name == self.user.name),
            Tool::Activate => tenant.staged_changes().is_empty(),
        }
    }

    /// Whether asking once more found all as wanted.
    pub(super) fn is_done_by_now(report: &Report) -> bool {
        matches!(report.outcome, Outcome::Done | Outcome::AlreadyDone)
    }
}
