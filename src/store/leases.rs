//! Who carries operations out, and how long a process counts as alive.
//!
//! A process that ended is known by its presence, at once; one on another host may only be cut off,
//! and keeps what it is just sending until its lease ends. One that only stands still is known by
//! its lease: each that carries something out renews it, and an operation whose owner let it lapse
//! changes hands (K5, F32). The epoch of an operation then grows, so that a process that wakes up
//! again can record nothing more.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::SignedDuration;
use serde_json::json;
use tokio::time::Instant;

use super::{
    AuditEntry, Store, StoreError,
    audit::Subject,
    engine::{Tx, bounded},
    presence::Standing,
};
use crate::model::{Operation, OperationId};

/// How long a process counts as alive without a word.
///
/// Longer than a write may take (75 s), since nothing is sent with less than that left (F32).
pub const LEASE: Duration = Duration::from_secs(120);

/// How often a busy process renews its lease.
pub const RENEW_EVERY: Duration = Duration::from_secs(10);

/// Operations that change hands in one transaction.
const BATCH: usize = 500;

/// Until when this process's lease holds, by a clock that no one can set; plain, since no await
/// happens under it.
#[derive(Debug, Default)]
pub(super) struct Lease(Mutex<Option<Instant>>);

impl Lease {
    /// Whether the lease still holds for so long.
    pub(super) fn holds_for(&self, time: Duration) -> bool {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() + time <= until)
    }

    fn extend(&self, until: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }
}

/// A lease as it will be once its transaction is committed.
#[must_use]
pub(super) struct Renewed {
    pub(super) owner: Option<String>,
    until: Instant,
}

impl Store {
    /// Renews this process's lease, if that is due.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn renew_lease(&self) -> Result<(), StoreError> {
        if self.0.lease.holds_for(LEASE.saturating_sub(RENEW_EVERY)) {
            return Ok(());
        }
        bounded(async {
            let mut tx = self.begin().await?;
            let renewed = self.renew(&mut tx).await?;
            self.0.engine.commit(tx).await?;
            self.renewed(&renewed);
            Ok(())
        })
        .await
    }

    /// The names of the processes that are alive: present, and with a lease that holds.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn living(&self) -> Result<HashSet<String>, StoreError> {
        let query = sqlx::query_scalar::<_, String>("SELECT name FROM workers WHERE lease_until > $1")
            .bind(self.now().as_microsecond());
        self.look_around().await?;
        bounded(async {
            let leased = query.fetch_all(self.0.engine.reader()).await?;
            Ok(leased.into_iter().filter(|name| self.is_present(name)).collect())
        })
        .await
    }

    /// Takes operations on that nobody carries on any more; gives those that are now this process's.
    ///
    /// One that changed, that ended or whose owner is alive is left out. The caller's own are
    /// taken, too: for who lost track of one.
    ///
    /// # Errors
    /// `AuditUnavailable`; `Unavailable`. Then some may have been taken.
    pub async fn claim(&self, left: &[Operation]) -> Result<Vec<Operation>, StoreError> {
        let mut taken = Vec::with_capacity(left.len());
        for batch in left.chunks(BATCH) {
            taken.extend(bounded(self.claim_batch(batch)).await?);
        }
        Ok(taken)
    }

    async fn claim_batch(&self, left: &[Operation]) -> Result<Vec<Operation>, StoreError> {
        let mut tx = self.begin().await?;
        let renewed = self.renew(&mut tx).await?;
        self.look_around_in(&mut tx).await?;
        let mut taken = Vec::with_capacity(left.len());
        for operation in left {
            if self.claim_one(&mut tx, operation, renewed.owner.as_deref()).await? {
                let owner = renewed.owner.clone();
                taken.push(Operation { owner, epoch: operation.epoch + 1, ..operation.clone() });
            }
        }
        self.record_claims(&mut tx, &taken).await?;
        self.0.engine.commit(tx).await?;
        self.renewed(&renewed);
        Ok(taken)
    }

    async fn claim_one(
        &self,
        tx: &mut Tx,
        operation: &Operation,
        me: Option<&str>,
    ) -> Result<bool, StoreError> {
        let standing = operation.owner.as_ref().map_or(Standing::Gone, |owner| self.standing(owner));
        let gone = match standing {
            Standing::Present => 0_i64,
            Standing::Gone => 1,
            Standing::Away => 2,
        };
        let claimed = sqlx::query(
            "UPDATE operations SET lease_owner = $1, epoch = epoch + 1 \
             WHERE id = $2 AND version = $3 AND epoch = $4 AND ended = 0 \
             AND ($5 = 1 OR lease_owner = $1 OR ($5 = 2 AND NOT EXISTS \
             (SELECT 1 FROM sends s WHERE s.operation = operations.id AND s.outcome IS NULL)) OR NOT EXISTS \
             (SELECT 1 FROM workers w WHERE w.name = lease_owner AND w.lease_until > $6))",
        )
        .bind(me)
        .bind(operation.id.as_str())
        .bind(operation.version)
        .bind(operation.epoch)
        .bind(gone)
        .bind(self.now().as_microsecond())
        .execute(&mut **tx)
        .await?;
        Ok(claimed.rows_affected() == 1)
    }

    /// One record for all that changed hands together in a tenant.
    async fn record_claims(&self, tx: &mut Tx, taken: &[Operation]) -> Result<(), StoreError> {
        let tenants: HashSet<&str> = taken.iter().map(|o| o.tenant.as_str()).collect();
        for tenant in tenants {
            let ids: Vec<&OperationId> = taken.iter().filter(|o| o.tenant == tenant).map(|o| &o.id).collect();
            let entry = AuditEntry::new("operation.claimed").with("operations", json!(ids));
            let subject = Subject { tenant, operation: None, actor: None };
            self.append(tx, subject, entry).await?;
        }
        Ok(())
    }

    /// Renews the lease inside a transaction; [`Store::renewed`] makes it count.
    pub(super) async fn renew(&self, tx: &mut Tx) -> Result<Renewed, StoreError> {
        let owner = self.name_in(tx).await?;
        // Taken before the record, so that ours never outlasts what the others read.
        let until = Instant::now() + LEASE;
        let lease = SignedDuration::try_from(LEASE).unwrap_or(SignedDuration::ZERO);
        let lease_until = self.now().saturating_add(lease).unwrap_or(jiff::Timestamp::MAX);
        if let Some(name) = &owner {
            sqlx::query(
                "INSERT INTO workers (name, lease_until) VALUES ($1, $2) \
                 ON CONFLICT (name) DO UPDATE SET lease_until = excluded.lease_until",
            )
            .bind(name)
            .bind(lease_until.as_microsecond())
            .execute(&mut **tx)
            .await?;
        }
        Ok(Renewed { owner, until })
    }

    /// Counts a lease whose transaction is committed.
    pub(super) fn renewed(&self, renewed: &Renewed) {
        if renewed.owner.is_some() {
            self.0.lease.extend(renewed.until);
        }
    }
}
