//! Deleting a user.

use super::{PATIENCE, READING, SETTLING, staged};
use crate::{
    directory::Lookup,
    lifecycle::{
        Lifecycle,
        approval::approved_digest,
        begin::internal,
        details::Details,
        failure::{Code, Failure},
        reconcile::{self, Deletion, LOOKS, Verdict},
        report::Subject,
    },
    model::{Digest, Operation, State, UserId, UserRef, Write},
    store::{Permit, SendOutcome},
    zia::{self, Deadline},
};

const LOST: &str = "ZIA's reply to the delete was lost; the server reads ZIA until that is settled";

/// How sure an absence has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Absence {
    /// ZIA's lists establish it.
    Proven,
    /// ZIA already answered by id that there is no such user.
    Likely,
}

impl Lifecycle {
    pub(super) async fn delete_user(&self, operation: Operation) -> Result<(), Failure> {
        let mut details = Details::of(&operation);
        let Some(id) = operation.subject else { return Err(internal()) };
        let turn = self.shared.writing.lock().await;
        if !self.is_unchanged(&operation, &mut details, id).await? {
            return Ok(());
        }
        if let Err(failure) = self.check_approval(&operation, &details).await {
            return self.fail(&operation, details, failure).await;
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

    /// Refuses to send anything but what the person approved (guardrails I3).
    async fn check_approval(&self, operation: &Operation, details: &Details) -> Result<(), Failure> {
        let approval = self.store.approval(&operation.id).await?;
        let same = approval.is_some_and(|a| a.digest == approved_digest(operation, details));
        let other =
            || Failure::new(Code::Conflict, "what was approved is not what would be sent", "ask again");
        same.then_some(()).ok_or_else(other)
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
            None if self.is_gone_for_good(details, until, Absence::Likely).await => {
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

    /// Whether nobody has the address of the user any more.
    async fn is_gone_for_good(&self, details: &Details, until: Deadline, absence: Absence) -> bool {
        let Some(Subject::User(user)) = &details.user else { return false };
        let Ok(email) = user.email.parse() else { return false };
        match self.directory.look_up(&UserRef::Email(email), until).await {
            Ok(Lookup::Absent { proven }) => proven || absence == Absence::Likely,
            _ => false,
        }
    }

    /// The delete did not answer with success: `Some` if it may have happened all the same.
    async fn not_deleted(
        &self,
        permit: Permit,
        sent: &Operation,
        details: &mut Details,
        error: zia::Error,
    ) -> Result<Option<Operation>, Failure> {
        if error.kind == zia::Kind::NotFound {
            self.end_send(permit, SendOutcome::Refused, error.code.as_deref()).await?;
            sent.subject.into_iter().for_each(|id| self.directory.forget(id));
            details.note("ZIA answered that there is no such user: it was absent already, not deleted by this operation");
            self.step(sent, State::AlreadyDone, details, "user.absent").await?;
            return Ok(None);
        }
        self.unanswered(permit, sent, details, error, LOST).await
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
            match reconcile::of_deletion(acked, self.look_for_deletion(&details, id).await) {
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

    /// Looks at the user by id; where that does not answer, a whole list may.
    async fn look_for_deletion(&self, details: &Details, id: UserId) -> Deletion {
        let mut seen = Deletion::Unsettled;
        for pause in LOOKS {
            tokio::time::sleep(pause).await;
            seen = match self.directory.by_id(id, Deadline::after(READING)).await {
                Ok(None) => return Deletion::Absent,
                Ok(Some(_)) => Deletion::Present,
                Err(_) => Deletion::Unsettled,
            };
        }
        let gone = seen == Deletion::Unsettled
            && self.is_gone_for_good(details, Deadline::after(READING), Absence::Proven).await;
        if gone { Deletion::Absent } else { seen }
    }
}
