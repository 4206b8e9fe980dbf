//! Carries operations out: the only caller of the endpoints that write.

use std::{sync::PoisonError, time::Duration};

use tokio::sync::broadcast::error::RecvError;

use super::{
    Lifecycle,
    audit::entry,
    details::Details,
    failure::{Code, Failure},
    password,
    reconcile::{self, Creation, Deletion, LOOKS, SPARING_LOOKS, Verdict},
    report::{Activation, ActivationState, Draft, Subject},
};
use crate::{
    directory::{Lookup, to_user},
    model::{Action, Digest, Email, Operation, State, User, UserId, UserRef, Write},
    store::{Permit, SendOutcome},
    zia::{self, Deadline, Landed, NewUser},
};

/// How long an approved write waits for its turn and for ZIA's edit lock (guardrails F14).
const PATIENCE: Duration = Duration::from_secs(600);

/// How long one round of reading may take.
const READING: Duration = Duration::from_secs(60);

/// Pauses between the rounds that settle an unknown outcome.
const SETTLING: [Duration; 5] = [
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(120),
    Duration::from_secs(300),
];

impl Lifecycle {
    /// Starts to carry an approved operation out, in the background.
    pub(crate) fn carry_out(&self, operation: Operation) {
        let this = self.clone();
        let id = operation.id.clone();
        this.shared.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        tokio::spawn(async move {
            // A task of its own, so that a panic in it still ends in the lines below.
            let work = tokio::spawn({
                let this = this.clone();
                async move { this.execute(operation).await }
            });
            match work.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(operation.id = %id, %error, "an operation stopped"),
                Err(_) => tracing::error!(operation.id = %id, "an operation met a fault of the server"),
            }
            this.shared.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            this.changed(&id);
        });
    }

    /// Waits for what this process carries out, at most for some time.
    ///
    /// What is not done by then is taken up at the next start.
    pub async fn drain(&self, most: Duration) {
        let end = tokio::time::Instant::now() + most;
        let mut changes = self.changes();
        while !self.shared.running.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            match tokio::time::timeout_at(end, changes.recv()).await {
                Ok(Ok(_) | Err(RecvError::Lagged(_))) => {}
                Ok(Err(RecvError::Closed)) => return,
                Err(_) => {
                    tracing::warn!("operations are still running; the next start takes them up");
                    return;
                }
            }
        }
    }

    async fn execute(&self, operation: Operation) -> Result<(), Failure> {
        match operation.action {
            Action::ProvisionUser => self.create_user(operation).await,
            Action::DeprovisionUser => self.delete_user(operation).await,
            Action::Activate => self.activate_approved(operation).await,
        }
    }

    async fn create_user(&self, operation: Operation) -> Result<(), Failure> {
        let mut details = Details::of(&operation);
        let Some(Subject::Draft(draft)) = details.user.clone() else { return Err(super::begin::internal()) };
        let turn = self.shared.writing.lock().await;
        if let Err(failure) = self.before_write(&mut details).await {
            return self.fail(&operation, details, failure).await;
        }
        let (sent, permit) = match self.begin_send(&operation, Write::CreateUser, &details).await {
            Ok(begun) => begun,
            Err(failure) => return self.fail(&operation, details, failure).await,
        };
        let new = new_user(&draft)?;
        let settled = match self.zia.create_user(&permit, &new, Deadline::after(PATIENCE)).await {
            Ok(created) => {
                self.end_send(permit, SendOutcome::Done, None).await?;
                self.created(&sent, details, &draft, to_user(&created.value)).await?
            }
            Err(error) => {
                let Some(unknown) = self.not_created(permit, &sent, &mut details, error).await? else {
                    return Ok(());
                };
                drop(turn);
                self.settle_creation(unknown, details, &draft).await?
            }
        };
        match settled {
            Some(verified) => self.activate_after(verified).await,
            None => Ok(()),
        }
    }

    /// ZIA's answer to the create names the user: that verifies it.
    async fn created(
        &self,
        sent: &Operation,
        mut details: Details,
        draft: &Draft,
        answer: User,
    ) -> Result<Option<Operation>, Failure> {
        let user = User { name: draft.name.clone(), email: draft.email.clone(), ..answer };
        self.directory.learn(user.clone());
        details.user = Some(Subject::User(user));
        details.activation = Some(staged());
        self.step(sent, State::Verified, &details, "send.verified").await.map(Some)
    }

    /// The create did not answer with success: `Some` if it may have happened all the same.
    async fn not_created(
        &self,
        permit: Permit,
        sent: &Operation,
        details: &mut Details,
        error: zia::Error,
    ) -> Result<Option<Operation>, Failure> {
        let code = error.code.clone();
        if error.landed == Landed::No {
            self.end_send(permit, SendOutcome::Refused, code.as_deref()).await?;
            if error.kind == zia::Kind::Refused {
                details.note(REFUSED_CREATE);
            }
            self.fail(sent, details.clone(), refusal(error)).await?;
            return Ok(None);
        }
        self.end_send(permit, SendOutcome::Unknown, code.as_deref()).await?;
        details.note("ZIA's reply to the create was lost; the server reads ZIA until that is settled");
        self.step(sent, State::Unknown, details, "send.unknown").await.map(Some)
    }

    /// Reads until a create whose reply was lost is settled.
    pub(crate) async fn settle_creation(
        &self,
        mut unknown: Operation,
        mut details: Details,
        draft: &Draft,
    ) -> Result<Option<Operation>, Failure> {
        for pause in SETTLING {
            match self.look_for_creation(draft).await {
                Creation::AsAsked(user) => {
                    details.note("the user was found as asked for: the create took effect");
                    details.user = Some(Subject::User(*user));
                    details.activation = Some(staged());
                    return self.step(&unknown, State::Verified, &details, "send.settled").await.map(Some);
                }
                Creation::Different(user) => {
                    details.note(format!(
                        "the address now belongs to user {}, who differs from what was asked; a person has to look",
                        user.id
                    ));
                    self.step(&unknown, State::Failed, &details, "send.settled").await?;
                    return Ok(None);
                }
                Creation::Absent => {
                    details.note(
                        "ZIA shows no such user: the create did not take effect; it may be asked for again",
                    );
                    self.step(&unknown, State::Failed, &details, "send.settled").await?;
                    return Ok(None);
                }
                Creation::Unsettled => {
                    unknown = self.step(&unknown, State::Unknown, &details, "send.unsettled").await?;
                    tokio::time::sleep(pause).await;
                }
            }
        }
        Ok(None)
    }

    async fn look_for_creation(&self, draft: &Draft) -> Creation {
        let Ok(email) = draft.email.parse::<Email>() else { return Creation::Unsettled };
        let mut seen = Creation::Unsettled;
        for pause in SPARING_LOOKS {
            tokio::time::sleep(pause).await;
            match self.directory.look_up(&UserRef::Email(email.clone()), Deadline::after(READING)).await {
                Ok(Lookup::Found(found)) => return reconcile::of_creation(draft, found.user),
                Ok(Lookup::Absent { proven: true }) => seen = Creation::Absent,
                Ok(Lookup::Several(_) | Lookup::Absent { .. }) | Err(_) => {}
            }
        }
        seen
    }

    async fn delete_user(&self, operation: Operation) -> Result<(), Failure> {
        let mut details = Details::of(&operation);
        let Some(id) = operation.subject else { return Err(super::begin::internal()) };
        let turn = self.shared.writing.lock().await;
        if !self.is_unchanged(&operation, &mut details, id).await? {
            return Ok(());
        }
        if let Err(failure) = self.before_write(&mut details).await {
            return self.fail(&operation, details, failure).await;
        }
        let (sent, permit) = match self.begin_send(&operation, Write::DeleteUser(id), &details).await {
            Ok(begun) => begun,
            Err(failure) => return self.fail(&operation, details, failure).await,
        };
        let (after, acked) = match self.zia.delete_user(&permit, Deadline::after(PATIENCE)).await {
            Ok(()) => {
                self.end_send(permit, SendOutcome::Done, None).await?;
                (self.step(&sent, State::Acked, &details, "send.acked").await?, true)
            }
            Err(error) => match self.not_deleted(permit, &sent, &mut details, error).await? {
                Some(unknown) => (unknown, false),
                None => return Ok(()),
            },
        };
        drop(turn);
        match self.settle_deletion(after, details, id, acked).await? {
            Some(verified) => self.activate_after(verified).await,
            None => Ok(()),
        }
    }

    /// Reads the user a last time and compares with what the person approved.
    async fn is_unchanged(
        &self,
        operation: &Operation,
        details: &mut Details,
        id: UserId,
    ) -> Result<bool, Failure> {
        let until = Deadline::after(PATIENCE);
        let seen = match self.directory.by_id(id, until).await {
            Ok(seen) => seen,
            Err(error) => return self.fail(operation, details.clone(), error.into()).await.map(|()| false),
        };
        let same = |d: &Digest| details.object.as_deref() == Some(d.to_string().as_str());
        match seen {
            Some(object) if same(&object.object) => return Ok(true),
            None if self.is_gone_for_good(details, until).await => {
                self.directory.forget(id);
                details.note("the user was gone already before anything was sent");
                self.step(operation, State::AlreadyDone, details, "user.absent").await?;
            }
            _ => {
                details.note(
                    "the user changed between the approval and the delete; nothing was sent; ask again",
                );
                self.step(operation, State::Changed, details, "user.changed").await?;
            }
        }
        Ok(false)
    }

    /// Whether nobody else has taken the address of a user whose id is gone.
    async fn is_gone_for_good(&self, details: &Details, until: Deadline) -> bool {
        let Some(Subject::User(user)) = &details.user else { return false };
        let Ok(email) = user.email.parse() else { return false };
        matches!(self.directory.look_up(&UserRef::Email(email), until).await, Ok(Lookup::Absent { .. }))
    }

    /// The delete did not answer with success: `Some` if it may have happened all the same.
    async fn not_deleted(
        &self,
        permit: Permit,
        sent: &Operation,
        details: &mut Details,
        error: zia::Error,
    ) -> Result<Option<Operation>, Failure> {
        let code = error.code.clone();
        if error.kind == zia::Kind::NotFound {
            self.end_send(permit, SendOutcome::Refused, code.as_deref()).await?;
            sent.subject.into_iter().for_each(|id| self.directory.forget(id));
            details.note("ZIA answered that there is no such user: it was absent already, not deleted by this operation");
            self.step(sent, State::AlreadyDone, details, "user.absent").await?;
            return Ok(None);
        }
        if error.landed == Landed::No {
            self.end_send(permit, SendOutcome::Refused, code.as_deref()).await?;
            self.fail(sent, details.clone(), refusal(error)).await?;
            return Ok(None);
        }
        self.end_send(permit, SendOutcome::Unknown, code.as_deref()).await?;
        details.note("ZIA's reply to the delete was lost; the server reads ZIA until that is settled");
        self.step(sent, State::Unknown, details, "send.unknown").await.map(Some)
    }

    /// Reads until it is known whether the user is gone.
    pub(crate) async fn settle_deletion(
        &self,
        mut operation: Operation,
        mut details: Details,
        id: UserId,
        acked: bool,
    ) -> Result<Option<Operation>, Failure> {
        for pause in SETTLING {
            match reconcile::of_deletion(acked, self.look_for_deletion(id).await) {
                Verdict::Applied => {
                    self.directory.forget(id);
                    if !acked {
                        details.note("deleted: confirmed by the user's absence");
                    }
                    details.activation = Some(staged());
                    return self.step(&operation, State::Verified, &details, "send.verified").await.map(Some);
                }
                Verdict::NotApplied => {
                    details.note(
                        "ZIA still shows the user: the delete did not take effect; it may be asked for again",
                    );
                    self.step(&operation, State::Failed, &details, "send.settled").await?;
                    return Ok(None);
                }
                Verdict::Unknown => {
                    if acked {
                        details.note("ZIA answered that it deleted the user, but absence could not be confirmed by reading");
                    }
                    operation = self.step(&operation, State::Unknown, &details, "send.unsettled").await?;
                    tokio::time::sleep(pause).await;
                }
            }
        }
        Ok(None)
    }

    async fn look_for_deletion(&self, id: UserId) -> Deletion {
        let mut seen = Deletion::Unsettled;
        for pause in LOOKS {
            tokio::time::sleep(pause).await;
            seen = match self.directory.by_id(id, Deadline::after(READING)).await {
                Ok(None) => return Deletion::Absent,
                Ok(Some(_)) => Deletion::Present,
                Err(_) => Deletion::Unsettled,
            };
        }
        seen
    }

    async fn begin_send(
        &self,
        operation: &Operation,
        write: Write,
        details: &Details,
    ) -> Result<(Operation, Permit), Failure> {
        let audit = entry("send.intended", [("write", write.as_str().into())]);
        let begun = self.store.begin_send(operation, write, details.to_value(), audit).await?;
        self.changed(&begun.0.id);
        Ok(begun)
    }

    /// Records how a send ended.
    pub(crate) async fn end_send(
        &self,
        permit: Permit,
        outcome: SendOutcome,
        code: Option<&str>,
    ) -> Result<(), Failure> {
        let audit = entry("send.ended", [("code", code.into())]);
        Ok(self.store.end_send(permit, outcome, code, audit).await?)
    }

    /// Ends an operation of which nothing was applied.
    pub(crate) async fn fail(
        &self,
        operation: &Operation,
        mut details: Details,
        failure: Failure,
    ) -> Result<(), Failure> {
        details.note(format!("{}; nothing was applied", failure.message));
        details.initial_password = None;
        details.failure = Some(failure);
        self.step(operation, State::Failed, &details, "operation.failed").await.map(drop)
    }
}

/// What ZIA refuses a create for, most often.
const REFUSED_CREATE: &str = "ZIA refused the values: it takes addresses only in domains that are registered for the \
     tenant, and departments and groups that still exist";

/// A refusal of a write, with ZIA's code where the caller can read it.
fn refusal(error: zia::Error) -> Failure {
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

fn new_user(draft: &Draft) -> Result<NewUser, Failure> {
    Ok(NewUser {
        name: draft.name.clone(),
        email: draft.email.parse().map_err(|_| super::begin::internal())?,
        groups: draft.groups.clone(),
        department: draft.department.clone(),
        comments: draft.comments.clone(),
        password: password::generate(&mut rand::rng()),
    })
}

fn staged() -> Activation {
    Activation::with(
        ActivationState::Pending,
        "applied and verified; not activated yet. ZIA may also publish it by itself, on sign-out or time-out",
    )
}
