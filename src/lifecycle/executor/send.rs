//! One send of a write: checked a last time, recorded, made, and its end recorded.

use secrecy::SecretString;

use super::{FAILED, PATIENCE, READING, refusal_event, staged, wording};
use crate::{
    directory::{Lookup, to_user},
    lifecycle::{
        Lifecycle,
        approval::approved_digest,
        begin::internal,
        details::{Details, Replacement},
        executor::look::differing,
        failure::{Code, Failure},
        provision::same_or_refuse,
        reconcile::{Answer, Wish, after_answer},
        report::{Draft, Subject},
    },
    model::{Action, Digest, Email, Operation, SendPermit as _, State, User, UserRef, Write},
    store::Permit,
    zia::{self, Deadline, Kind, Landed, NewUser, Raw, UserReplacement, ZiaUser},
};

/// A write, ready to be made.
enum Work {
    Create(NewUser),
    Replace(UserReplacement),
    Delete,
}

impl Lifecycle {
    /// Sends the write of an approved operation, or again that of one that had no effect.
    ///
    /// Nothing leaves unless the user is as approved, and the send is on record (I1–I3).
    pub(super) async fn send(&self, mut operation: Operation) -> Result<Option<Operation>, Failure> {
        let mut details = Details::of(&operation);
        let turn = loop {
            // In this order: an activation waits for the one that writes, not for all who queue.
            let turn = self.shared.writing.lock().await;
            if !self.has_turn(&operation, &details).await {
                drop(turn);
                operation = self.await_turn(operation, &mut details).await?;
                continue;
            }
            let turn = (self.shared.activator.gate.read().await, turn);
            if let Some(moved) = self.not_to_be_sent(&operation, &mut details).await? {
                return Ok(Some(moved));
            }
            if let Err(failure) = self.check_approval(&operation, &details).await {
                return self.fail(&operation, details, failure).await;
            }
            if let Err(failure) = self.check_standing(&operation, &details).await {
                let event = refusal_event(&failure, FAILED);
                return self.fail_as(&operation, details, failure, event).await;
            }
            if let Err(failure) = self.before_write(&mut details).await {
                return self.fail(&operation, details, failure).await;
            }
            if details.approval.is_none() || !self.zia.is_read_only() {
                self.shared.paused.end(&operation.id);
                break turn;
            }
            drop(turn);
            self.sit_out_maintenance(&operation, &details).await;
        };
        let password = match self.password_to_send(&operation, &details).await {
            Ok(password) => password,
            Err(failure) => return self.fail(&operation, details, failure).await,
        };
        let (write, work) = prepare(&operation, &details, password)?;
        let (sent, permit) = match self.begin_send(&operation, write, &details).await {
            Ok(begun) => begun,
            Err(failure) => return self.fail(&operation, details, failure).await,
        };
        let done = self.perform(&permit, work).await;
        drop(turn);
        match done {
            Ok(answer) => self.acked(permit, &sent, details, answer).await,
            Err(error) => self.unanswered(permit, &sent, details, error).await,
        }
    }

    async fn perform(&self, permit: &Permit, work: Work) -> Result<Option<Raw<ZiaUser>>, zia::Error> {
        let until = Deadline::after(PATIENCE);
        match work {
            Work::Create(new) => self.zia.create_user(permit, &new, until).await.map(Some),
            Work::Replace(wanted) => self.zia.replace_user(permit, &wanted, until).await.map(Some),
            Work::Delete => self.zia.delete_user(permit, until).await.map(|()| None),
        }
    }

    /// Ends an operation whose time is over or whose user is no longer as approved; one whose user
    /// cannot be read for ZIA's limits stays as it is, and waits for its turn once more.
    async fn not_to_be_sent(
        &self,
        operation: &Operation,
        details: &mut Details,
    ) -> Result<Option<Operation>, Failure> {
        if operation.state == State::Unknown {
            // The reading that allows a repeat has just compared the user.
            return Ok(None);
        }
        if !self.in_time(operation, details) {
            details.note(wording::TOO_LATE);
            return self.step(operation, State::Expired, details, "operation.expired").await.map(Some);
        }
        if Wish::of(operation.action) == Some(Wish::Create) {
            return Ok(None);
        }
        self.changed_meanwhile(operation, details).await
    }

    /// Reads the user a last time and compares with what was captured and approved.
    async fn changed_meanwhile(
        &self,
        operation: &Operation,
        details: &mut Details,
    ) -> Result<Option<Operation>, Failure> {
        let Some(id) = operation.subject else { return Err(internal()) };
        let until = Deadline::after(PATIENCE).finishing();
        let seen = match self.directory.by_id(id, until).await {
            Ok(seen) => seen,
            Err(error) if self.waits_for_turn(operation, details, &error) => {
                return Ok(Some(operation.clone()));
            }
            Err(error) => return self.fail(operation, details.clone(), error.into()).await,
        };
        let same = |d: &Digest| details.object.as_deref() == Some(d.to_string().as_str());
        let deletes = Wish::of(operation.action) == Some(Wish::Delete);
        match seen {
            Some(object) if same(&object.object) => Ok(None),
            None if deletes && self.is_gone_for_good(details, until, true).await => {
                self.directory.gone(id).await;
                details.note(wording::GONE_ALREADY);
                self.step(operation, State::AlreadyDone, details, "user.absent").await.map(Some)
            }
            _ => {
                details.note(wording::changed(operation.state));
                self.step(operation, State::Changed, details, "user.changed").await.map(Some)
            }
        }
    }

    /// Refuses to send anything but what the person approved (guardrails I3).
    pub(super) async fn check_approval(
        &self,
        operation: &Operation,
        details: &Details,
    ) -> Result<(), Failure> {
        let same = match self.store.approval(&operation.id).await? {
            Some(approval) => approval.digest == approved_digest(operation, details),
            None => !operation.action.deletes(),
        };
        let other =
            || Failure::new(Code::Conflict, "what was approved is not what would be sent", "ask again");
        same.then_some(()).ok_or_else(other)
    }

    /// ZIA answered that it did the write.
    async fn acked(
        &self,
        permit: Permit,
        sent: &Operation,
        mut details: Details,
        answer: Option<Raw<ZiaUser>>,
    ) -> Result<Option<Operation>, Failure> {
        self.end_send(permit, Answer::Done.outcome(), None).await?;
        let created = match (details.user.clone(), answer) {
            (Some(Subject::Draft(draft)), Some(answer)) => Some((draft, to_user(&answer.value))),
            _ => None,
        };
        let Some((draft, answer)) = created else {
            return self.step(sent, State::Acked, &details, "send.acked").await.map(Some);
        };
        // ZIA's answer names the user, so the record can from now on.
        let sent = &Operation { subject: Some(answer.id), ..sent.clone() };
        let user = User { name: draft.name.clone(), email: draft.email.clone(), ..answer };
        if !differing(&draft, &user).is_empty() || draft.comments != user.comments {
            return self.step(sent, State::Acked, &details, "send.acked").await.map(Some);
        }
        self.note_renamed(&mut details, &user).await;
        self.directory.learn(user.clone()).await;
        details.user = Some(Subject::User(user));
        details.activation = Some(staged());
        self.verified(sent, &details, "zia_answer").await.map(Some)
    }

    /// The write did not answer with success.
    async fn unanswered(
        &self,
        permit: Permit,
        sent: &Operation,
        mut details: Details,
        error: zia::Error,
    ) -> Result<Option<Operation>, Failure> {
        let (write, wish) = (permit.write(), Wish::of(sent.action).ok_or_else(internal)?);
        let answer = answer_of(&error);
        let after = after_answer(wish, permit.attempt(), answer);
        self.end_send(permit, answer.outcome(), error.code.as_deref()).await?;
        if error.kind == Kind::ReadOnly && details.approval.is_some() {
            // What a person approved waits for the end of the maintenance, within its time.
            return Ok(Some(sent.clone()));
        }
        if self.waits_for_turn(sent, &details, &error) {
            return Ok(Some(sent.clone()));
        }
        match after {
            State::AlreadyDone => {
                if let Some(id) = sent.subject {
                    self.directory.gone(id).await;
                }
                details.note(wording::ABSENT_ALREADY);
                self.step(sent, State::AlreadyDone, &details, "user.absent").await.map(Some)
            }
            State::Failed if error.kind == Kind::Duplicate && wish == Wish::Create => {
                self.already_there(sent, details, refusal(error)).await
            }
            State::Failed => {
                if error.kind == Kind::Refused && write == Write::CreateUser {
                    details.note(wording::REFUSED_CREATE);
                }
                self.fail(sent, details, refusal(error)).await
            }
            _ => {
                details.note(wording::lost(write));
                self.step(sent, State::Unknown, &details, "send.unknown").await.map(Some)
            }
        }
    }

    /// ZIA says that somebody has the address: who that is decides what the caller is told (B18).
    ///
    /// `otherwise` is why it failed where nobody can be shown.
    pub(super) async fn already_there(
        &self,
        sent: &Operation,
        mut details: Details,
        otherwise: Failure,
    ) -> Result<Option<Operation>, Failure> {
        let Some(Subject::Draft(draft)) = details.user.clone() else { return Err(internal()) };
        let email: Email = draft.email.parse().map_err(|_| internal())?;
        let (began, until) = (self.clock.now(), Deadline::after(READING).finishing());
        let seen = match self.directory.look_up(&UserRef::Email(email), until).await {
            Ok(Lookup::Found(seen)) => seen,
            _ => return self.fail(sent, details, otherwise).await,
        };
        let ended = match same_or_refuse(&draft, &seen.user, "ZIA created nobody") {
            Ok(()) => {
                details.user = Some(Subject::User(seen.user.clone()));
                details.initial_password = None;
                details.note(wording::THERE_ALREADY);
                self.step(sent, State::AlreadyDone, &details, "user.present").await.map(Some)
            }
            Err(failure) => {
                let restores = sent.action == Action::RestoreUser;
                let failure = if restores { failure.at("capture") } else { failure };
                self.fail(sent, details, failure).await
            }
        };
        // Only now: what an open operation writes is its own to note.
        self.directory.take_note(&seen, began).await;
        ended
    }

    /// Ends an operation of which nothing was applied.
    pub(crate) async fn fail(
        &self,
        operation: &Operation,
        details: Details,
        failure: Failure,
    ) -> Result<Option<Operation>, Failure> {
        self.fail_as(operation, details, failure, FAILED).await
    }

    /// The same, under another name in the audit trail.
    pub(crate) async fn fail_as(
        &self,
        operation: &Operation,
        mut details: Details,
        failure: Failure,
        event: &'static str,
    ) -> Result<Option<Operation>, Failure> {
        if operation.state == State::Unknown {
            // An earlier send is not settled: what stands in the way of another one settles nothing.
            details.note(format!("{}; the write is not sent again for now", failure.message));
            self.step(operation, State::Unknown, &details, "send.held").await?;
            return Ok(None);
        }
        details.note(format!("{}; nothing was applied", failure.message));
        details.initial_password = None;
        details.failure = Some(failure);
        self.step(operation, State::Failed, &details, event).await.map(Some)
    }
}

/// What an error says of a send.
fn answer_of(error: &zia::Error) -> Answer {
    match (error.landed, &error.kind) {
        (Landed::Unknown, _) => Answer::Lost,
        (Landed::No, _) if error.attempts == 0 => Answer::NotSent,
        (Landed::No, Kind::NotFound) => Answer::NoSuchUser,
        (Landed::No, Kind::Duplicate | Kind::Refused | Kind::Forbidden) => Answer::Rejected,
        (Landed::No, _) => Answer::Refused,
    }
}

/// What is sent, made from the stored operation alone.
fn prepare(
    operation: &Operation,
    details: &Details,
    password: Option<SecretString>,
) -> Result<(Write, Work), Failure> {
    let wish = Wish::of(operation.action).ok_or_else(internal)?;
    Ok(match (wish, operation.subject, &details.user, &details.replacement) {
        (Wish::Create, _, Some(Subject::Draft(draft)), _) => {
            (Write::CreateUser, Work::Create(new_user(draft, password.ok_or_else(internal)?)?))
        }
        (Wish::Replace, Some(id), _, Some(wanted)) => {
            (Write::ReplaceUser(id), Work::Replace(replacement(wanted)))
        }
        (Wish::Delete, Some(id), ..) => (Write::DeleteUser(id), Work::Delete),
        _ => return Err(internal()),
    })
}

fn new_user(draft: &Draft, password: SecretString) -> Result<NewUser, Failure> {
    Ok(NewUser {
        name: draft.name.clone(),
        email: draft.email.parse().map_err(|_| internal())?,
        groups: draft.groups.clone(),
        department: draft.department.clone(),
        comments: draft.comments.clone(),
        temp_auth_email: draft.temp_auth_email.clone(),
        password,
    })
}

fn replacement(wanted: &Replacement) -> UserReplacement {
    let wanted = wanted.clone();
    UserReplacement {
        name: wanted.name,
        email: wanted.email,
        groups: wanted.groups,
        department: wanted.department,
        comments: wanted.comments,
        temp_auth_email: wanted.temp_auth_email,
    }
}

/// A refusal of a write, with ZIA's code where the caller can read it.
pub(super) fn refusal(error: zia::Error) -> Failure {
    let code = error.code.clone();
    let mut failure = Failure::from(error);
    if let Some(code) = code {
        failure.message = format!("{code}: {}", failure.message);
    }
    if failure.code == Code::NotFound {
        failure.code = Code::Upstream;
    }
    failure
}
