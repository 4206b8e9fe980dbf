//! What became of the tenant's users, by whom.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;

use super::{Lifecycle, cursor, failure::Failure, find::check_limit};
use crate::{
    model::{Digest, UserId},
    store::{self, StoreError},
};

/// Changes that the resource shows.
const NEWEST: i64 = 100;

/// Which changes to list.
#[derive(Clone, Debug)]
pub struct ListUserChanges {
    /// The cursor of an earlier answer; without one, from the oldest change that is kept.
    pub since: Option<String>,
    /// 1 to 100 changes.
    pub limit: u32,
}

/// What became of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the names are the contract's
pub enum ChangeKind {
    Created,
    Updated,
    Deleted,
}

/// Whose doing a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // the names are the contract's
pub enum ChangedBy {
    ZiaMcp,
    Elsewhere,
}

/// One change of one user; its new values are read with `find_user`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserChange {
    /// What became of the user.
    pub kind: ChangeKind,
    /// ZIA id.
    #[schemars(with = "i64")]
    pub user_id: UserId,
    /// The names of the fields that changed, if they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    pub fields: Option<Vec<String>>,
    /// Whose doing it is.
    pub by: ChangedBy,
    /// When it was noticed.
    #[schemars(with = "String")]
    pub seen_at: Timestamp,
}

/// The changes found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserChanges {
    /// Oldest first.
    pub changes: Vec<UserChange>,
    /// Where to go on, now or any time later.
    pub cursor: String,
}

impl Lifecycle {
    /// Lists what became of users since an earlier answer.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bad limit, a foreign cursor or one that is too old;
    /// `STORE_UNAVAILABLE`.
    pub async fn list_user_changes(&self, list: ListUserChanges) -> Result<UserChanges, Failure> {
        check_limit(list.limit)?;
        let digest = self.of_changes();
        let key = &self.shared.cursor_key;
        let since = list.since.as_deref().map(|since| cursor::open(key, &digest, since)).transpose();
        let since =
            since.map_err(|_| Failure::argument("since", "the cursor is none of this tenant's changes"))?;
        let log = self.directory.user_changes(since, list.limit).await.map_err(too_old)?;
        let changes = log.changes.into_iter().map(UserChange::from).collect();
        Ok(UserChanges { changes, cursor: cursor::seal(key, &digest, log.next) })
    }

    /// The newest changes, oldest first.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn newest_user_changes(&self) -> Result<UserChanges, Failure> {
        let last = self.directory.index_state().await.change;
        let log = self.directory.newest_changes(last.saturating_sub(NEWEST)).await?;
        let changes = log.changes.into_iter().map(UserChange::from).collect();
        Ok(UserChanges {
            changes,
            cursor: cursor::seal(&self.shared.cursor_key, &self.of_changes(), log.next),
        })
    }

    /// What cursors of changes belong to.
    fn of_changes(&self) -> Digest {
        Digest::of_json(&json!(["list_user_changes", self.tenant()]))
    }

    /// Ticks whenever a user changed.
    pub fn user_changes(&self) -> watch::Receiver<i64> {
        self.directory.changed_users()
    }

    /// Fills the index of users, and keeps it filled, for as long as it is let.
    pub async fn keep_index(self) {
        self.directory.keep_filled().await;
    }
}

/// A number that the store does not know any more is a cursor that was kept for too long.
fn too_old(error: StoreError) -> Failure {
    match error {
        StoreError::NotFound => Failure {
            next: "call once more without since, and compare all users with find_user: changes in between are no \
                   longer kept"
                .into(),
            ..Failure::argument("since", "the cursor is older than the changes that are kept")
        },
        other => other.into(),
    }
}

impl From<store::UserChange> for UserChange {
    fn from(change: store::UserChange) -> Self {
        let kind = match change.kind {
            store::ChangeKind::Created => ChangeKind::Created,
            store::ChangeKind::Updated => ChangeKind::Updated,
            store::ChangeKind::Deleted => ChangeKind::Deleted,
        };
        Self {
            kind,
            user_id: change.user,
            fields: (!change.fields.is_empty()).then_some(change.fields),
            by: if change.ours { ChangedBy::ZiaMcp } else { ChangedBy::Elsewhere },
            seen_at: change.seen_at,
        }
    }
}
