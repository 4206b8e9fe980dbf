//! Sends: on record before they are made, and bounded.

use std::{fmt, sync::Arc, time::Duration};

use serde_json::Value;

use super::{
    AuditEntry, Store, StoreError,
    audit::Subject,
    engine::{Tx, bounded},
    leases::{Lease, Renewed},
};
use crate::model::{Action, Actor, Operation, OperationId, SendPermit, State, UserId, Write};

/// How often one write of one operation may be sent (I2).
pub const MAX_SENDS: i64 = 3;

/// What is known of a send once it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// Certainly not a byte left.
    NotSent,
    /// ZIA did not process it: a lock, a limit, maintenance, a session that was over.
    Refused,
    /// ZIA processed it and said no.
    Rejected,
    /// ZIA answered that it did it.
    Done,
    /// Anything else.
    Unknown,
}

impl SendOutcome {
    /// A stable name for records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
            Self::Done => "done",
            Self::Unknown => "unknown",
        }
    }

    pub(super) fn from_name(name: &str) -> Result<Self, StoreError> {
        let all = [Self::NotSent, Self::Refused, Self::Rejected, Self::Done, Self::Unknown];
        all.into_iter().find(|o| o.as_str() == name).ok_or(StoreError::Corrupt)
    }
}

/// The right to make one write once; minted by [`Store::begin_send`] only.
///
/// One that is dropped leaves its send on record as open, which means that its outcome is unknown.
pub struct Permit {
    operation: OperationId,
    tenant: String,
    actor: Actor,
    write: Write,
    attempt: i64,
    /// Whose deletion a bulk delete is.
    users: Vec<UserId>,
    lease: Arc<Lease>,
}

impl Permit {
    /// Which send of this write it is, from 1.
    pub fn attempt(&self) -> i64 {
        self.attempt
    }
}

impl SendPermit for Permit {
    fn operation(&self) -> &OperationId {
        &self.operation
    }

    fn write(&self) -> Write {
        self.write
    }

    fn users(&self) -> &[UserId] {
        &self.users
    }

    fn holds_for(&self, time: Duration) -> bool {
        self.lease.holds_for(time)
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, write, attempt, .. } = self;
        write!(f, "Permit({operation}, {write:?}, {attempt})")
    }
}

/// The sends of one write so far.
struct Past {
    count: i64,
    /// Whether the last one is over, and ZIA did not say that it did it.
    last_may_be_repeated: bool,
    /// Whether ZIA ever answered that it did it.
    done: bool,
}

impl Store {
    /// Records a send, before it is made, and gives the right to make it.
    ///
    /// State change, use of the approval, send and audit record are one transaction (I1, I6).
    /// The process's lease is renewed, and the operation is its own from now on.
    /// A first `CreateUser`, `ReplaceUser` or `DeleteUser` needs the state `Approved`; another one
    /// needs a first one that is not known to have been done, and either `Unknown`, or `Sending`
    /// with the last send over. `ReplaceUser` and `DeleteUser` also need `op`'s own subject and a
    /// capture of that user that opens; `DeleteUser` needs an approval too. `Activate` needs `Approved` (of an activation), `Verified`, `Activating`
    /// or `NotActive`.
    ///
    /// # Errors
    /// `NotApproved` if the operation does not allow the write; `SendsExhausted` after
    /// [`MAX_SENDS`]; `Conflict`; `NotFound`; `AuditUnavailable`; `Unavailable`, also with less
    /// than 64 MiB of disk left (F1). Nothing may be sent then.
    pub async fn begin_send(
        &self,
        op: &Operation,
        write: Write,
        details: Value,
        audit: AuditEntry,
    ) -> Result<(Operation, Permit), StoreError> {
        self.0.engine.check_headroom()?;
        bounded(async {
            let mut tx = self.begin().await?;
            let (op, permit, renewed) = self.begin_send_in(&mut tx, op, write, details, audit).await?;
            self.0.engine.commit(tx).await?;
            self.renewed(&renewed);
            Ok((op, permit))
        })
        .await
    }

    /// The same inside a transaction, whose lease counts once it is committed.
    pub(super) async fn begin_send_in(
        &self,
        tx: &mut Tx,
        op: &Operation,
        write: Write,
        details: Value,
        audit: AuditEntry,
    ) -> Result<(Operation, Permit, Renewed), StoreError> {
        let mut op = self.current(tx, op).await?;
        let renewed = self.renew(tx).await?;
        op.owner = renewed.owner.clone();
        let past = past_sends(tx, &op.id, write).await?;
        let next = next_state(&op, write, &past)?;
        if is_main(op.action, write) {
            let required = matches!(write, Write::DeleteUser(_));
            self.use_approval(tx, &op, past.count == 0, required).await?;
        }
        if let Write::DeleteUser(id) | Write::ReplaceUser(id) = write {
            self.require_capture(tx, &op, id).await?;
        }
        self.save(tx, &mut op, next, details).await?;
        let permit = self.record_send(tx, &op, write, past.count + 1).await?;
        let audit = audit.with("write", write.as_str()).with("attempt", permit.attempt);
        self.append(tx, Subject::of(&op), audit).await?;
        Ok((op, permit, renewed))
    }

    /// Records what became of a send; the operation's state stays.
    ///
    /// # Errors
    /// `Conflict` if that is on record already; `AuditUnavailable`; `Unavailable`. The send counts
    /// as open then.
    pub async fn end_send(
        &self,
        permit: Permit,
        outcome: SendOutcome,
        code: Option<&str>,
        audit: AuditEntry,
    ) -> Result<(), StoreError> {
        let (kind, subject) = key(permit.write);
        let audit = audit
            .with("write", kind)
            .with("attempt", permit.attempt)
            .with("outcome", outcome.as_str())
            .with("code", code);
        bounded(async {
            let mut tx = self.begin().await?;
            let ended = sqlx::query(
                "UPDATE sends SET ended_at = $1, outcome = $2, code = $3 \
                 WHERE operation = $4 AND kind = $5 AND subject = $6 AND attempt = $7 AND outcome IS NULL",
            )
            .bind(self.now().as_microsecond())
            .bind(outcome.as_str())
            .bind(code)
            .bind(permit.operation.as_str())
            .bind(kind)
            .bind(subject)
            .bind(permit.attempt)
            .execute(&mut *tx)
            .await?;
            if ended.rows_affected() != 1 {
                return Err(StoreError::Conflict);
            }
            let (tenant, actor) = (permit.tenant.as_str(), Some(&permit.actor));
            let subject = Subject { tenant, operation: Some(&permit.operation), actor };
            self.append(&mut tx, subject, audit).await?;
            self.0.engine.commit(tx).await
        })
        .await
    }

    /// The sends of an operation that are of the write it was approved for, oldest first.
    ///
    /// # Errors
    /// `Corrupt`; `Unavailable`.
    pub async fn sends(&self, op: &Operation) -> Result<Vec<SendRecord>, StoreError> {
        let query = sqlx::query_as::<_, (i64, Option<String>)>(
            "SELECT attempt, outcome FROM sends WHERE operation = $1 AND (kind = 'activate') = $2 \
             ORDER BY attempt",
        )
        .bind(op.id.as_str())
        .bind(op.action == Action::Activate);
        bounded(async {
            let rows = query.fetch_all(self.0.engine.reader()).await?;
            let read = |(attempt, outcome): (i64, Option<String>)| {
                let outcome = outcome.as_deref().map(SendOutcome::from_name).transpose()?;
                Ok(SendRecord { attempt, outcome })
            };
            rows.into_iter().map(read).collect()
        })
        .await
    }

    async fn record_send(
        &self,
        tx: &mut Tx,
        op: &Operation,
        write: Write,
        attempt: i64,
    ) -> Result<Permit, StoreError> {
        let (kind, subject) = key(write);
        sqlx::query(
            "INSERT INTO sends (operation, kind, subject, attempt, begun_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(op.id.as_str())
        .bind(kind)
        .bind(subject)
        .bind(attempt)
        .bind(op.updated_at.as_microsecond())
        .execute(&mut **tx)
        .await?;
        let (operation, tenant, actor) = (op.id.clone(), op.tenant.clone(), op.actor.clone());
        let (users, lease) = (Vec::new(), self.0.lease.clone());
        Ok(Permit { operation, tenant, actor, write, attempt, users, lease })
    }

    /// The right to make a bulk delete whose sends are on record.
    pub(super) fn bulk_permit(&self, op: &Operation, users: &[UserId]) -> Permit {
        let (operation, tenant, actor) = (op.id.clone(), op.tenant.clone(), op.actor.clone());
        let (users, lease) = (users.to_vec(), self.0.lease.clone());
        Permit { operation, tenant, actor, write: Write::DeleteUsers, attempt: 1, users, lease }
    }
}

/// A send on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendRecord {
    /// Which send of this write it is, from 1.
    pub attempt: i64,
    /// What became of it; `None` while open, which means unknown.
    pub outcome: Option<SendOutcome>,
}

/// Whether the write is what the operation was approved for.
fn is_main(action: Action, write: Write) -> bool {
    matches!(
        (action, write),
        (Action::ProvisionUser | Action::RestoreUser, Write::CreateUser)
            | (Action::UpdateUser, Write::ReplaceUser(_))
            | (Action::DeprovisionUser, Write::DeleteUser(_))
            | (Action::Activate, Write::Activate)
    )
}

/// The state in which the write is made, if it may be.
fn next_state(op: &Operation, write: Write, past: &Past) -> Result<State, StoreError> {
    let first = past.count == 0;
    let allowed = match (write, op.state) {
        (Write::Activate, State::Approved) => first && op.action == Action::Activate,
        (Write::Activate, state) => matches!(state, State::Verified | State::Activating | State::NotActive),
        (_, _) if !is_main(op.action, write) => false,
        (Write::DeleteUser(id) | Write::ReplaceUser(id), _) if op.subject != Some(id) => false,
        (_, State::Approved) => first,
        (_, State::Sending) => past.last_may_be_repeated,
        (_, State::Unknown) => !first && !past.done,
        _ => false,
    };
    if !allowed {
        return Err(StoreError::NotApproved);
    }
    if past.count >= MAX_SENDS {
        return Err(StoreError::SendsExhausted);
    }
    Ok(if write == Write::Activate { State::Activating } else { State::Sending })
}

async fn past_sends(tx: &mut Tx, operation: &OperationId, write: Write) -> Result<Past, StoreError> {
    let (kind, subject) = key(write);
    let outcomes: Vec<Option<String>> = sqlx::query_scalar(
        "SELECT outcome FROM sends WHERE operation = $1 AND kind = $2 AND subject = $3 ORDER BY attempt",
    )
    .bind(operation.as_str())
    .bind(kind)
    .bind(subject)
    .fetch_all(&mut **tx)
    .await?;
    let done = outcomes.iter().flatten().any(|outcome| outcome == SendOutcome::Done.as_str());
    let last_may_be_repeated = !done && outcomes.last().is_some_and(Option::is_some);
    let count = i64::try_from(outcomes.len()).map_err(|_| StoreError::Corrupt)?;
    Ok(Past { count, last_may_be_repeated, done })
}

/// How a write is kept: its name and its user, 0 if none.
fn key(write: Write) -> (&'static str, i64) {
    let subject = match write {
        Write::DeleteUser(id) | Write::ReplaceUser(id) => id.get(),
        Write::CreateUser | Write::DeleteUsers | Write::Activate => 0,
    };
    (write.as_str(), subject)
}
