//! What became of a tenant's users, by whom.

use jiff::Timestamp;
use sqlx::FromRow;

use super::{About, sql};
use crate::{
    model::UserId,
    store::{
        Store, StoreError,
        engine::{Tx, bounded},
        time,
    },
};

/// What became of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Created,
    /// It is not as it was.
    Updated,
    /// It is gone.
    Deleted,
}

impl ChangeKind {
    pub(super) fn code(self) -> i64 {
        match self {
            Self::Created => 1,
            Self::Updated => 2,
            Self::Deleted => 3,
        }
    }

    fn of(code: i64) -> Result<Self, StoreError> {
        let all = [Self::Created, Self::Updated, Self::Deleted];
        all.into_iter().find(|kind| kind.code() == code).ok_or(StoreError::Corrupt)
    }
}

/// One change of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserChange {
    /// Its number, from 1.
    pub number: i64,
    /// What it was.
    pub kind: ChangeKind,
    /// The user.
    pub user: UserId,
    /// The names of the fields that changed, if they are known.
    pub fields: Vec<String>,
    /// Whether this server did it.
    pub ours: bool,
    /// When it was noticed.
    pub seen_at: Timestamp,
}

/// Changes after a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeLog {
    /// The changes, oldest first.
    pub changes: Vec<UserChange>,
    /// The number to go on from.
    pub next: i64,
}

/// A change to be noted.
pub(super) struct NewChange {
    pub(super) id: UserId,
    pub(super) kind: ChangeKind,
    /// Names of fields, with commas between.
    pub(super) fields: String,
    pub(super) ours: bool,
}

#[derive(FromRow)]
struct Row {
    number: i64,
    user_id: i64,
    kind: i64,
    fields: String,
    ours: i64,
    seen_at: i64,
}

impl Row {
    fn read(self) -> Result<UserChange, StoreError> {
        Ok(UserChange {
            number: self.number,
            kind: ChangeKind::of(self.kind)?,
            user: UserId::new(self.user_id).ok_or(StoreError::Corrupt)?,
            fields: self.fields.split(',').filter(|f| !f.is_empty()).map(str::to_owned).collect(),
            ours: self.ours != 0,
            seen_at: time(self.seen_at)?,
        })
    }
}

impl Store {
    /// Changes after a number, or from the oldest one that is kept; at most `most`.
    ///
    /// # Errors
    /// `NotFound` if there were changes after that number that are kept no longer, or if the number
    /// was never given; `Corrupt`; `Unavailable`.
    pub async fn user_changes(
        &self,
        tenant: &str,
        after: Option<i64>,
        most: u32,
    ) -> Result<ChangeLog, StoreError> {
        let about = self.about(tenant).await?;
        let (pruned, last) = about.as_ref().map_or((0, 0), |about| (about.pruned, about.change));
        let after = after.unwrap_or(pruned);
        if after < pruned || after > last {
            return Err(StoreError::NotFound);
        }
        let Some(about) = about else { return Ok(ChangeLog { changes: Vec::new(), next: 0 }) };
        let query = sqlx::query_as(
            "SELECT number, user_id, kind, fields, ours, seen_at FROM index_changes \
             WHERE tenant = $1 AND number > $2 ORDER BY number LIMIT $3",
        )
        .bind(about.number)
        .bind(after)
        .bind(i64::from(most));
        bounded(async {
            let rows: Vec<Row> = query.fetch_all(self.0.engine.reader()).await?;
            let changes = rows.into_iter().map(Row::read).collect::<Result<Vec<_>, _>>()?;
            let next = changes.last().map_or(after, |change| change.number);
            Ok(ChangeLog { changes, next })
        })
        .await
    }

    /// Forgets changes that were noticed before a time.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn prune_changes(&self, tenant: &str, before: Timestamp) -> Result<(), StoreError> {
        bounded(async {
            let mut tx = self.begin().await?;
            let about = self.touched(&mut tx, tenant).await?;
            let last: Option<i64> = sqlx::query_scalar(
                "SELECT MAX(number) FROM index_changes WHERE tenant = $1 AND seen_at < $2",
            )
            .bind(about.number)
            .bind(before.as_microsecond())
            .fetch_one(&mut *tx)
            .await?;
            let Some(last) = last else { return Ok(()) };
            sqlx::query("DELETE FROM index_changes WHERE tenant = $1 AND number <= $2")
                .bind(about.number)
                .bind(last)
                .execute(&mut *tx)
                .await?;
            sqlx::query("UPDATE index_tenants SET pruned = $1 WHERE number = $2")
                .bind(last)
                .bind(about.number)
                .execute(&mut *tx)
                .await?;
            self.0.engine.commit(tx).await
        })
        .await
    }

    pub(super) async fn log_changes(
        &self,
        tx: &mut Tx,
        about: &About,
        changes: &[NewChange],
        seen_at: Timestamp,
    ) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let head = "INSERT INTO index_changes (tenant, number, user_id, kind, fields, ours, seen_at)";
        let mut query = sqlx::query(sql::rows(head, 7, changes.len(), "")).persistent(changes.len() == 1);
        for (number, change) in (about.change + 1..).zip(changes) {
            query = query
                .bind(about.number)
                .bind(number)
                .bind(change.id.get())
                .bind(change.kind.code())
                .bind(change.fields.clone())
                .bind(i64::from(change.ours))
                .bind(seen_at.as_microsecond());
        }
        query.execute(&mut **tx).await?;
        sqlx::query("UPDATE index_tenants SET change = change + $1 WHERE number = $2")
            .bind(i64::try_from(changes.len()).unwrap_or_default())
            .bind(about.number)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}
