//! Purging captures: their data keys are destroyed, and with them what they hold (T27).

use std::collections::BTreeMap;

use jiff::Timestamp;
use sqlx::FromRow;

use super::{
    AuditEntry, Store, StoreError,
    audit::Subject,
    engine::{Tx, bounded},
};
use crate::model::{Actor, CaptureId};

/// Captures that one transaction purges.
const BATCH: usize = 200;

/// Which captures a purge is about.
#[derive(Clone, Copy, Debug)]
pub enum Purge<'a> {
    /// The one of this id.
    Id(&'a CaptureId),
    /// Those taken before.
    TakenBefore(Timestamp),
    /// Those of the user with this address, case aside, in every tenant.
    OfEmail(&'a str),
}

/// A capture that was not purged yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purgeable {
    /// Its id.
    pub id: CaptureId,
    /// Whether its operation has ended; until then it is kept.
    pub ended: bool,
}

/// What a purge did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purged {
    /// Captures whose keys were destroyed now.
    pub captures: u64,
    /// Whether the database's log was emptied; it holds the old bytes until then.
    pub log_cleared: bool,
}

/// The columns of [`Row`].
macro_rules! columns {
    () => {
        "SELECT c.id, o.ended FROM captures c JOIN operations o ON o.id = c.operation \
         WHERE c.purged_at IS NULL AND "
    };
}

#[derive(FromRow)]
struct Row {
    id: String,
    ended: i64,
}

impl Store {
    /// Captures that were not purged yet, oldest first.
    ///
    /// # Errors
    /// `Corrupt`; `Unavailable`.
    pub async fn purgeable(&self, which: Purge<'_>) -> Result<Vec<Purgeable>, StoreError> {
        const ID: &str = concat!(columns!(), "c.id = $1");
        const TAKEN_BEFORE: &str = concat!(columns!(), "c.taken_at < $1 ORDER BY c.taken_at");
        const OF_EMAIL: &str = concat!(columns!(), "c.email = $1 ORDER BY c.taken_at");
        let query = match which {
            Purge::Id(id) => sqlx::query_as(ID).bind(id.as_str()),
            Purge::TakenBefore(at) => sqlx::query_as(TAKEN_BEFORE).bind(at.as_microsecond()),
            Purge::OfEmail(email) => {
                sqlx::query_as(OF_EMAIL).bind(self.email_digest(email).as_bytes().to_vec())
            }
        };
        bounded(async {
            let rows: Vec<Row> = query.fetch_all(self.0.engine.reader()).await?;
            rows.into_iter().map(Purgeable::try_from).collect()
        })
        .await
    }

    /// Destroys the keys of captures; those of operations that have not ended are left.
    ///
    /// Rows stay, so that what names a capture can be explained. Each 200 of them are one
    /// transaction with an audit record for each tenant; `why` goes into it. With nothing left to
    /// purge, the database's log is still emptied.
    ///
    /// # Errors
    /// `AuditUnavailable`; `Unavailable`; some may have been purged then.
    pub async fn purge(
        &self,
        captures: &[CaptureId],
        why: &str,
        actor: Option<&Actor>,
    ) -> Result<Purged, StoreError> {
        let mut purged = 0;
        for batch in captures.chunks(BATCH) {
            purged += bounded(self.purge_batch(batch, why, actor)).await?;
        }
        let log_cleared = bounded(self.0.engine.clear_log()).await.unwrap_or(false);
        Ok(Purged { captures: purged, log_cleared })
    }

    async fn purge_batch(
        &self,
        captures: &[CaptureId],
        why: &str,
        actor: Option<&Actor>,
    ) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let mut tenants: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for id in captures {
            if let Some(tenant) = self.shred(&mut tx, id).await? {
                tenants.entry(tenant).or_default().push(id.as_str());
            }
        }
        let mut purged = 0;
        for (tenant, ids) in tenants {
            purged += ids.len() as u64;
            let entry = AuditEntry::new("captures.purged").with("captures", ids).with("why", why);
            self.append(&mut tx, Subject { tenant: &tenant, operation: None, actor }, entry).await?;
        }
        self.0.engine.commit(tx).await?;
        Ok(purged)
    }

    /// Empties a capture; its tenant, or `None` if it is purged, unknown or still needed.
    async fn shred(&self, tx: &mut Tx, id: &CaptureId) -> Result<Option<String>, StoreError> {
        let tenant = sqlx::query_scalar(
            "UPDATE captures SET data_key = $1, body = $1, email = $1, size = 0, purged_at = $2 \
             WHERE id = $3 AND purged_at IS NULL \
             AND operation IN (SELECT id FROM operations WHERE ended = 1) RETURNING tenant",
        )
        .bind(Vec::new())
        .bind(self.now().as_microsecond())
        .bind(id.as_str())
        .fetch_optional(&mut **tx)
        .await?;
        Ok(tenant)
    }
}

impl TryFrom<Row> for Purgeable {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let id = row.id.parse().map_err(|()| StoreError::Corrupt)?;
        Ok(Self { id, ended: row.ended != 0 })
    }
}
