//! Operations on several users: each user held, sent and settled by itself.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    AuditEntry, Store, StoreError,
    audit::Subject,
    captures::WholeRow,
    engine::{Tx, bounded},
    sends::{MAX_SENDS, Permit, SendOutcome},
};
use crate::model::{Action, Operation, OperationId, State, UserId, Write};

/// What became of one user of an operation on several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The user.
    pub user: UserId,
    /// Whether the operation deleted the user; else it does nothing more about them.
    pub deleted: bool,
}

/// The outcomes of each user's sends, oldest first; `None` while open.
pub type BulkSends = HashMap<UserId, Vec<Option<SendOutcome>>>;

/// What is on record of the users of an operation on several.
#[derive(Default)]
struct Known {
    held: HashSet<i64>,
    /// The outcomes of each user's sends.
    past: HashMap<i64, Vec<Option<String>>>,
    captures: HashMap<i64, WholeRow>,
}

impl Store {
    /// Holds users for an operation that is being created, each for it alone (F31).
    pub(super) async fn hold(
        &self,
        tx: &mut Tx,
        op: &Operation,
        users: &[(UserId, String)],
    ) -> Result<(), StoreError> {
        for (user, email) in users {
            self.refuse_if_open(tx, &op.tenant, *user).await?;
            sqlx::query("INSERT INTO subjects (operation, tenant, subject, email) VALUES ($1, $2, $3, $4)")
                .bind(op.id.as_str())
                .bind(op.tenant.as_str())
                .bind(user.get())
                .bind(self.email_digest(email).as_bytes().to_vec())
                .execute(&mut **tx)
                .await?;
        }
        Ok(())
    }

    /// Refuses a user on whom a single operation is open.
    async fn refuse_if_open(&self, tx: &mut Tx, tenant: &str, user: UserId) -> Result<(), StoreError> {
        let open: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM operations WHERE tenant = $1 AND subject = $2 AND ended = 0 \
             AND state <> 'not_active'",
        )
        .bind(tenant)
        .bind(user.get())
        .fetch_one(&mut **tx)
        .await?;
        if open == 0 { Ok(()) } else { Err(StoreError::Conflict) }
    }

    /// Refuses a user whom an operation on several holds.
    pub(super) async fn refuse_if_held(&self, tx: &mut Tx, op: &Operation) -> Result<(), StoreError> {
        let Some(user) = op.subject.filter(|_| !op.state.is_ended()) else { return Ok(()) };
        let held: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM subjects WHERE tenant = $1 AND subject = $2 AND ended = 0",
        )
        .bind(op.tenant.as_str())
        .bind(user.get())
        .fetch_one(&mut **tx)
        .await?;
        if held == 0 { Ok(()) } else { Err(StoreError::Conflict) }
    }

    /// Lets go of the users of an operation that has ended.
    pub(super) async fn let_go(&self, tx: &mut Tx, op: &OperationId) -> Result<(), StoreError> {
        sqlx::query("UPDATE subjects SET ended = 1 WHERE operation = $1 AND ended = 0")
            .bind(op.as_str())
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Moves an operation on several on, as [`Store::advance`] does, and settles some of its users.
    ///
    /// An `Approved` one may stay so; one that is `Sending` may too.
    ///
    /// # Errors
    /// As [`Store::advance`].
    pub async fn advance_bulk(
        &self,
        op: &Operation,
        to: State,
        details: Value,
        settled: &[Settled],
        audit: AuditEntry,
    ) -> Result<Operation, StoreError> {
        let ids: Vec<_> = settled.iter().map(|s| json!({"user_id": s.user, "deleted": s.deleted})).collect();
        bounded(async {
            let mut tx = self.begin().await?;
            let mut current = self.current(&mut tx, op).await?;
            let stays = current.state == to;
            if matches!(to, State::Sending | State::Approved) && !stays {
                return Err(StoreError::NotApproved);
            }
            for one in settled {
                sqlx::query(
                    "UPDATE subjects SET ended = 1, deleted = $1 WHERE operation = $2 AND subject = $3",
                )
                .bind(i64::from(one.deleted))
                .bind(current.id.as_str())
                .bind(one.user.get())
                .execute(&mut *tx)
                .await?;
            }
            self.save(&mut tx, &mut current, to, details).await?;
            self.append(&mut tx, Subject::of(&current), audit.with("settled", json!(ids))).await?;
            self.0.engine.commit(tx).await?;
            Ok(current)
        })
        .await
    }

    /// Records the send of a bulk delete, user by user, before it is made.
    ///
    /// As [`Store::begin_send`]: needs the approval, and of every user an open hold, a capture that
    /// opens, and no send that is open or known to have been done.
    ///
    /// # Errors
    /// As [`Store::begin_send`].
    pub async fn begin_bulk_send(
        &self,
        op: &Operation,
        users: &[UserId],
        details: Value,
        audit: AuditEntry,
    ) -> Result<(Operation, Permit), StoreError> {
        self.0.engine.check_headroom()?;
        bounded(async {
            let mut tx = self.begin().await?;
            let mut op = self.current(&mut tx, op).await?;
            let allowed = matches!(op.state, State::Approved | State::Sending | State::Unknown);
            if op.action != Action::DeprovisionUsers || !allowed || users.is_empty() {
                return Err(StoreError::NotApproved);
            }
            let renewed = self.renew(&mut tx).await?;
            op.owner = renewed.owner.clone();
            self.use_approval(&mut tx, &op, op.state == State::Approved, true).await?;
            let mut known = self.known(&mut tx, &op).await?;
            for user in users {
                let attempt = self.next_attempt(&op, *user, &mut known)?;
                self.record_one(&mut tx, &op, *user, attempt).await?;
            }
            self.save(&mut tx, &mut op, State::Sending, details).await?;
            let permit = self.bulk_permit(&op, users);
            let audit = audit.with("write", Write::DeleteUsers.as_str()).with("users", json!(users));
            self.append(&mut tx, Subject::of(&op), audit).await?;
            self.0.engine.commit(tx).await?;
            self.renewed(&renewed);
            Ok((op, permit))
        })
        .await
    }

    /// Reads what is on record of every user at once: one by one, 500 users take too long.
    async fn known(&self, tx: &mut Tx, op: &Operation) -> Result<Known, StoreError> {
        let held = sqlx::query_scalar("SELECT subject FROM subjects WHERE operation = $1 AND ended = 0")
            .bind(op.id.as_str())
            .fetch_all(&mut **tx)
            .await?;
        let past: Vec<(i64, Option<String>)> =
            sqlx::query_as("SELECT subject, outcome FROM sends WHERE operation = $1 AND kind = $2")
                .bind(op.id.as_str())
                .bind(Write::DeleteUsers.as_str())
                .fetch_all(&mut **tx)
                .await?;
        let mut known = Known { held: held.into_iter().collect(), ..Known::default() };
        for (user, outcome) in past {
            known.past.entry(user).or_default().push(outcome);
        }
        known.captures = self.newest_captures(tx, op).await?;
        Ok(known)
    }

    /// Proves that a send of this user may be made; the number that it gets.
    fn next_attempt(&self, op: &Operation, user: UserId, known: &mut Known) -> Result<i64, StoreError> {
        let past = known.past.remove(&user.get()).unwrap_or_default();
        let done = past.iter().flatten().any(|outcome| outcome == SendOutcome::Done.as_str());
        if !known.held.remove(&user.get()) || done {
            return Err(StoreError::NotApproved);
        }
        let attempt = i64::try_from(past.len()).map_err(|_| StoreError::Corrupt)? + 1;
        if attempt > MAX_SENDS {
            return Err(StoreError::SendsExhausted);
        }
        self.check_capture(op, user, known.captures.remove(&user.get()))?;
        Ok(attempt)
    }

    async fn record_one(
        &self,
        tx: &mut Tx,
        op: &Operation,
        user: UserId,
        attempt: i64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO sends (operation, kind, subject, attempt, begun_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(op.id.as_str())
        .bind(Write::DeleteUsers.as_str())
        .bind(user.get())
        .bind(attempt)
        .bind(self.now().as_microsecond())
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Records what became of a bulk delete, user by user.
    ///
    /// # Errors
    /// `Conflict` if that is on record already; `AuditUnavailable`; `Unavailable`.
    pub async fn end_bulk_send(
        &self,
        op: &Operation,
        outcomes: &[(UserId, SendOutcome)],
        code: Option<&str>,
        audit: AuditEntry,
    ) -> Result<(), StoreError> {
        bounded(async {
            let mut tx = self.begin().await?;
            for (user, outcome) in outcomes {
                let ended = sqlx::query(
                    "UPDATE sends SET ended_at = $1, outcome = $2, code = $3 \
                     WHERE operation = $4 AND kind = $5 AND subject = $6 AND outcome IS NULL \
                     AND attempt = (SELECT MAX(attempt) FROM sends \
                     WHERE operation = $4 AND kind = $5 AND subject = $6)",
                )
                .bind(self.now().as_microsecond())
                .bind(outcome.as_str())
                .bind(code)
                .bind(op.id.as_str())
                .bind(Write::DeleteUsers.as_str())
                .bind(user.get())
                .execute(&mut *tx)
                .await?;
                if ended.rows_affected() != 1 {
                    return Err(StoreError::Conflict);
                }
            }
            let told: Vec<_> =
                outcomes.iter().map(|(user, o)| json!({"user_id": user, "outcome": o.as_str()})).collect();
            let audit = audit.with("outcomes", json!(told)).with("code", code);
            self.append(&mut tx, Subject::of(op), audit).await?;
            self.0.engine.commit(tx).await
        })
        .await
    }

    /// How many users deletes were sent for since a time, whatever became of them.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn deletes_since(&self, tenant: &str, since: Timestamp) -> Result<u32, StoreError> {
        let query = sqlx::query_scalar::<_, i64>(
            "SELECT COUNT(*) FROM sends s JOIN operations o ON o.id = s.operation \
             WHERE o.tenant = $1 AND s.kind IN ('delete_user', 'delete_users') AND s.attempt = 1 \
             AND s.begun_at > $2",
        )
        .bind(tenant)
        .bind(since.as_microsecond());
        bounded(async {
            let count = query.fetch_one(self.0.engine.reader()).await?;
            u32::try_from(count).map_err(|_| StoreError::Corrupt)
        })
        .await
    }

    /// The sends of an operation on several, user by user.
    ///
    /// # Errors
    /// `Corrupt`; `Unavailable`.
    pub async fn bulk_sends(&self, op: &OperationId) -> Result<BulkSends, StoreError> {
        let query = sqlx::query_as::<_, (i64, Option<String>)>(
            "SELECT subject, outcome FROM sends WHERE operation = $1 AND kind = $2 ORDER BY subject, attempt",
        )
        .bind(op.as_str())
        .bind(Write::DeleteUsers.as_str());
        bounded(async {
            let mut sends = BulkSends::new();
            for (user, outcome) in query.fetch_all(self.0.engine.reader()).await? {
                let user = UserId::new(user).ok_or(StoreError::Corrupt)?;
                let outcome = outcome.as_deref().map(SendOutcome::from_name).transpose()?;
                sends.entry(user).or_default().push(outcome);
            }
            Ok(sends)
        })
        .await
    }
}
