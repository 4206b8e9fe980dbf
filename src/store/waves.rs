//! Waves: one activation for all writes that wait together, sent by one process at a time.
//!
//! A process opens a wave before it gathers writes, so that the others on the store leave the
//! activation to it. Which operations it covers is recorded with the send: those whose write was on
//! record as applied before (I5). A wave whose process is gone is handed to the next that opens one.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{
    AuditEntry, LEASE, Permit, SendOutcome, Store, StoreError,
    audit::Subject,
    engine::{Tx, bounded},
    operations::{Row, columns},
};
use crate::model::{Operation, OperationId, State, Write};

/// The most operations that one wave covers, or that are counted as under way.
const MOST: i64 = 5_000;

/// An open wave of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wave {
    tenant: String,
    number: i64,
}

/// A wave that was opened, and what the one before it left.
#[derive(Debug)]
pub struct OpenedWave {
    /// The new wave.
    pub wave: Wave,
    /// The one before, if its process went away after ZIA had answered that it activated.
    pub left: Option<LeftWave>,
}

/// A wave whose activation was answered, and of which nobody has read whether it came through.
#[derive(Debug)]
pub struct LeftWave {
    /// The operation in whose name it was sent.
    pub by: OperationId,
    /// Everything it covers that is still open, the sender included.
    pub covered: Vec<Operation>,
}

/// A wave as it is sent.
#[derive(Debug)]
pub struct SentWave {
    /// The operation in whose name it is sent.
    pub operation: Operation,
    /// The right to activate once.
    pub permit: Permit,
    /// The other operations that it covers.
    pub covered: Vec<Operation>,
}

/// An operation that may write soon, or has just written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// Which.
    pub id: OperationId,
    /// The process that carries it out.
    pub owner: Option<String>,
    /// Whether its write may have left.
    pub sending: bool,
}

/// A row of `waves` that has not ended.
type Open = (i64, Option<String>, i64, Option<String>, Option<i64>);

impl Store {
    /// Opens a wave, unless another living process has one open.
    ///
    /// # Errors
    /// `AuditUnavailable`; `Unavailable`. The wave may be open then; who asks again gets another.
    pub async fn open_wave(&self, tenant: &str) -> Result<Option<OpenedWave>, StoreError> {
        if self.anothers_wave(tenant, false).await? {
            return Ok(None);
        }
        bounded(async {
            let mut tx = self.begin().await?;
            let renewed = self.renew(&mut tx).await?;
            let open: Option<Open> = sqlx::query_as(
                "SELECT number, owner, held_until, operation, attempt FROM waves \
                 WHERE tenant = $1 AND ended = 0",
            )
            .bind(tenant)
            .fetch_optional(&mut *tx)
            .await?;
            let mut left = None;
            if let Some((number, owner, until, operation, attempt)) = open {
                self.look_around_in(&mut tx).await?;
                if self.is_anothers(owner.as_deref(), until) {
                    return Ok(None);
                }
                left = self.left_by(&mut tx, tenant, number, operation, attempt).await?;
                end(&mut tx, tenant, number).await?;
            }
            let number: i64 =
                sqlx::query_scalar("SELECT COALESCE(MAX(number), 0) + 1 FROM waves WHERE tenant = $1")
                    .bind(tenant)
                    .fetch_one(&mut *tx)
                    .await?;
            sqlx::query("INSERT INTO waves (tenant, number, owner, held_until) VALUES ($1, $2, $3, $4)")
                .bind(tenant)
                .bind(number)
                .bind(renewed.owner.as_deref())
                .bind(self.wave_until())
                .execute(&mut *tx)
                .await?;
            self.0.engine.commit(tx).await?;
            self.renewed(&renewed);
            Ok(Some(OpenedWave { wave: Wave { tenant: tenant.to_owned(), number }, left }))
        })
        .await
    }

    /// Says that this process is still at its wave, and whether writes should hold off for it.
    ///
    /// # Errors
    /// `Conflict` if the wave is no longer this process's; `Unavailable`.
    pub async fn hold_wave(&self, wave: &Wave, closing: bool) -> Result<(), StoreError> {
        bounded(async {
            let mut tx = self.begin().await?;
            let held = sqlx::query(
                "UPDATE waves SET held_until = $1, closing = $2 WHERE tenant = $3 AND number = $4 AND ended = 0",
            )
            .bind(self.wave_until())
            .bind(i64::from(closing))
            .bind(wave.tenant.as_str())
            .bind(wave.number)
            .execute(&mut *tx)
            .await?;
            if held.rows_affected() != 1 {
                return Err(StoreError::Conflict);
            }
            self.0.engine.commit(tx).await
        })
        .await
    }

    /// Whether another living process asks that no write begin, since it is about to activate.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn is_wave_closing(&self, tenant: &str) -> Result<bool, StoreError> {
        self.anothers_wave(tenant, true).await
    }

    /// Records the activation of a wave before it is sent, with the operations that it covers, and
    /// gives the right to send it.
    ///
    /// # Errors
    /// `Conflict` if the wave is no longer this process's; otherwise as [`Store::begin_send`].
    pub async fn begin_wave(
        &self,
        wave: &Wave,
        op: &Operation,
        details: Value,
        audit: AuditEntry,
    ) -> Result<SentWave, StoreError> {
        self.0.engine.check_headroom()?;
        bounded(async {
            let mut tx = self.begin().await?;
            let covered = self.cover(&mut tx, wave, op).await?;
            let ids: Vec<_> = covered.iter().map(|o| &o.id).collect();
            let audit = audit.with("covers", json!(ids));
            let (operation, permit, renewed) =
                self.begin_send_in(&mut tx, op, Write::Activate, details, audit).await?;
            let taken = sqlx::query(
                "UPDATE waves SET operation = $1, attempt = $2, closing = 1, held_until = $3 \
                 WHERE tenant = $4 AND number = $5 AND ended = 0",
            )
            .bind(operation.id.as_str())
            .bind(permit.attempt())
            .bind(self.wave_until())
            .bind(wave.tenant.as_str())
            .bind(wave.number)
            .execute(&mut *tx)
            .await?;
            if taken.rows_affected() != 1 {
                return Err(StoreError::Conflict);
            }
            self.0.engine.commit(tx).await?;
            self.renewed(&renewed);
            Ok(SentWave { operation, permit, covered })
        })
        .await
    }

    /// Ends a wave: what it covers has its end, or waits for another.
    ///
    /// # Errors
    /// `Unavailable`; then it lapses by itself.
    pub async fn end_wave(&self, wave: &Wave) -> Result<(), StoreError> {
        bounded(async {
            let mut tx = self.begin().await?;
            end(&mut tx, &wave.tenant, wave.number).await?;
            self.0.engine.commit(tx).await
        })
        .await
    }

    /// Moves operations on together, each if it still is as it was seen; gives those that were.
    ///
    /// # Errors
    /// `NotApproved` for a state that only a send or an approval leads to; `AuditUnavailable`;
    /// `Unavailable`.
    pub async fn advance_all(
        &self,
        steps: Vec<(Operation, State, Value, AuditEntry)>,
    ) -> Result<Vec<Operation>, StoreError> {
        let mut moved = Vec::with_capacity(steps.len());
        bounded(async {
            let mut tx = self.begin().await?;
            for (op, to, details, audit) in steps {
                if matches!(to, State::Sending | State::Approved) {
                    return Err(StoreError::NotApproved);
                }
                let mut current = match self.current(&mut tx, &op).await {
                    Err(StoreError::Conflict | StoreError::NotFound) => continue,
                    other => other?,
                };
                self.save(&mut tx, &mut current, to, details).await?;
                self.append(&mut tx, Subject::of(&current), audit).await?;
                moved.push(current);
            }
            self.0.engine.commit(tx).await?;
            Ok(moved)
        })
        .await
    }

    /// Operations that may write soon or have just written, and are not known to be applied yet.
    ///
    /// One whose outcome is read for, which may take minutes, is not among them.
    ///
    /// # Errors
    /// `Corrupt`; `Unavailable`.
    pub async fn under_way(&self, tenant: &str) -> Result<Vec<UnderWay>, StoreError> {
        let query = sqlx::query_as::<_, (String, Option<String>, String)>(
            "SELECT id, lease_owner, state FROM operations WHERE tenant = $1 AND ended = 0 \
             AND action <> 'activate' AND (state IN ('sending', 'acked') \
             OR (state = 'approved' AND lease_owner IS NOT NULL)) ORDER BY ordinal LIMIT $2",
        )
        .bind(tenant)
        .bind(MOST);
        bounded(async {
            let read = |(id, owner, state): (String, Option<String>, String)| {
                let id = id.parse().map_err(|()| StoreError::Corrupt)?;
                Ok(UnderWay { id, owner, sending: state == State::Sending.as_str() })
            };
            query.fetch_all(self.0.engine.reader()).await?.into_iter().map(read).collect()
        })
        .await
    }

    /// Notes which operations a wave covers: those that are applied and wait, but for the sender.
    async fn cover(&self, tx: &mut Tx, wave: &Wave, op: &Operation) -> Result<Vec<Operation>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM operations o WHERE o.tenant = $1 AND o.ended = 0 AND o.wave = $2 AND o.id <> $3 \
             AND o.state IN ('verified', 'activating', 'not_active') ORDER BY o.ordinal LIMIT $4"
        );
        sqlx::query(
            "UPDATE operations SET wave = $1 WHERE tenant = $2 AND ended = 0 \
             AND (id = $3 OR state IN ('verified', 'activating', 'not_active'))",
        )
        .bind(wave.number)
        .bind(wave.tenant.as_str())
        .bind(op.id.as_str())
        .execute(&mut **tx)
        .await?;
        let query =
            sqlx::query_as(SQL).bind(wave.tenant.as_str()).bind(wave.number).bind(op.id.as_str()).bind(MOST);
        let rows: Vec<Row> = query.fetch_all(&mut **tx).await?;
        rows.into_iter().map(|row| self.read(row)).collect()
    }

    /// What a wave left that its process did not end: nothing, unless ZIA answered that it activated.
    async fn left_by(
        &self,
        tx: &mut Tx,
        tenant: &str,
        number: i64,
        operation: Option<String>,
        attempt: Option<i64>,
    ) -> Result<Option<LeftWave>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM operations o WHERE o.tenant = $1 AND o.ended = 0 AND o.wave = $2 \
             AND o.state IN ('verified', 'activating', 'not_active') ORDER BY o.ordinal LIMIT $3"
        );
        let (Some(operation), Some(attempt)) = (operation, attempt) else { return Ok(None) };
        let outcome: Option<String> = sqlx::query_scalar(
            "SELECT outcome FROM sends WHERE operation = $1 AND kind = 'activate' AND subject = 0 \
             AND attempt = $2",
        )
        .bind(operation.as_str())
        .bind(attempt)
        .fetch_one(&mut **tx)
        .await?;
        if outcome.as_deref() != Some(SendOutcome::Done.as_str()) {
            return Ok(None);
        }
        let query = sqlx::query_as(SQL).bind(tenant).bind(number).bind(MOST);
        let rows: Vec<Row> = query.fetch_all(&mut **tx).await?;
        let covered: Result<_, _> = rows.into_iter().map(|row| self.read(row)).collect();
        let by = operation.parse().map_err(|()| StoreError::Corrupt)?;
        Ok(Some(LeftWave { by, covered: covered? }))
    }

    async fn anothers_wave(&self, tenant: &str, closing: bool) -> Result<bool, StoreError> {
        let query = sqlx::query_as::<_, (Option<String>, i64)>(
            "SELECT owner, held_until FROM waves WHERE tenant = $1 AND ended = 0 AND closing >= $2",
        )
        .bind(tenant)
        .bind(i64::from(closing));
        bounded(async {
            let Some((owner, until)) = query.fetch_optional(self.0.engine.reader()).await? else {
                return Ok(false);
            };
            self.look_around().await?;
            Ok(self.is_anothers(owner.as_deref(), until))
        })
        .await
    }

    /// Whether a wave is at another living process.
    fn is_anothers(&self, owner: Option<&str>, until: i64) -> bool {
        let Some(owner) = owner else { return until > self.now().as_microsecond() };
        self.presence().as_deref() != Some(owner)
            && until > self.now().as_microsecond()
            && self.is_present(owner)
    }

    fn wave_until(&self) -> i64 {
        let lease = SignedDuration::try_from(LEASE).unwrap_or(SignedDuration::ZERO);
        self.now().saturating_add(lease).unwrap_or(jiff::Timestamp::MAX).as_microsecond()
    }
}

async fn end(tx: &mut Tx, tenant: &str, number: i64) -> Result<(), StoreError> {
    sqlx::query("UPDATE waves SET ended = 1, closing = 0 WHERE tenant = $1 AND number = $2 AND ended = 0")
        .bind(tenant)
        .bind(number)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
