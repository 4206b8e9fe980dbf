//! An operation as the console shows it: from the record alone, never from a model's words (T7).

use jiff::Timestamp;

use super::{
    Policy, Records,
    begin::no_such_operation,
    bulk,
    decide::is_undecided,
    details::Details,
    failure::Failure,
    history::Happening,
    policy::Tier,
    report::{Outcome, Subject},
    statement::{NOT_BACK, OTHERS_WAIT, PUBLISHED, UNDONE, WHOLE_TENANT, look_alikes, told},
    status::{OperationLine, line},
};
use crate::{
    model::{Action, Channel, Named, Operation, OperationId, State, User, shown, visible},
    store::Which,
};

/// The most operations of a list that is not paged.
const LISTED: u32 = 200;

/// An operation, whole.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Its id.
    pub id: OperationId,
    /// What it does, as a question while it waits.
    pub title: String,
    /// Where it stands.
    pub outcome: Outcome,
    /// Until when it waits for a decision, if it does.
    pub waits_until: Option<Timestamp>,
    /// The number to be typed, where several users are deleted.
    pub count: Option<usize>,
    /// What cannot be undone, and what else to know before deciding.
    pub cautions: Vec<String>,
    /// The caller's reason, with what hides or moves text escaped; untrusted.
    pub reason: Option<String>,
    /// The user, or each of them.
    pub users: Vec<UserSeen>,
    /// Field by field, of an update.
    pub changes: Vec<String>,
    /// The circumstances: name and value.
    pub facts: Vec<(&'static str, String)>,
    /// What the record notes.
    pub notes: Vec<String>,
    /// A first password may wait to be handed to a person.
    pub has_password: bool,
    /// What happened so far.
    pub history: Vec<Happening>,
}

/// A user of an operation, made safe to show.
#[derive(Clone, Debug)]
pub struct UserSeen {
    /// ZIA's id; none for one who is not created yet, or was not found.
    pub id: Option<String>,
    /// Display name.
    pub name: String,
    /// Login address.
    pub email: String,
    /// Department.
    pub department: String,
    /// Groups.
    pub groups: String,
    /// What is unusual.
    pub flags: Vec<String>,
    /// What became of this one of several.
    pub fate: Option<Outcome>,
}

/// A page of operations, newest first.
#[derive(Clone, Debug)]
pub struct OperationPage {
    /// The operations.
    pub lines: Vec<OperationLine>,
    /// The last one shown, if there are older ones.
    pub next: Option<OperationId>,
}

impl Records {
    /// An operation as a signed-in viewer sees it, whatever its state and whoever asked.
    ///
    /// # Errors
    /// `NOT_FOUND`, or `STORE_UNAVAILABLE`.
    pub async fn sight(&self, id: &OperationId, policy: &Policy) -> Result<Sight, Failure> {
        let operation = self.store.operation(id).await?.ok_or_else(no_such_operation)?;
        let details = Details::of(&operation);
        let now = self.clock.now();
        let line = line(&operation, now, super::records::has_living_owner(&self.store, &operation));
        let waits = is_undecided(&operation, &details, now);
        let users = users(&operation, &details, line.outcome);
        Ok(Sight {
            id: operation.id.clone(),
            title: title(&operation, &users, waits),
            outcome: line.outcome,
            waits_until: waits.then_some(operation.expires_at),
            count: (operation.action == Action::DeprovisionUsers).then_some(to_delete(&details)),
            cautions: if waits { cautions(&operation, &details, &users) } else { Vec::new() },
            reason: details.reason.as_deref().map(|r| visible(r).unwrap_or_else(|| r.to_owned())),
            changes: details.changes.iter().flatten().flat_map(told).collect(),
            facts: facts(&operation, &details, policy, waits),
            notes: details.notes.clone(),
            has_password: details.initial_password.is_some_and(|p| p.delivery == "handoff"),
            history: self.history(&operation).await?,
            users,
        })
    }

    /// What waits for a person, newest first.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn undecided_operations(&self) -> Result<Vec<OperationLine>, Failure> {
        let open = self.store.operations(None, Which::Open, LISTED).await?;
        let now = self.clock.now();
        let waits = |o: &&Operation| is_undecided(o, &Details::of(o), now);
        Ok(open.iter().filter(waits).map(|o| line(o, now, false)).collect())
    }

    /// What is applied and not live, newest first.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn unactivated_operations(&self) -> Result<Vec<OperationLine>, Failure> {
        let all = self.store.operations(None, Which::Unactivated, LISTED).await?;
        Ok(all.iter().map(|o| line(o, self.clock.now(), false)).collect())
    }

    /// A page of all operations, newest first; those older than `before`, if it is given.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn operation_page(
        &self,
        before: Option<&OperationId>,
        limit: u32,
    ) -> Result<OperationPage, Failure> {
        let mut found = self.store.operations_before(before, limit.saturating_add(1)).await?;
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let next = if more { found.last().map(|o| o.id.clone()) } else { None };
        let running = |o: &Operation| super::records::has_living_owner(&self.store, o);
        let lines = found.iter().map(|o| line(o, self.clock.now(), running(o))).collect();
        Ok(OperationPage { lines, next })
    }
}

/// A time as a person reads it.
pub fn moment(at: Timestamp) -> String {
    at.strftime("%-d %b %Y, %H:%M:%S UTC").to_string()
}

/// How many users an operation on several deletes.
pub(crate) fn to_delete(details: &Details) -> usize {
    details.asked.iter().filter(|a| a.state == State::Approved).count()
}

fn title(operation: &Operation, users: &[UserSeen], waits: bool) -> String {
    let cloud = shown(&operation.tenant);
    if waits {
        let mut lines = super::statement::statement(operation, &operation.tenant).lines.into_iter();
        return lines.next().unwrap_or(cloud);
    }
    let who = match users {
        [one] => one.email.clone(),
        _ => format!("{} users", users.len()),
    };
    match operation.action {
        Action::ProvisionUser => format!("Create {who}"),
        Action::UpdateUser => format!("Change {who}"),
        Action::DeprovisionUser | Action::DeprovisionUsers => format!("Delete {who}"),
        Action::RestoreUser => format!("Restore {who}"),
        Action::Activate => format!("Publish staged changes of {cloud}"),
    }
}

fn cautions(operation: &Operation, details: &Details, users: &[UserSeen]) -> Vec<String> {
    let mut cautions = Vec::new();
    if operation.action.deletes() {
        cautions.push(UNDONE.into());
        cautions.push(NOT_BACK.into());
    }
    if operation.action == Action::Activate {
        cautions.extend([WHOLE_TENANT.into(), OTHERS_WAIT.into()]);
    } else {
        cautions.push(PUBLISHED.into());
    }
    // In a long list a mark is easily overlooked.
    let marked: Vec<_> = users.iter().filter(|u| !u.flags.is_empty()).map(|u| u.email.as_str()).collect();
    if let [_, _, ..] = users
        && !marked.is_empty()
    {
        cautions.push(format!("Look at who is marked in the list: {}.", marked.join(", ")));
    }
    let left = details.asked.len() - to_delete(details);
    cautions.extend((left > 0).then(|| format!("{left} more were named and will not be touched.")));
    cautions
}

fn facts(
    operation: &Operation,
    details: &Details,
    policy: &Policy,
    waits: bool,
) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Tenant", shown(&operation.tenant)),
        ("Asked by", shown(&operation.actor.caller)),
        ("Through", format!("{} (as it calls itself)", shown(&operation.actor.client))),
        ("Asked at", moment(operation.created_at)),
    ];
    if let Some(capture) = &details.capture {
        facts.push(("Read from ZIA", format!("{}, before-image {}", moment(capture.taken_at), capture.id)));
    } else if details.asked.iter().any(|a| a.capture.is_some()) {
        facts.push(("Read from ZIA", format!("{}, a before-image of each", moment(operation.created_at))));
    }
    if let Some(plan) = details.plan.as_ref().filter(|_| waits) {
        facts.push(("Plan", plan.clone()));
    }
    if let Some(first) = details.first_approval.as_ref().filter(|_| waits) {
        facts.push(("Approved already", format!("by {}; one more person has to", shown(&first.by))));
    }
    if waits {
        let tier = policy.proof_of(operation, details);
        facts.push(("Needs", needs(tier, operation.actor.channel).into()));
    }
    if let Some(given) = &details.approval {
        facts.push(("Approved by", format!("{}, {}", shown(&given.by), moment(given.at))));
    }
    facts
}

fn needs(tier: Tier, channel: Channel) -> &'static str {
    match (tier, channel) {
        (Tier::TwoPeople, _) => "two different approvers",
        (Tier::Client, Channel::Stdio) => "an approver, or the person at the client",
        _ => "an approver",
    }
}

fn users(operation: &Operation, details: &Details, whole: Outcome) -> Vec<UserSeen> {
    if !details.asked.is_empty() {
        let ended = operation.state != State::Awaiting;
        let fates = bulk::items(details, whole);
        let seen = details.asked.iter().zip(fates);
        let kept = seen.filter(|(asked, _)| ended || asked.state == State::Approved);
        return kept
            .map(|(asked, item)| {
                let mut seen = asked.user.as_ref().map_or_else(|| unfound(&asked.asked), known);
                seen.fate = ended.then(|| item.outcome.unwrap_or(Outcome::Failed));
                seen
            })
            .collect();
    }
    match &details.user {
        Some(Subject::User(user)) => vec![known(user)],
        Some(Subject::Draft(draft)) => {
            let flags = look_alikes(&draft.name, &draft.email);
            vec![seen(None, &draft.name, &draft.email, draft.department.as_ref(), &draft.groups, flags)]
        }
        None => Vec::new(),
    }
}

fn known(user: &User) -> UserSeen {
    let id = Some(user.id.to_string());
    seen(id, &user.name, &user.email, user.department.as_ref(), &user.groups, flags(user))
}

fn unfound(asked: &str) -> UserSeen {
    seen(None, "", asked, None, &[], Vec::new())
}

fn seen(
    id: Option<String>,
    name: &str,
    email: &str,
    department: Option<&Named>,
    groups: &[Named],
    flags: Vec<String>,
) -> UserSeen {
    let groups: Vec<_> = groups.iter().map(|g| shown(&g.name)).collect();
    UserSeen {
        id,
        name: shown(name),
        email: shown(email),
        department: department.map_or("none".into(), |d| shown(&d.name)),
        groups: if groups.is_empty() { "none".into() } else { groups.join(", ") },
        flags,
        fate: None,
    }
}

/// What is unusual about a user.
pub(crate) fn flags(user: &User) -> Vec<String> {
    let mut flags = look_alikes(&user.name, &user.email);
    flags.extend(user.admin_user.then(|| "linked to an administrator".into()));
    flags.extend((!user.editable).then(|| "not editable: it looks synchronised from a directory".into()));
    flags.extend(user.disabled.then(|| "disabled".into()));
    flags
}
