//! What the store knows of the tenant's users.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    Directory, fields,
    users::{ById, PAGE, Seen, is_encoded, to_user},
};
use crate::{
    model::{Email, User, UserId, UserRef},
    store::{By, ChangeKind, ChangeLog, IndexRow, IndexState, Indexed, Sighting, StoreError},
    zia::{Raw, Whose, ZiaUser},
};

/// How the index is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexSettings {
    /// Whether it is filled in the background.
    pub enabled: bool,
    /// How long after a whole list was begun the next one is.
    pub sweep: Duration,
    /// How long changes are kept, in days.
    pub changes_days: u32,
    /// Between two lists of the background, so that callers' own lists get their turn.
    pub pause: Duration,
    /// How often the background looks whether something is due.
    pub tick: Duration,
}

impl Default for IndexSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            sweep: Duration::from_hours(24),
            changes_days: 90,
            pause: Duration::from_secs(12),
            tick: Duration::from_secs(30),
        }
    }
}

impl IndexSettings {
    /// How long a whole list counts as one: for two sweeps, as one may fail.
    fn counts_for(&self) -> SignedDuration {
        SignedDuration::try_from(self.sweep * 2).unwrap_or(SignedDuration::MAX)
    }
}

/// One user, as last seen; ZIA is not asked.
#[derive(Debug)]
pub struct Known {
    /// The user and its row.
    pub seen: Seen,
    /// When that was read from ZIA.
    pub seen_at: Timestamp,
    /// Whether the row is ZIA's own list row, and not put together from what our write was answered.
    pub listed: bool,
}

/// The users that an address or id names, as last seen.
#[derive(Debug)]
pub struct Remembered {
    /// The users; none if there provably was none.
    pub users: Vec<User>,
    /// When that was read from ZIA.
    pub as_of: Timestamp,
}

impl Directory {
    /// The one user with this address or id, as last seen, whatever the age.
    ///
    /// Nothing if several have the address. Whoever writes reads the user live by id first.
    pub async fn known(&self, who: &UserRef) -> Option<Known> {
        let mut rows = self.rows_of(who).await?;
        let only = rows.pop().filter(|_| rows.is_empty())?;
        let (seen_at, listed) = (only.seen_at, only.listed);
        Some(Known { seen: Seen::from(fields::read(&only.row)?), seen_at, listed })
    }

    /// As of when it is known that nobody has this address, from the last list read to its end.
    pub async fn known_absent(&self, email: &Email) -> Option<Timestamp> {
        let since = self.complete_since().await?;
        let rows = self.rows_of(&UserRef::Email(email.clone())).await?;
        (rows.is_empty() && self.all_have_addresses().await).then_some(since)
    }

    /// Whether every user in the index has an address: one without any may have that which is missed.
    async fn all_have_addresses(&self) -> bool {
        let without = self.store.indexed_without_email(self.zia.tenant()).await.inspect_err(unread);
        without.is_ok_and(|some| !some)
    }

    /// What is known of an address or id: users as last seen, or that there was none.
    ///
    /// # Errors
    /// Why a database server does not answer: without it ZIA is not asked either.
    pub async fn remembered(&self, who: &UserRef) -> Result<Option<Remembered>, StoreError> {
        match self.try_rows_of(who).await {
            Ok(rows) => Ok(self.as_remembered(who, rows).await),
            Err(error @ StoreError::Unavailable(_)) if self.store.is_remote() => Err(error),
            Err(_) => Ok(None),
        }
    }

    async fn as_remembered(&self, who: &UserRef, rows: Vec<Indexed>) -> Option<Remembered> {
        if let Some(as_of) = rows.iter().map(|row| row.seen_at).min() {
            return Some(Remembered { users: rows.iter().filter_map(user_of).collect(), as_of });
        }
        // Looked for once more after it is known as of when, so that absence is not older than it says.
        let as_of = self.complete_since().await?;
        let rows = self.rows_of(who).await?;
        if rows.is_empty() && matches!(who, UserRef::Email(_)) && !self.all_have_addresses().await {
            return None;
        }
        Some(Remembered { users: rows.iter().filter_map(user_of).collect(), as_of })
    }

    /// How complete the index of users is.
    pub async fn index_state(&self) -> IndexState {
        let state = self.store.index_state(self.zia.tenant()).await;
        state.inspect_err(unread).unwrap_or_default()
    }

    /// Pages of ZIA's whole list, as far as the index knows; at least one.
    pub async fn pages(&self) -> u32 {
        let users = self.index_state().await.users;
        u32::try_from(users.div_ceil(PAGE.into())).unwrap_or(u32::MAX).max(1)
    }

    /// When the last list that was read to its end was begun, unless that is too long ago.
    pub async fn complete_since(&self) -> Option<Timestamp> {
        let listed = *self.shared.listed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let swept = self.index_state().await.swept_at?.max(listed.unwrap_or(Timestamp::MIN));
        let oldest = self.clock.now().saturating_sub(self.settings.counts_for()).unwrap_or(Timestamp::MIN);
        (swept >= oldest).then_some(swept)
    }

    /// Takes note of a user that we created, once that is verified.
    pub async fn learn(&self, user: User) {
        self.learn_as(&user, By::Us(ChangeKind::Created)).await;
    }

    /// Takes note of a user that we changed, once that is verified.
    pub async fn learn_change(&self, user: User) {
        self.learn_as(&user, By::Us(ChangeKind::Updated)).await;
    }

    /// Forgets a user that we deleted, once that is verified.
    pub async fn forget(&self, id: UserId) {
        self.drop_row(id, By::Us(ChangeKind::Deleted)).await;
    }

    /// Forgets a user that somebody else deleted.
    pub async fn gone(&self, id: UserId) {
        self.drop_row(id, By::Elsewhere).await;
    }

    /// What changed, by whom, after a number or from the oldest one kept.
    ///
    /// # Errors
    /// `NotFound` if there were changes after that number that are kept no longer; `Unavailable`.
    pub async fn user_changes(&self, after: Option<i64>, most: u32) -> Result<ChangeLog, StoreError> {
        self.store.user_changes(self.zia.tenant(), after, most).await
    }

    /// What changed after a number, or as much of that as is kept.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn newest_changes(&self, after: i64) -> Result<ChangeLog, StoreError> {
        match self.user_changes(Some(after), u32::MAX).await {
            Err(StoreError::NotFound) => self.user_changes(None, u32::MAX).await,
            other => other,
        }
    }

    /// Ticks whenever a user changed.
    pub fn changed_users(&self) -> tokio::sync::watch::Receiver<i64> {
        self.shared.changed.subscribe()
    }

    /// Takes note of rows of ZIA's list; with `all`, also of those that are as they were.
    pub(super) async fn note(
        &self,
        rows: impl Iterator<Item = IndexRow<'_>>,
        began: Timestamp,
        all: bool,
    ) -> Result<(), StoreError> {
        let rows: Vec<_> = rows.collect();
        self.note_rows(&rows, began, By::Elsewhere, all).await
    }

    /// Takes note of rows.
    async fn note_rows(
        &self,
        rows: &[IndexRow<'_>],
        began: Timestamp,
        by: By,
        all: bool,
    ) -> Result<(), StoreError> {
        let sighting =
            Sighting { tenant: self.zia.tenant(), rows, began, by, all, differs: fields::differing };
        // Boxed, as all that leads here nests deep otherwise.
        let noted = Box::pin(self.store.note_users(&sighting)).await?;
        if noted.changes > 0 {
            self.tell_of_changes().await;
        }
        Ok(())
    }

    /// Takes note of a user whom a look-up found.
    pub async fn take_note(&self, seen: &Seen, began: Timestamp) {
        let user = &seen.user;
        let row = IndexRow { id: user.id, email: &user.email, row: seen.row.get(), listed: true };
        if let Err(error) = self.note_rows(&[row], began, By::Elsewhere, false).await {
            unread(&error);
        }
    }

    /// Takes note of a user read by id, which shows less than the list.
    pub(super) async fn note_by_id(&self, found: &ById, began: Timestamp) {
        let Some(known) = self.known(&UserRef::Id(found.user.id)).await else { return };
        let before = known.seen.user;
        let plain = |now: &str, before: String| {
            if is_encoded(now) || now.is_empty() { before } else { now.to_owned() }
        };
        let email = found.plain_email.clone().unwrap_or(before.email);
        let user = User {
            name: plain(&found.user.name, before.name),
            editable: before.editable,
            email,
            ..found.user.clone()
        };
        let row = fields::written(&user);
        let row = IndexRow { id: user.id, email: &user.email, row: &row, listed: false };
        if let Err(error) = self.note_rows(&[row], began, By::Elsewhere, true).await {
            unread(&error);
        }
    }

    /// Lets whoever follows changes know how many there are now.
    pub(super) async fn tell_of_changes(&self) {
        let change = self.index_state().await.change;
        self.shared.changed.send_if_modified(|last| {
            let news = *last != change;
            *last = change;
            news
        });
    }

    async fn rows_of(&self, who: &UserRef) -> Option<Vec<Indexed>> {
        self.try_rows_of(who).await.ok()
    }

    async fn try_rows_of(&self, who: &UserRef) -> Result<Vec<Indexed>, StoreError> {
        let tenant = self.zia.tenant();
        let rows = match who {
            UserRef::Id(id) => self.store.indexed(tenant, *id).await.map(|row| row.into_iter().collect()),
            UserRef::Email(email) => self.store.indexed_by_email(tenant, email).await,
        };
        let mut rows: Vec<_> = rows.inspect_err(unread)?;
        if let UserRef::Email(email) = who {
            // What is kept of a digest could belong to another address, too.
            rows.retain(|row| user_of(row).is_some_and(|user| email.is(&user.email)));
        }
        Ok(rows)
    }

    async fn learn_as(&self, user: &User, by: By) {
        let row = fields::written(user);
        let row = IndexRow { id: user.id, email: &user.email, row: &row, listed: false };
        if let Err(error) = self.note_rows(&[row], self.clock.now(), by, true).await {
            unread(&error);
        }
    }

    async fn drop_row(&self, id: UserId, by: By) {
        match Box::pin(self.store.forget_indexed(self.zia.tenant(), id, by)).await {
            Ok(true) => self.tell_of_changes().await,
            Ok(false) => {}
            Err(error) => unread(&error),
        }
    }
}

/// A row of ZIA's list, to be noted.
pub(super) fn listed(row: &Raw<Whose>) -> IndexRow<'_> {
    let Whose { id, email } = &row.value;
    IndexRow { id: *id, email: email.as_deref().unwrap_or_default(), row: row.raw.get(), listed: true }
}

/// The same, of a user who was read in full.
pub(super) fn listed_user(row: &Raw<ZiaUser>) -> IndexRow<'_> {
    let email = row.value.email.as_deref().unwrap_or_default();
    IndexRow { id: row.value.id, email, row: row.raw.get(), listed: true }
}

/// The user of a kept row.
pub(super) fn user_of(row: &Indexed) -> Option<User> {
    fields::read(&row.row).map(|raw| to_user(&raw.value))
}

/// The index is there to spare calls: without it, ZIA is asked.
pub(super) fn unread(error: &StoreError) {
    tracing::debug!(%error, "the index of users cannot be used");
}
