//! The index: what is known of a tenant's users, groups and departments.
//!
//! One row per user, sealed like everything that a person could read, found by ZIA id or by the
//! keyed digest of the address. Beside the rows: how far a list that is being read has come, and
//! what changed. All of it comes from ZIA and can be read from there again.

mod changes;
mod filling;
mod names;
mod note;
mod rows;
mod sql;
mod text;

use jiff::{SignedDuration, Timestamp};
use sqlx::FromRow;

pub use changes::{ChangeKind, ChangeLog, UserChange};
pub use filling::{Filling, Turn};
pub use names::{NameKind, NameList};
pub use note::{By, IndexRow, Noted, Sighting};
pub use rows::Indexed;

use super::{
    Store, StoreError,
    engine::{Tx, bounded},
    time,
};

/// Rows that one transaction writes; some hundredths of a second, far below what a call may take.
const CHUNK: usize = 200;

/// Tenants that nobody asked about for so long lose their index.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What is known of a tenant's index as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexState {
    /// Users in it.
    pub users: u64,
    /// When the last list that was read to its end was begun.
    pub swept_at: Option<Timestamp>,
    /// Whether users came or went while that list was read, so that some may be missing.
    pub uneven: bool,
    /// The list that is being read.
    pub filling: Option<Filling>,
    /// Grows with every row that is written.
    pub seq: i64,
    /// Grows with every change that is noted.
    pub change: i64,
}

/// A tenant's row.
#[derive(Clone, Debug, FromRow)]
struct About {
    number: i64,
    users: i64,
    seq: i64,
    change: i64,
    pruned: i64,
    swept_at: Option<i64>,
    uneven: i64,
    filler: Option<String>,
    filler_until: i64,
    filling_at: Option<i64>,
    page: i64,
    first: i64,
    honest: i64,
    rows_read: i64,
    twice: i64,
}

/// The columns of [`About`].
macro_rules! about {
    () => {
        "number, users, seq, change, pruned, swept_at, uneven, filler, filler_until, filling_at, page, first, \
         honest, rows_read, twice"
    };
}

impl About {
    fn filling(&self) -> Result<Option<Filling>, StoreError> {
        let Some(began) = self.filling_at else { return Ok(None) };
        let count = |n: i64| u64::try_from(n).map_err(|_| StoreError::Corrupt);
        Ok(Some(Filling {
            began: time(began)?,
            page: u32::try_from(self.page).map_err(|_| StoreError::Corrupt)?,
            first: count(self.first)?,
            honest: count(self.honest)?,
            rows: count(self.rows_read)?,
            twice: count(self.twice)?,
        }))
    }

    fn state(&self) -> Result<IndexState, StoreError> {
        Ok(IndexState {
            users: u64::try_from(self.users).map_err(|_| StoreError::Corrupt)?,
            swept_at: self.swept_at.map(time).transpose()?,
            uneven: self.uneven != 0,
            filling: self.filling()?,
            seq: self.seq,
            change: self.change,
        })
    }
}

impl Store {
    /// What is known of a tenant's index as a whole.
    ///
    /// # Errors
    /// `Corrupt`; `Unavailable`.
    pub async fn index_state(&self, tenant: &str) -> Result<IndexState, StoreError> {
        self.about(tenant).await?.map_or(Ok(IndexState::default()), |about| about.state())
    }

    async fn about(&self, tenant: &str) -> Result<Option<About>, StoreError> {
        const SQL: &str = concat!("SELECT ", about!(), " FROM index_tenants WHERE tenant = $1");
        let query = sqlx::query_as(SQL).bind(tenant);
        bounded(async { Ok(query.fetch_optional(self.0.engine.reader()).await?) }).await
    }

    /// The tenant's row, made if it is missing; nobody else writes the tenant's index until the end
    /// of the transaction, so that numbers are given in the order in which they become visible.
    async fn touched(&self, tx: &mut Tx, tenant: &str) -> Result<About, StoreError> {
        const SQL: &str = concat!(
            "INSERT INTO index_tenants (number, tenant, touched_at) \
             VALUES ((SELECT COALESCE(MAX(number), 0) + 1 FROM index_tenants), $1, $2) \
             ON CONFLICT (tenant) DO UPDATE SET touched_at = excluded.touched_at RETURNING ",
            about!()
        );
        let query = sqlx::query_as(SQL).bind(tenant).bind(self.now().as_microsecond());
        Ok(query.fetch_one(&mut **tx).await?)
    }

    /// Drops the indexes of tenants that nobody asked about for a month; true while some are left.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn drop_forgotten_indexes(&self) -> Result<bool, StoreError> {
        let since = self.now().saturating_sub(FORGOTTEN_AFTER).unwrap_or(Timestamp::MIN);
        bounded(async {
            let mut tx = self.begin().await?;
            let number: Option<i64> =
                sqlx::query_scalar("SELECT number FROM index_tenants WHERE touched_at < $1 LIMIT 1")
                    .bind(since.as_microsecond())
                    .fetch_optional(&mut *tx)
                    .await?;
            let Some(number) = number else { return Ok(false) };
            drop_some(&mut tx, number).await?;
            self.0.engine.commit(tx).await?;
            Ok(true)
        })
        .await
    }
}

/// Drops some rows of a tenant's index, and in the end the tenant itself.
async fn drop_some(tx: &mut Tx, number: i64) -> Result<(), StoreError> {
    let most = i64::try_from(CHUNK).unwrap_or(i64::MAX);
    let users = sqlx::query(
        "DELETE FROM index_users WHERE place IN (SELECT place FROM index_users WHERE tenant = $1 LIMIT $2)",
    )
    .bind(number)
    .bind(most)
    .execute(&mut **tx)
    .await?;
    if users.rows_affected() > 0 {
        return Ok(());
    }
    for sql in [
        "DELETE FROM index_names WHERE tenant = $1",
        "DELETE FROM index_changes WHERE tenant = $1",
        "DELETE FROM index_tenants WHERE number = $1",
    ] {
        sqlx::query(sql).bind(number).execute(&mut **tx).await?;
    }
    Ok(())
}
