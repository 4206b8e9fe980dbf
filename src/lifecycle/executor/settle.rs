//! Finding out what became of a write, by reading.

use serde_json::json;

use super::{VERIFIED, look::Sight, staged, wording};
use crate::{
    lifecycle::{
        Lifecycle,
        audit::entry,
        begin::internal,
        details::Details,
        failure::{Code, Failure},
        handoff,
        reconcile::{Journal, Seen, Verdict, Wish, conclude},
        report::{Change, Subject},
    },
    model::{Operation, State, User, Write},
};

impl Lifecycle {
    /// Reads until it is known what became of the sends on record.
    ///
    /// `None` where that is still not known: the operation stays as it is, to be read again later.
    pub(super) async fn settle(&self, mut operation: Operation) -> Result<Option<Operation>, Failure> {
        let mut details = Details::of(&operation);
        let write = write_of(&operation)?;
        if operation.state == State::Sending {
            let journal = self.journal(&operation, &details).await?;
            if journal.may_send_again_unread() {
                return self.send(operation).await;
            }
            if journal.did_nothing() {
                let failure = Failure::new(Code::Upstream, "ZIA refused the write", "ask again");
                if journal.wish == Wish::Create {
                    // For what is not on record any more: it may have been for a user who is there (B18).
                    return self.already_there(&operation, details, failure).await;
                }
                return self.fail(&operation, details, failure).await;
            }
            details.note(wording::STOPPED);
            operation = self.step(&operation, State::Unknown, &details, "send.unknown").await?;
        }
        for pause in &self.settings.pace.rounds {
            let sight = self.look(&operation, &details).await;
            let journal = self.journal(&operation, &details).await?;
            match conclude(&journal, sight.seen) {
                Verdict::Applied => {
                    return self.applied(&operation, details, &journal, sight).await.map(Some);
                }
                Verdict::Resend => {
                    details.note(wording::SENT_AGAIN);
                    let unknown = self.still_unknown(&operation, &details, "send.repeated").await?;
                    return self.send(unknown).await;
                }
                Verdict::NotApplied => {
                    details.note(wording::no_effect(write));
                    details.initial_password = None;
                    return self.step(&operation, State::Failed, &details, "send.settled").await.map(Some);
                }
                Verdict::Overtaken => {
                    return self.overtaken(&operation, details, &journal, &sight).await.map(Some);
                }
                Verdict::Unknown => {
                    if journal.acked() {
                        details.note(wording::not_confirmed(write));
                    }
                    operation = self.still_unknown(&operation, &details, "send.unsettled").await?;
                    tokio::time::sleep(*pause).await;
                }
            }
        }
        Ok(None)
    }

    /// The sends of an operation on record.
    async fn journal(&self, operation: &Operation, details: &Details) -> Result<Journal, Failure> {
        let wish = Wish::of(operation.action).ok_or_else(internal)?;
        let sends = self.store.sends(operation).await?.into_iter().map(|s| s.outcome).collect();
        Ok(Journal { wish, sends, in_time: self.in_time(operation, details) })
    }

    /// Records that the outcome is not known, or still is not.
    async fn still_unknown(
        &self,
        operation: &Operation,
        details: &Details,
        event: &'static str,
    ) -> Result<Operation, Failure> {
        self.step(operation, State::Unknown, details, event).await
    }

    async fn applied(
        &self,
        operation: &Operation,
        mut details: Details,
        journal: &Journal,
        sight: Sight,
    ) -> Result<Operation, Failure> {
        let mut operation = operation.clone();
        note_differences(&mut details, journal, &sight);
        note_unmet(&mut details, journal, &sight);
        match (journal.wish, sight.user) {
            (Wish::Delete, _) => {
                if let Some(id) = operation.subject {
                    self.directory.forget(id).await;
                }
            }
            (wish, Some(user)) => {
                if wish == Wish::Create && !journal.acked() && handoff::is_handed_off(&details) {
                    self.doubt_password(&operation, &mut details, journal).await?;
                }
                operation.subject = Some(user.id);
                let user = if wish == Wish::Replace { self.as_in_list(&details, user) } else { user };
                self.note_renamed(&mut details, &user).await;
                match wish {
                    Wish::Create => self.directory.learn(user.clone()).await,
                    _ => self.directory.learn_change(user.clone()).await,
                }
                details.user = Some(Subject::User(user));
            }
            (_, None) => {}
        }
        details.activation = Some(staged());
        let evidence = match (journal.wish, journal.acked(), sight.seen) {
            (Wish::Delete, true, _) => "absent_after_send",
            (Wish::Delete, false, _) => "absent_after_intent",
            (_, _, Seen::Otherwise) => "zia_answer",
            _ => "read_back",
        };
        self.verified(&operation, &details, evidence).await
    }

    /// The user as read by id, with what only the list shows.
    fn as_in_list(&self, details: &Details, by_id: User) -> User {
        match (&details.user, &details.replacement) {
            (Some(Subject::User(before)), Some(wanted)) => User {
                name: wanted.name.clone(),
                email: before.email.clone(),
                editable: before.editable,
                ..by_id
            },
            _ => by_id,
        }
    }

    /// A write of which something is known to have been done.
    pub(super) async fn verified(
        &self,
        operation: &Operation,
        details: &Details,
        evidence: &'static str,
    ) -> Result<Operation, Failure> {
        let mut details = details.clone();
        if handoff::is_handed_off(&details) && !self.store.keeps_password(&operation.id).await? {
            details.initial_password = Some(handoff::lost());
        }
        details.verified_at = Some(self.clock.now());
        let audit = entry(VERIFIED, [("evidence", evidence.into())]);
        self.step_with(operation, State::Verified, &details, audit).await
    }

    /// Says how sure it is that a user found by reading has the password that is kept.
    async fn doubt_password(
        &self,
        operation: &Operation,
        details: &mut Details,
        journal: &Journal,
    ) -> Result<(), Failure> {
        if !journal.did_nothing() {
            details.note(handoff::PERHAPS_OTHERS);
            return Ok(());
        }
        details.note(handoff::OTHERS);
        details.initial_password = None;
        Ok(self.store.forget_password(&operation.id).await?)
    }

    /// Somebody else's change stands where ours should, and it cannot be told what ours did.
    async fn overtaken(
        &self,
        operation: &Operation,
        mut details: Details,
        journal: &Journal,
        sight: &Sight,
    ) -> Result<Operation, Failure> {
        let wish = Wish::of(operation.action).ok_or_else(internal)?;
        let message = match (wish, &sight.user) {
            _ if journal.acked() => wording::contradicted(write_of(operation)?),
            (Wish::Create, Some(user)) => format!(
                "the address now belongs to user {}, who differs from what was asked in {}",
                user.id,
                sight.differs.join(", ")
            ),
            (Wish::Delete, ..) => wording::NOT_DELETED_AND_CHANGED.into(),
            (_, None) => "the user is gone meanwhile".into(),
            _ => format!(
                "somebody else changed the user meanwhile: what ZIA shows is neither as before nor as asked, in {}",
                sight.differs.join(", ")
            ),
        };
        details.note(format!("{message}; a person has to look"));
        details.initial_password = None;
        if wish == Wish::Replace {
            let next = "look at the user with find_user, then ask again";
            details.failure = Some(Failure::new(Code::Conflict, message, next));
        }
        self.step(operation, State::Failed, &details, "send.settled").await
    }
}

/// Says how a write was confirmed, and what is not as it was written.
fn note_differences(details: &mut Details, journal: &Journal, sight: &Sight) {
    if !sight.differs.is_empty() {
        let did = if journal.wish == Wish::Create { "created" } else { "changed" };
        details.note(format!(
            "ZIA {did} the user, but shows another {} than was written",
            sight.differs.join(" and ")
        ));
    }
    if journal.acked() {
        return;
    }
    details.note(match journal.wish {
        Wish::Create => wording::CREATED_BY_READING,
        Wish::Replace => wording::REPLACED_BY_READING,
        Wish::Delete => wording::BY_ABSENCE,
    });
}

/// Takes what ZIA does not show as written out of the changes (guardrails F26).
fn note_unmet(details: &mut Details, journal: &Journal, sight: &Sight) {
    let (Wish::Replace, Some(user)) = (journal.wish, &sight.user) else { return };
    let differs = |field: &str| sight.differs.iter().any(|name| name.ends_with(field));
    // A text that is neither as before nor as written is ZIA's own spelling of it.
    let is_unmet = |change: &&Change| {
        differs(&change.field)
            && match change.field.as_str() {
                "name" => change.from == json!(user.name),
                "comments" => change.from == json!(user.comments),
                _ => true,
            }
    };
    let asked = details.changes.iter().flatten();
    let unmet: Vec<_> = asked.filter(is_unmet).map(|change| change.field.clone()).collect();
    if unmet.is_empty() {
        return;
    }
    details.changes.iter_mut().for_each(|all| all.retain(|change| !unmet.contains(&change.field)));
    details.note(wording::unmet(&unmet));
    details.unmet = unmet;
}

fn write_of(operation: &Operation) -> Result<Write, Failure> {
    match (Wish::of(operation.action), operation.subject) {
        (Some(Wish::Create), _) => Ok(Write::CreateUser),
        (Some(Wish::Replace), Some(id)) => Ok(Write::ReplaceUser(id)),
        (Some(Wish::Delete), Some(id)) => Ok(Write::DeleteUser(id)),
        _ => Err(internal()),
    }
}
