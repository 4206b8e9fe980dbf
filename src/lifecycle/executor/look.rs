//! Reading what a write has come to.

use super::READING;
use crate::{
    directory::{ById, Lookup},
    lifecycle::{
        Lifecycle,
        details::{Details, Replacement},
        reconcile::{Seen, Wish, is_final, same_groups},
        report::{Draft, Subject},
    },
    model::{Digest, Email, Named, Operation, User, UserId, UserRef},
    zia::Deadline,
};

/// What a reading shows.
pub(super) struct Sight {
    /// Against what is wanted.
    pub(super) seen: Seen,
    /// The user, if one is there.
    pub(super) user: Option<User>,
    /// The names of fields that are not as they were written.
    pub(super) differs: Vec<&'static str>,
}

impl Sight {
    fn of(seen: Seen) -> Self {
        Self { seen, user: None, differs: Vec::new() }
    }
}

impl Lifecycle {
    /// Reads until the write shows, or until ZIA has had its time to show it (guardrails F23).
    pub(super) async fn look(&self, operation: &Operation, details: &Details) -> Sight {
        let mut last = Sight::of(Seen::Unsettled);
        let wish = Wish::of(operation.action);
        let pace = &self.settings.pace;
        let pauses = if wish == Some(Wish::Create) { &pace.sparing_looks } else { &pace.looks };
        for pause in pauses {
            tokio::time::sleep(*pause).await;
            last = match (wish, operation.subject, &details.user) {
                (Some(Wish::Delete), Some(id), _) => self.look_for_deletion(details, id).await,
                (Some(Wish::Replace), Some(id), _) => self.look_for_change(details, id).await,
                (Some(Wish::Create), id, Some(Subject::Draft(draft))) => {
                    self.look_for_creation(draft, id).await
                }
                _ => Sight::of(Seen::Unsettled),
            };
            if is_final(last.seen) {
                break;
            }
        }
        if wish == Some(Wish::Delete)
            && last.seen == Seen::Unsettled
            && self.is_gone_for_good(details, Deadline::after(READING).finishing(), false).await
        {
            last = Sight::of(Seen::AsWanted);
        }
        last
    }

    async fn look_for_deletion(&self, details: &Details, id: UserId) -> Sight {
        match self.directory.by_id(id, Deadline::after(READING).finishing()).await {
            Ok(None) => Sight::of(Seen::AsWanted),
            Ok(Some(found)) if is_object(details, &found.object) => Sight::of(Seen::AsBefore),
            Ok(Some(_)) => Sight::of(Seen::Otherwise),
            Err(_) => Sight::of(Seen::Unsettled),
        }
    }

    async fn look_for_change(&self, details: &Details, id: UserId) -> Sight {
        let Some(wanted) = &details.replacement else { return Sight::of(Seen::Unsettled) };
        let found = match self.directory.by_id(id, Deadline::after(READING).finishing()).await {
            Ok(Some(found)) => found,
            Ok(None) => return Sight::of(Seen::Otherwise),
            Err(_) => return Sight::of(Seen::Unsettled),
        };
        let mut differs = not_as_written(wanted, &found);
        let seen = match () {
            () if differs.is_empty() => Seen::AsWanted,
            () if is_object(details, &found.object) => Seen::AsBefore,
            () => Seen::Otherwise,
        };
        // What no write can set tells nothing of ours, and is worth a word.
        differs.extend(unasked(details, &found));
        Sight { seen, user: Some(found.user), differs }
    }

    async fn look_for_creation(&self, draft: &Draft, id: Option<UserId>) -> Sight {
        match self.created_user(draft, id).await {
            Some(Some(user)) => {
                let mut differs = differing(draft, &user);
                let seen = if differs.is_empty() { Seen::AsWanted } else { Seen::Otherwise };
                differs.extend((draft.comments != user.comments).then_some("text of comments"));
                Sight { seen, user: Some(user), differs }
            }
            Some(None) => Sight::of(Seen::AsBefore),
            None => Sight::of(Seen::Unsettled),
        }
    }

    /// The user with the address; `Some(None)` if there provably is none.
    ///
    /// A lost create left no id, so it is looked for by address, at the cost of a list.
    async fn created_user(&self, draft: &Draft, id: Option<UserId>) -> Option<Option<User>> {
        let until = Deadline::after(READING).finishing();
        if let Some(id) = id {
            let found = self.directory.by_id(id, until).await.ok()?;
            // By id they may come encoded; ZIA's answer to the create was about this address.
            let (name, email) = (draft.name.clone(), draft.email.clone());
            return Some(found.map(|found| User { name, email, ..found.user }));
        }
        let email = draft.email.parse::<Email>().ok()?;
        match self.directory.look_up(&UserRef::Email(email), until).await.ok()? {
            Lookup::Found(found) => Some(Some(found.user)),
            Lookup::Absent { proven: true } => Some(None),
            Lookup::Several(_) | Lookup::Absent { .. } => None,
        }
    }

    /// Whether nobody has the address of the user any more.
    ///
    /// `likely` says that ZIA has answered already by id that there is no such user.
    pub(super) async fn is_gone_for_good(&self, details: &Details, until: Deadline, likely: bool) -> bool {
        let Some(Subject::User(user)) = &details.user else { return false };
        let Ok(email) = user.email.parse() else { return false };
        match self.directory.look_up(&UserRef::Email(email), until).await {
            Ok(Lookup::Absent { proven }) => proven || likely,
            _ => false,
        }
    }
}

/// Whether a digest is that of the user as captured.
fn is_object(details: &Details, object: &Digest) -> bool {
    details.object.as_deref() == Some(object.to_string().as_str())
}

/// The fields of a new user that are not as asked for.
pub(super) fn differing(draft: &Draft, user: &User) -> Vec<&'static str> {
    let fields = [
        ("name", draft.name != user.name),
        ("department", id_of(draft.department.as_ref()) != id_of(user.department.as_ref())),
        ("list of groups", !same_groups(&draft.groups, &user.groups)),
    ];
    names(fields)
}

/// The fields of a changed user that are not as they were written.
fn not_as_written(wanted: &Replacement, found: &ById) -> Vec<&'static str> {
    let user = &found.user;
    names([
        ("name", wanted.name != user.name),
        ("department", id_of(wanted.department.as_ref()) != id_of(user.department.as_ref())),
        ("list of groups", !same_groups(&wanted.groups, &user.groups)),
        ("comments", wanted.comments != user.comments),
        ("temporary authentication address", wanted.temp_auth_email != found.temp_auth_email),
    ])
}

/// Fields beside those that are written, which a change should leave alone.
fn unasked(details: &Details, found: &ById) -> Vec<&'static str> {
    let Some(Subject::User(before)) = &details.user else { return Vec::new() };
    let after = &found.user;
    let other = |e: &String| e.to_lowercase() != before.email.to_lowercase();
    names([
        ("address", found.plain_email.as_ref().is_some_and(other)),
        ("mark of being disabled", before.disabled != after.disabled),
        ("mark of being an administrator", before.admin_user != after.admin_user),
    ])
}

fn id_of(named: Option<&Named>) -> Option<i64> {
    named.map(|n| n.id)
}

fn names<const N: usize>(fields: [(&'static str, bool); N]) -> Vec<&'static str> {
    fields.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}
