//! How far the reading of a tenant's whole list has come, and who does it.

use jiff::{SignedDuration, Timestamp};

use super::About;
use crate::store::{
    Store, StoreError,
    engine::{Tx, bounded},
};

/// How long the process that fills counts as doing so without a word.
const TURN: SignedDuration = SignedDuration::from_mins(2);

/// A list of users that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filling {
    /// When it was begun.
    pub began: Timestamp,
    /// The page to be read next, from 1.
    pub page: u32,
    /// Rows of its first page, 0 before it was read.
    pub first: u64,
    /// Length up to which a short page is known to be the last one.
    pub honest: u64,
    /// Rows so far.
    pub rows: u64,
    /// Rows of these that came more than once.
    pub twice: u64,
}

impl Filling {
    /// A list of which nothing was read yet.
    pub fn new(began: Timestamp, honest: u64) -> Self {
        Self { began, page: 1, first: 0, honest, rows: 0, twice: 0 }
    }
}

/// Whether this process fills a tenant's index now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It does.
    Ours,
    /// Another process does.
    Elsewhere,
}

impl Store {
    /// Takes or keeps the turn of filling a tenant's index, which one process has at a time.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn take_filling(&self, tenant: &str) -> Result<Turn, StoreError> {
        let Some(me) = self.presence() else { return Ok(Turn::Elsewhere) };
        bounded(async {
            let mut tx = self.begin().await?;
            let about = self.touched(&mut tx, tenant).await?;
            self.look_around_in(&mut tx).await?;
            let now = self.now();
            let alive = |name: &String| about.filler_until > now.as_microsecond() && self.is_present(name);
            if about.filler.as_ref().is_some_and(|name| *name != me && alive(name)) {
                return Ok(Turn::Elsewhere);
            }
            let until = now.saturating_add(TURN).unwrap_or(Timestamp::MAX);
            sqlx::query("UPDATE index_tenants SET filler = $1, filler_until = $2 WHERE number = $3")
                .bind(me)
                .bind(until.as_microsecond())
                .bind(about.number)
                .execute(&mut *tx)
                .await?;
            self.0.engine.commit(tx).await?;
            Ok(Turn::Ours)
        })
        .await
    }

    /// Remembers how far the list that is being read has come.
    ///
    /// # Errors
    /// `Conflict` if another process fills meanwhile; `Unavailable`.
    pub async fn save_filling(&self, tenant: &str, filling: &Filling) -> Result<(), StoreError> {
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        bounded(async {
            let mut tx = self.begin().await?;
            let about = self.touched(&mut tx, tenant).await?;
            self.still_fills(&about)?;
            sqlx::query(
                "UPDATE index_tenants SET filling_at = $1, page = $2, first = $3, honest = $4, rows_read = $5, \
                 twice = $6 WHERE number = $7",
            )
            .bind(filling.began.as_microsecond())
            .bind(i64::from(filling.page))
            .bind(count(filling.first))
            .bind(count(filling.honest))
            .bind(count(filling.rows))
            .bind(count(filling.twice))
            .bind(about.number)
            .execute(&mut *tx)
            .await?;
            self.0.engine.commit(tx).await
        })
        .await
    }

    /// Notes that a whole list was read that was begun at a time; with `filled`, the filler's own.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn complete_sweep(
        &self,
        tenant: &str,
        began: Timestamp,
        filled: Option<&Filling>,
    ) -> Result<(), StoreError> {
        bounded(async {
            let mut tx = self.begin().await?;
            let about = self.touched(&mut tx, tenant).await?;
            if let Some(filling) = filled {
                self.still_fills(&about)?;
                end_filling(&mut tx, &about, filling).await?;
            }
            let began = began.as_microsecond();
            if about.swept_at.is_none_or(|at| at < began) {
                let uneven = filled.is_some_and(|filling| filling.twice > 0);
                sqlx::query("UPDATE index_tenants SET swept_at = $1, uneven = $2 WHERE number = $3")
                    .bind(began)
                    .bind(i64::from(uneven))
                    .bind(about.number)
                    .execute(&mut *tx)
                    .await?;
            }
            self.0.engine.commit(tx).await
        })
        .await
    }

    /// The length up to which a short page is known to be the last one, from earlier lists.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn honest_pages(&self, tenant: &str) -> Result<u64, StoreError> {
        let about = self.about(tenant).await?;
        Ok(about.map_or(0, |about| u64::try_from(about.honest).unwrap_or(0)))
    }

    fn still_fills(&self, about: &About) -> Result<(), StoreError> {
        let ours = about.filler.is_some() && about.filler == self.presence();
        if ours { Ok(()) } else { Err(StoreError::Conflict) }
    }
}

async fn end_filling(tx: &mut Tx, about: &About, filling: &Filling) -> Result<(), StoreError> {
    sqlx::query("UPDATE index_tenants SET filling_at = NULL, page = 0, honest = $1 WHERE number = $2")
        .bind(i64::try_from(filling.honest).unwrap_or(i64::MAX))
        .bind(about.number)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
