//! Whether those who asked and approved still may, looked at a last time before the send.
//!
//! Rules and approvers may have changed since: a right that was taken away in between is gone
//! (guardrails T22, T37), and a server never takes another process's word for its own rules.

use crate::{
    lifecycle::{
        Lifecycle,
        authority::REFUSED,
        details::Details,
        enrolled::standing,
        failure::{Code, Failure},
        policy::{Place, Policy, Tier},
        report::{Approval, Subject},
    },
    model::{Action, Operation, State, User},
};

/// How the audit trail calls an end by [`Lifecycle::check_standing`]; a store that did not answer refuses nobody.
pub(crate) fn refusal_event(failure: &Failure, otherwise: &'static str) -> &'static str {
    if matches!(failure.code, Code::Forbidden | Code::Protected) { REFUSED } else { otherwise }
}

impl Lifecycle {
    /// Refuses an operation that the rules as they are now, or its approvers, no longer carry.
    ///
    /// # Errors
    /// `FORBIDDEN` or `PROTECTED`, with what stands in the way; `STORE_UNAVAILABLE`.
    pub(crate) async fn check_standing(
        &self,
        operation: &Operation,
        details: &Details,
    ) -> Result<(), Failure> {
        self.check_authority(operation)?;
        self.check_rules(operation, details)?;
        let approvals = details.approvals();
        // An activation is approved only where it publishes others' changes.
        if approvals.is_empty() && operation.action == Action::Activate && !details.foreign {
            return Ok(());
        }
        let policy = &self.settings.policy;
        check_people(policy, operation, details, &approvals)?;
        let withdrawn = |a: &Approval| self.settings.authority.revoked.contains(&a.by);
        if approvals.iter().any(withdrawn) {
            return Err(revoked());
        }
        let standing = standing(&self.store, approvals.clone()).await?;
        if standing.len() == approvals.len() { Ok(()) } else { Err(revoked()) }
    }

    fn check_rules(&self, operation: &Operation, details: &Details) -> Result<(), Failure> {
        let (policy, actor) = (&self.settings.policy, &operation.actor);
        policy.check_tool(actor, operation.action)?;
        let touch = |user: &User| policy.check_user(actor, user, None, self.zia.own_login());
        match (&details.user, &details.replacement) {
            (Some(Subject::Draft(draft)), _) => {
                policy.check_address(&draft.email, self.zia.own_login())?;
                policy.check_place(actor, &Place::of_new(draft.department.as_ref(), &draft.groups))
            }
            (Some(Subject::User(user)), Some(to)) => {
                touch(user)?;
                policy.check_place(actor, &Place::of_change(user, to.department.as_ref(), &to.groups))
            }
            (Some(Subject::User(user)), None) => touch(user),
            (None, _) => {
                let due = details.asked.iter().filter(|a| a.state == State::Approved);
                due.filter_map(|a| a.user.as_ref()).try_for_each(touch)
            }
        }
    }
}

/// Refuses what fewer people approved, or others, than the rules ask for.
fn check_people(
    policy: &Policy,
    operation: &Operation,
    details: &Details,
    approvals: &[Approval],
) -> Result<(), Failure> {
    let tier = policy.proof_of(operation, details);
    let out_of_band: Vec<_> = approvals.iter().filter(|a| a.channel != "client").collect();
    let asker = |a: &&Approval| policy.is_same_person(&a.by, &operation.actor.caller);
    let twice = matches!(out_of_band.as_slice(), [a, b] if policy.is_same_person(&a.by, &b.by));
    let enough = match tier {
        Tier::None => true,
        Tier::Client => !approvals.is_empty(),
        Tier::OutOfBand => !out_of_band.is_empty(),
        Tier::TwoPeople => out_of_band.len() >= 2,
    };
    if enough && !twice && !out_of_band.iter().copied().any(|a| asker(&a)) {
        return Ok(());
    }
    let message = "the server's rules ask for another approval than was given; nothing was sent";
    Err(Failure::new(Code::Forbidden, message, "ask again, and have those decide whom the rules ask for"))
}

fn revoked() -> Failure {
    let message = "who approved is no approver any more; nothing was sent";
    Failure::new(Code::Forbidden, message, "ask again, and have another approver decide")
}
