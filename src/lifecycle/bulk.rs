//! Deleting several users: all resolved, protected, captured, then decided by a person as one.

mod asked;
mod find;
mod gathered;
mod plan;

use std::sync::atomic::Ordering;

use jiff::SignedDuration;
use serde_json::json;

use super::{
    Lifecycle,
    audit::entry,
    begin::Begun,
    deprovision::check_reason,
    details::Details,
    failure::{Code, Failure},
    policy::Tier,
    subject::name_of,
};
use crate::{
    model::{Action, Actor, Digest, Operation, OperationId, State, UserRef},
    store::NewCapture,
    telemetry::spans,
    zia::MAX_BULK,
};

pub(crate) use asked::{Asked, counts, items, outcome};
use find::Target;
pub(crate) use gathered::Gathered;

/// The time over which deletes are counted against the cap.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Several users to be deleted.
#[derive(Clone, Debug)]
pub struct DeprovisionUsers {
    /// Exact addresses or ids, 1 to 500.
    pub users: Vec<String>,
    /// Why; shown to the person who approves, as untrusted text.
    pub reason: Option<String>,
}

impl Lifecycle {
    /// Begins to delete several users: nothing is sent before a person has approved.
    ///
    /// # Errors
    /// Bad arguments, a user named twice, a protected user, an operation already open on a user, the
    /// day's cap, or what ZIA or the store answered. Then nothing was captured.
    pub async fn deprovision_users(&self, actor: Actor, request: DeprovisionUsers) -> Result<Begun, Failure> {
        let this = self.clone();
        self.detached(async move { this.deprovision_users_now(&actor, &request).await }).await
    }

    async fn deprovision_users_now(
        &self,
        actor: &Actor,
        request: &DeprovisionUsers,
    ) -> Result<Begun, Failure> {
        let (until, policy) = (self.interactive(), &self.settings.policy);
        policy.check_tool(actor, Action::DeprovisionUsers)?;
        let refs = read(&request.users, policy.max_users_per_operation)?;
        check_reason(request.reason.as_deref())?;
        let arguments = digest(&refs, request.reason.as_deref());
        let _one = self.shared.beginning.lock("deprovision several".into()).await;
        if let Some(open) = self.joinable(actor, Action::DeprovisionUsers, &arguments).await?
            && !self.discarded_draft(&open).await?
        {
            return Ok(self.asking(actor, &open));
        }
        self.check_open(actor).await?;
        let (mut asked, targets, by_list) = Box::pin(self.find_all(&request.users, &refs, until)).await?;
        if let Err(failure) = self.check_all(actor, &request.users, &targets).await {
            let open = self.or_joined(actor, Action::DeprovisionUsers, &arguments, Err(failure)).await?;
            return Ok(self.asking(actor, &open));
        }
        if targets.is_empty() {
            return self.nothing_to_delete(actor, arguments, asked).await;
        }
        for target in &targets {
            if let Some(one) = asked.get_mut(target.position) {
                one.user = Some(target.seen.user.clone());
                one.object = Some(target.object.to_string());
            }
        }
        let mut details = Details { asked, by_list, reason: request.reason.clone(), ..Details::default() };
        details.note(
            "ZIA cannot undo a delete: the ids, the passwords and what referred to the ids do not come back",
        );
        let plan = self.plan_of(targets.len(), by_list).await;
        details.note(format!("plan: {plan}"));
        details.plan = Some(plan);
        if policy.needs_two_people(targets.len(), actor.channel) {
            details.least = Tier::TwoPeople;
        }
        self.first_state(Action::DeprovisionUsers, actor, &mut details);
        let _drafting = self.drafting();
        let captured = match self.draft_several(actor, arguments, &targets, &details).await {
            Ok(drafted) => self.capture_all(drafted, details, &targets).await,
            Err(failure) => Err(failure),
        };
        let operation = self.or_joined(actor, Action::DeprovisionUsers, &arguments, captured).await?;
        Ok(self.asking(actor, &operation))
    }

    /// How far an operation on several users has come, in words.
    pub async fn progress(&self, id: &OperationId) -> Option<String> {
        let operation = self.store.operation(id).await.ok()??;
        let asked = Details::of(&operation).asked;
        let open = |a: &&Asked| matches!(a.state, State::Approved | State::Sending | State::Unknown);
        let left = asked.iter().filter(open).count();
        (!asked.is_empty()).then(|| format!("{} of {} users settled", asked.len() - left, asked.len()))
    }

    /// Refuses the whole call where one of its users must not be touched (guardrails T24).
    async fn check_all(&self, actor: &Actor, asked: &[String], targets: &[Target]) -> Result<(), Failure> {
        let name = |t: &Target| asked.get(t.position).map_or("", String::as_str);
        for target in targets {
            let checked = self.check_both(actor, &target.seen, target.by_id.as_ref());
            checked.map_err(|f| {
                let message = format!("`{}`: {}", crate::model::shown(name(target)), f.message);
                Failure { message, ..f }.at("users")
            })?;
        }
        for target in targets {
            self.refuse_if_rejected(Some(target.seen.user.id), &target.seen.user.email).await?;
            self.refuse_a_second_operation(actor, &target.seen.user).await?;
        }
        self.check_daily_cap(targets.len()).await
    }

    /// Refuses deletes above the day's cap (guardrails T24).
    pub(crate) async fn check_daily_cap(&self, more: usize) -> Result<(), Failure> {
        let most = self.settings.policy.max_deletes_per_day;
        let since = self.clock.now().saturating_sub(DAY).unwrap_or(jiff::Timestamp::MIN);
        let deleted = self.store.deletes_since(self.tenant(), since).await?;
        let asked = u32::try_from(more).unwrap_or(u32::MAX);
        if deleted.saturating_add(asked) <= most {
            return Ok(());
        }
        let message =
            format!("{most} users may be deleted in 24 hours, {deleted} were, and {more} more are asked for");
        Err(Failure::new(
            Code::LimitExceeded,
            message,
            "ask for fewer, or raise [policy] max_deletes_per_day",
        ))
    }

    async fn nothing_to_delete(
        &self,
        actor: &Actor,
        arguments: Digest,
        asked: Vec<Asked>,
    ) -> Result<Begun, Failure> {
        let all_gone = asked.iter().all(|a| a.state == State::AlreadyDone);
        let state = if all_gone { State::AlreadyDone } else { State::Failed };
        let mut details = Details { asked, ..Details::default() };
        details.note("none of these users is there to be deleted; nothing was sent");
        let ended = self.create(actor, Action::DeprovisionUsers, state, arguments, None, &details).await?;
        Ok(Begun::plain(&ended))
    }

    async fn draft_several(
        &self,
        actor: &Actor,
        arguments: Digest,
        targets: &[Target],
        details: &Details,
    ) -> Result<Operation, Failure> {
        let users = targets.iter().map(|t| (t.seen.user.id, t.seen.user.email.clone())).collect();
        self.create_about(actor, Action::DeprovisionUsers, State::Awaiting, arguments, users, details).await
    }

    async fn capture_all(
        &self,
        drafted: Operation,
        mut details: Details,
        targets: &[Target],
    ) -> Result<Operation, Failure> {
        let span = spans::step("capture", drafted.action.as_str(), drafted.id.as_str());
        for target in targets {
            let user = &target.seen.user;
            let new = NewCapture {
                tenant: self.tenant(),
                operation: drafted.id.clone(),
                user_id: user.id,
                email: &user.email,
                raw: &target.before_image(),
            };
            let audit = entry("capture.taken", [("user_id", user.id.get().into())]);
            match span.around(self.store.capture(new, audit)).await {
                Ok(info) => {
                    if let Some(one) = details.asked.get_mut(target.position) {
                        one.capture = Some(info.id);
                    }
                }
                Err(error) => {
                    let failure = Failure::from(error).of(&drafted.id);
                    details.failure = Some(failure.clone());
                    self.step(&drafted, State::Failed, &details, "operation.failed").await?;
                    return Err(failure);
                }
            }
        }
        self.step(&drafted, State::Awaiting, &details, "operation.captured").await
    }

    /// Whether a living process is about to capture what it drafted.
    fn is_being_drafted(&self, draft: &Operation) -> bool {
        match &draft.owner {
            Some(_) if self.is_own(draft) => self.shared.drafting.load(Ordering::SeqCst) > 0,
            Some(owner) => self.store.is_present(owner),
            None => false,
        }
    }

    /// Whether an open operation was never captured, since its server stopped; it is ended then (K2).
    pub(crate) async fn discarded_draft(&self, open: &Operation) -> Result<bool, Failure> {
        let mut details = Details::of(open);
        if open.state != State::Awaiting || is_ready(open, &details) {
            return Ok(false);
        }
        if self.is_being_drafted(open) {
            return Ok(false);
        }
        details.note("the server stopped before the user was captured; nothing was sent");
        self.step(open, State::Failed, &details, "operation.failed").await?;
        Ok(true)
    }
}

/// Whether a person can be asked: everyone who is to be deleted was captured.
pub(super) fn is_ready(operation: &Operation, details: &Details) -> bool {
    !operation.action.deletes() || is_captured(details)
}

/// Whether the user, or each of several, was captured.
fn is_captured(details: &Details) -> bool {
    let several = details.asked.iter().filter(|a| a.state == State::Approved);
    details.capture.is_some() || (several.clone().count() > 0 && several.clone().all(|a| a.capture.is_some()))
}

/// The users that a call names: 1 to the most that are allowed, each once.
fn read(users: &[String], most: u32) -> Result<Vec<UserRef>, Failure> {
    let most = usize::try_from(most).unwrap_or(MAX_BULK).min(MAX_BULK);
    if users.is_empty() {
        return Err(Failure::argument("users", "name at least 1 user"));
    }
    if users.len() > most {
        let message = format!("at most {most} users at a time, {} were named; nothing was cut", users.len());
        return Err(Failure::new(Code::LimitExceeded, message, "ask for fewer at a time").at("users"));
    }
    let mut refs: Vec<UserRef> = Vec::with_capacity(users.len());
    for (at, text) in users.iter().enumerate() {
        let wrong = |e: crate::model::UserRefError| {
            Failure::argument(
                "users",
                format!("user {} of the list: {e}; list users first and pass ids", at + 1),
            )
        };
        refs.push(text.trim().parse().map_err(wrong)?);
    }
    for (at, one) in refs.iter().enumerate() {
        let same = |other: &UserRef| name_of(other) == name_of(one);
        if let Some(before) = refs.iter().take(at).position(same) {
            return Err(twice(users, before, at));
        }
    }
    Ok(refs)
}

/// One user who is named twice, however.
fn twice(users: &[String], a: usize, b: usize) -> Failure {
    let name = |at: usize| users.get(at).map(|u| crate::model::shown(u)).unwrap_or_default();
    Failure::argument("users", format!("`{}` and `{}` are the same user; name each once", name(a), name(b)))
}

/// The same request, whatever the order of its users.
fn digest(refs: &[UserRef], reason: Option<&str>) -> Digest {
    let mut names: Vec<_> = refs.iter().map(name_of).collect();
    names.sort_unstable();
    Digest::of_json(&json!({"users": names, "reason": reason}))
}

/// What of each user an approval covers: who, and the digest of what was seen.
pub(crate) fn approved_users(details: &Details) -> Vec<(Option<i64>, Option<String>)> {
    details.asked.iter().map(|a| (a.user.as_ref().map(|u| u.id.get()), a.object.clone())).collect()
}
