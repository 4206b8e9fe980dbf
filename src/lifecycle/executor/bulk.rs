//! Deleting several users with one call, and finding out what became of each.

use std::collections::{HashMap, HashSet};

use super::{PATIENCE, READING, refusal_event, span_of, staged, told, wording};
use crate::{
    lifecycle::{
        Lifecycle,
        audit::entry,
        details::Details,
        failure::{Code, Failure},
        reconcile::{Journal, Seen, Verdict, Wish, conclude},
    },
    model::{Operation, State, UserId},
    store::{Permit, SendOutcome, Settled},
    zia::{self, Deadline, Kind, Landed, MAX_BULK},
};

/// How the audit trail calls users who need nothing more.
const SETTLED: &str = "users.settled";

/// What reading shows of users who are to be deleted; a user left out could not be read.
type Sights = HashMap<UserId, Seen>;

impl Lifecycle {
    /// Carries an operation on several users a step on, from its record alone.
    pub(super) async fn bulk_step(&self, operation: Operation) -> Result<Option<Operation>, Failure> {
        let details = Details::of(&operation);
        let span = |name| span_of(name, &operation);
        if !in_state(&details, &[State::Sending, State::Unknown]).is_empty() {
            return told(span("verify"), self.settle_bulk(operation, details)).await;
        }
        let waiting = in_state(&details, &[State::Approved]);
        if waiting.is_empty() {
            return self.conclude_bulk(&operation, details).await.map(Some);
        }
        let chunk = waiting.into_iter().take(MAX_BULK).collect();
        told(span("send"), self.send_bulk(operation, details, chunk)).await
    }

    /// Ends an operation whose users all have their outcome.
    async fn conclude_bulk(&self, operation: &Operation, mut details: Details) -> Result<Operation, Failure> {
        let any = |state: State| details.asked.iter().any(|a| a.state == state);
        if any(State::Verified) {
            details.activation = Some(staged());
            return self.verified(operation, &details, "absent_after_send").await;
        }
        let all = |state: State| details.asked.iter().all(|a| a.state == state);
        let to = match operation.state {
            State::Approved if all(State::AlreadyDone) => State::AlreadyDone,
            State::Approved if all(State::Changed) => State::Changed,
            State::Approved if all(State::Expired) => State::Expired,
            _ => State::Failed,
        };
        self.step(operation, to, &details, "operation.ended").await
    }

    async fn send_bulk(
        &self,
        mut operation: Operation,
        mut details: Details,
        chunk: Vec<UserId>,
    ) -> Result<Option<Operation>, Failure> {
        let turn = loop {
            let turn = self.shared.writing.lock().await;
            if self.has_turn(&operation, &details).await {
                break (self.shared.activator.gate.read().await, turn);
            }
            drop(turn);
            operation = self.await_turn(operation, &mut details).await?;
        };
        if !self.in_time(&operation, &details) {
            let failure = Failure::new(Code::Conflict, wording::TOO_LATE, "ask again");
            set(&mut details, &chunk, State::Failed, Some(&failure));
            return self.note_bulk(&operation, details, &chunk).await.map(Some);
        }
        if let Err(failure) = self.check_approval(&operation, &details).await {
            return self.fail_bulk(&operation, details, &chunk, &failure).await.map(Some);
        }
        let (sights, limited) = self.sights(&details, &chunk).await;
        if limited.is_some_and(|error| self.waits_for_turn(&operation, &details, &error)) {
            return Ok(Some(operation));
        }
        let chunk = sort_out(&mut details, &chunk, &sights);
        let Some(chunk) = chunk else {
            let unread = Failure::new(Code::Upstream, "ZIA did not answer who is still there", "ask again");
            let chunk = in_state(&details, &[State::Approved]);
            return self.fail_unsent(&operation, details, (&chunk, 0), &unread).await.map(Some);
        };
        // Only now: an earlier send may have deleted some of them, which was just read.
        if let Err(failure) = self.check_standing(&operation, &details).await {
            let mut all: Vec<_> = sights.keys().copied().collect();
            all.extend(chunk.iter().filter(|user| !sights.contains_key(user)));
            set(&mut details, &chunk, State::Failed, Some(&failure));
            return self
                .note_bulk_as(&operation, details, &all, refusal_event(&failure, SETTLED))
                .await
                .map(Some);
        }
        if chunk.is_empty() {
            let all: Vec<_> = sights.keys().copied().collect();
            return self.note_bulk(&operation, details, &all).await.map(Some);
        }
        if let Err(failure) = self.before_write(&mut details).await {
            return self.fail_bulk(&operation, details, &chunk, &failure).await.map(Some);
        }
        set(&mut details, &chunk, State::Sending, None);
        let audit = entry("send.intended", []);
        let begun = self.store.begin_bulk_send(&operation, &chunk, details.to_value(), audit).await;
        let (sent, permit) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                return self.fail_bulk(&operation, details, &chunk, &Failure::from(error)).await.map(Some);
            }
        };
        self.changed(&sent.id);
        let answer = self.zia.delete_users(&permit, Deadline::after(PATIENCE)).await;
        drop(turn);
        self.bulk_answered(&sent, details, permit, &chunk, answer).await.map(Some)
    }

    /// Records what ZIA answered; every user is read afterwards, whatever that was.
    async fn bulk_answered(
        &self,
        sent: &Operation,
        mut details: Details,
        permit: Permit,
        chunk: &[UserId],
        answer: Result<Option<Vec<UserId>>, zia::Error>,
    ) -> Result<Operation, Failure> {
        let code = answer.as_ref().err().and_then(|e| e.code.clone());
        let refused = matches!(&answer, Err(e) if e.landed == Landed::No);
        let named: HashSet<UserId> =
            answer.as_ref().ok().and_then(|ids| ids.clone()).unwrap_or_default().into_iter().collect();
        let outcome = |user: &UserId| match &answer {
            Ok(_) if named.contains(user) => SendOutcome::Done,
            // Neither success without names nor a name left out proves anything of a user.
            Ok(_) => SendOutcome::Unknown,
            Err(error) if refused => outcome_of(error),
            Err(_) => SendOutcome::Unknown,
        };
        let outcomes: Vec<_> = chunk.iter().map(|user| (*user, outcome(user))).collect();
        let audit = entry("send.ended", [("write", "delete_users".into())]);
        self.store.end_bulk_send(sent, &outcomes, code.as_deref(), audit).await?;
        drop(permit);
        match answer {
            Err(error) if refused && self.waits_for_turn(sent, &details, &error) => {
                set(&mut details, chunk, State::Approved, None);
                self.note_bulk(sent, details, chunk).await
            }
            Err(error) if refused => {
                self.fail_unsent(sent, details, (chunk, 1), &super::send::refusal(error)).await
            }
            _ => {
                set(&mut details, chunk, State::Unknown, None);
                self.step(sent, State::Unknown, &details, "send.answered").await
            }
        }
    }

    /// Reads until it is known of each user whether they are gone.
    async fn settle_bulk(
        &self,
        mut operation: Operation,
        mut details: Details,
    ) -> Result<Option<Operation>, Failure> {
        if operation.state != State::Unknown {
            details.note(wording::STOPPED);
            operation = self.step(&operation, State::Unknown, &details, "send.unknown").await?;
        }
        for pause in &self.settings.pace.rounds {
            let open = in_state(&details, &[State::Sending, State::Unknown]);
            let sights = self.look_at_all(&details, &open).await;
            let sends = self.store.bulk_sends(&operation.id).await?;
            let in_time = self.in_time(&operation, &details);
            let mut settled = Vec::new();
            for user in &open {
                let seen = sights.get(user).copied().unwrap_or(Seen::Unsettled);
                let sends = sends.get(user).cloned().unwrap_or_default();
                let journal = Journal { wish: Wish::Delete, sends, in_time };
                let verdict = conclude(&journal, seen);
                if let Some(deleted) = settle_one(&mut details, *user, verdict) {
                    settled.push(Settled { user: *user, deleted });
                    if deleted {
                        self.directory.forget(*user).await;
                    }
                }
            }
            let audit = entry("send.settled", []);
            let (value, to) = (details.to_value(), State::Unknown);
            operation = self.store.advance_bulk(&operation, to, value, &settled, audit).await?;
            self.changed(&operation.id);
            if in_state(&details, &[State::Sending, State::Unknown]).is_empty() {
                return Ok(Some(operation));
            }
            tokio::time::sleep(*pause).await;
        }
        Ok(None)
    }

    /// Looks until all are gone, or ZIA has had its time to show it (guardrails F23).
    async fn look_at_all(&self, details: &Details, users: &[UserId]) -> Sights {
        let pace = &self.settings.pace;
        let pauses = if details.by_list { &pace.sparing_looks } else { &pace.looks };
        let mut sights = Sights::new();
        for pause in pauses {
            tokio::time::sleep(*pause).await;
            let open: Vec<_> =
                users.iter().copied().filter(|u| sights.get(u) != Some(&Seen::AsWanted)).collect();
            sights.extend(self.sights(details, &open).await.0);
            if users.iter().all(|u| sights.get(u) == Some(&Seen::AsWanted)) {
                break;
            }
        }
        sights
    }

    /// Reads users once: by id, or for many in ZIA's whole list; also the limit that ended it, if one did.
    async fn sights(&self, details: &Details, users: &[UserId]) -> (Sights, Option<zia::Error>) {
        let mut sights = Sights::new();
        let limit = |error: zia::Error| matches!(error.kind, Kind::RateLimited { .. }).then_some(error);
        if details.by_list {
            let everyone = match self.directory.everyone(Deadline::after(READING).finishing()).await {
                Ok(everyone) => everyone,
                Err(error) => return (sights, limit(error)),
            };
            let there: HashMap<UserId, String> =
                everyone.users.iter().map(|(seen, digest)| (seen.user.id, digest.to_string())).collect();
            for user in users {
                match there.get(user) {
                    Some(digest) => sights.insert(*user, seen_as(details, *user, digest)),
                    None if everyone.complete => sights.insert(*user, Seen::AsWanted),
                    // A list that was not read to its end proves nobody's absence.
                    None => None,
                };
            }
            return (sights, None);
        }
        for user in users {
            match self.directory.by_id(*user, Deadline::after(READING).finishing()).await {
                Ok(None) => sights.insert(*user, Seen::AsWanted),
                Ok(Some(found)) => sights.insert(*user, seen_as(details, *user, &found.object.to_string())),
                // The others would wait for the same limit.
                Err(error @ zia::Error { kind: Kind::RateLimited { .. }, .. }) => {
                    return (sights, Some(error));
                }
                Err(_) => None,
            };
        }
        (sights, None)
    }

    /// Ends some users with a failure; the operation goes on with the others.
    async fn fail_bulk(
        &self,
        operation: &Operation,
        mut details: Details,
        users: &[UserId],
        failure: &Failure,
    ) -> Result<Operation, Failure> {
        set(&mut details, users, State::Failed, Some(failure));
        self.note_bulk(operation, details, users).await
    }

    /// The same for those for whom no more was sent than so many times, which certainly did nothing.
    ///
    /// Of the others it stays unknown: an earlier send may have done it.
    async fn fail_unsent(
        &self,
        operation: &Operation,
        mut details: Details,
        (users, vain): (&[UserId], usize),
        failure: &Failure,
    ) -> Result<Operation, Failure> {
        let sends = self.store.bulk_sends(&operation.id).await?;
        let (again, first): (Vec<_>, Vec<_>) =
            users.iter().partition(|user| sends.get(user).is_some_and(|sends| sends.len() > vain));
        set(&mut details, &again, State::Unknown, None);
        self.fail_bulk(operation, details, &first, failure).await
    }

    /// Records users who need nothing more, without a change of the operation's state.
    async fn note_bulk(
        &self,
        operation: &Operation,
        details: Details,
        users: &[UserId],
    ) -> Result<Operation, Failure> {
        self.note_bulk_as(operation, details, users, SETTLED).await
    }

    /// The same, under another name in the audit trail.
    async fn note_bulk_as(
        &self,
        operation: &Operation,
        details: Details,
        users: &[UserId],
        event: &'static str,
    ) -> Result<Operation, Failure> {
        let over = |user: &&UserId| state_of(&details, **user).is_some_and(State::is_ended);
        let settled: Vec<_> =
            users.iter().filter(over).map(|user| Settled { user: *user, deleted: false }).collect();
        let (value, audit) = (details.to_value(), entry(event, []));
        let noted = self.store.advance_bulk(operation, operation.state, value, &settled, audit).await?;
        self.changed(&noted.id);
        Ok(noted)
    }
}

/// Takes the users who are gone or changed out of a chunk; `None` if somebody could not be read.
fn sort_out(details: &mut Details, chunk: &[UserId], sights: &Sights) -> Option<Vec<UserId>> {
    if chunk.iter().any(|user| !sights.contains_key(user)) {
        return None;
    }
    let with = |wanted: Seen| -> Vec<UserId> {
        chunk.iter().copied().filter(|user| sights.get(user) == Some(&wanted)).collect()
    };
    set(details, &with(Seen::AsWanted), State::AlreadyDone, None);
    set(details, &with(Seen::Otherwise), State::Changed, None);
    Some(with(Seen::AsBefore))
}

/// Notes a verdict on a user: whether they are deleted, if nothing more is to be done about them.
fn settle_one(details: &mut Details, user: UserId, verdict: Verdict) -> Option<bool> {
    let (state, failure, settled) = match verdict {
        Verdict::Applied => (State::Verified, None, Some(true)),
        // Back in the queue, under the same approval.
        Verdict::Resend => (State::Approved, None, None),
        Verdict::NotApplied => {
            let message = "ZIA shows that the delete did not take effect";
            (State::Failed, Some(Failure::new(Code::Upstream, message, "ask again")), Some(false))
        }
        Verdict::Overtaken => {
            let message = wording::NOT_DELETED_AND_CHANGED;
            let next = "look at the user with find_user, then ask again";
            (State::Failed, Some(Failure::new(Code::Conflict, message, next)), Some(false))
        }
        Verdict::Unknown => (State::Unknown, None, None),
    };
    set(details, &[user], state, failure.as_ref());
    settled
}

/// The users of an operation in some states.
fn in_state(details: &Details, states: &[State]) -> Vec<UserId> {
    let those = details.asked.iter().filter(|a| states.contains(&a.state));
    those.filter_map(|a| a.user.as_ref().map(|u| u.id)).collect()
}

fn state_of(details: &Details, user: UserId) -> Option<State> {
    let is = |a: &&crate::lifecycle::bulk::Asked| a.user.as_ref().is_some_and(|u| u.id == user);
    details.asked.iter().find(is).map(|a| a.state)
}

fn set(details: &mut Details, users: &[UserId], state: State, failure: Option<&Failure>) {
    for asked in &mut details.asked {
        if asked.user.as_ref().is_some_and(|u| users.contains(&u.id)) {
            asked.state = state;
            asked.failure = failure.cloned();
        }
    }
}

fn seen_as(details: &Details, user: UserId, digest: &str) -> Seen {
    let is = |a: &&crate::lifecycle::bulk::Asked| a.user.as_ref().is_some_and(|u| u.id == user);
    let before = details.asked.iter().find(is).and_then(|a| a.object.as_deref());
    if before == Some(digest) { Seen::AsBefore } else { Seen::Otherwise }
}

fn outcome_of(error: &zia::Error) -> SendOutcome {
    match (&error.kind, error.attempts) {
        (_, 0) => SendOutcome::NotSent,
        (Kind::Duplicate | Kind::Refused | Kind::Forbidden | Kind::NotFound, _) => SendOutcome::Rejected,
        _ => SendOutcome::Refused,
    }
}
