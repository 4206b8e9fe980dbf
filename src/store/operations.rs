//! Operations: beginning one, and moving it on.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::FromRow;
use zeroize::Zeroizing;

use super::{
    AuditEntry, Store, StoreError,
    audit::Subject,
    engine::{Tx, bounded},
    time,
    vault::Place,
    whole_micros,
};
use crate::model::{Action, Actor, Digest, Operation, OperationId, State, UserId};

/// Where the details name the address of the user an operation is about; the store keeps a keyed
/// digest of what it finds there.
const EMAIL_AT: [&str; 2] = ["/user/email", "/email"];

/// What an operation is made from.
#[derive(Clone, Debug)]
pub struct NewOperation {
    /// The tenant; kept in clear, so without personal data.
    pub tenant: String,
    /// What it does.
    pub action: Action,
    /// Who asked.
    pub actor: Actor,
    /// Where it begins: `Awaiting`, `Approved`, or an ended state that claims no send.
    pub state: State,
    /// Whether this process carries it out from now on.
    pub own: bool,
    /// Whether it is refused while an open one of the caller's has the same arguments.
    pub alone: bool,
    /// Digest of the canonical arguments.
    pub arguments: Digest,
    /// The user it is about, if there is one yet.
    pub subject: Option<UserId>,
    /// The users it is about, with their addresses, if it is about several.
    pub users: Vec<(UserId, String)>,
    /// When it lapses undecided.
    pub expires_at: Timestamp,
    /// What to remember; sealed. An address at `user.email` or `email` is searchable by digest.
    pub details: Value,
}

/// The columns of [`Row`].
macro_rules! columns {
    () => {
        "o.id, o.tenant, o.action, o.subject, o.state, o.version, o.created_at, o.updated_at, o.expires_at, \
         o.sealed, o.lease_owner, o.epoch"
    };
}
pub(super) use columns;

/// An operation as it is kept.
#[derive(FromRow)]
pub(super) struct Row {
    id: String,
    tenant: String,
    action: String,
    subject: Option<i64>,
    state: String,
    version: i64,
    created_at: i64,
    updated_at: i64,
    expires_at: i64,
    sealed: Vec<u8>,
    lease_owner: Option<String>,
    epoch: i64,
}

/// What is sealed, after the 32 bytes of the arguments' digest.
#[derive(Serialize, Deserialize)]
struct Sealed<A, D> {
    actor: A,
    details: D,
}

impl Store {
    /// Records a new operation.
    ///
    /// # Errors
    /// `Conflict` if another open operation changes the same user; `NotApproved` for a state that
    /// claims a send; `AuditUnavailable`; `Unavailable`.
    pub async fn create_operation(
        &self,
        new: NewOperation,
        audit: AuditEntry,
    ) -> Result<Operation, StoreError> {
        if new.state != State::Awaiting && new.state != State::Approved && !ends_unsent(new.state) {
            return Err(StoreError::NotApproved);
        }
        let now = self.now();
        let mut operation = Operation {
            id: OperationId::random(),
            tenant: new.tenant,
            action: new.action,
            actor: new.actor,
            state: new.state,
            version: 1,
            owner: None,
            epoch: 0,
            arguments: new.arguments,
            subject: new.subject,
            created_at: now,
            updated_at: now,
            expires_at: whole_micros(new.expires_at),
            details: new.details,
        };
        bounded(async {
            let mut tx = self.begin().await?;
            let renewed = if new.own { Some(self.renew(&mut tx).await?) } else { None };
            operation.owner = renewed.as_ref().and_then(|r| r.owner.clone());
            self.refuse_if_held(&mut tx, &operation).await?;
            if new.alone {
                self.refuse_if_joinable(&mut tx, &operation).await?;
            }
            self.insert(&mut tx, &operation).await?;
            self.hold(&mut tx, &operation, &new.users).await?;
            self.append(&mut tx, Subject::of(&operation), audit).await?;
            self.0.engine.commit(tx).await?;
            renewed.iter().for_each(|r| self.renewed(r));
            Ok(operation)
        })
        .await
    }

    /// Moves an operation on, if it still is as `op` saw it.
    ///
    /// Takes the subject from `op` where the record has none yet. `Approved` is reached through
    /// [`Store::approve`] and `Sending` through [`Store::begin_send`] only; an operation that is
    /// one of these may stay so, with more in its details.
    ///
    /// # Errors
    /// `Conflict` if it changed or has ended; `NotApproved` for those two states; `NotFound`;
    /// `AuditUnavailable`; `Unavailable`.
    pub async fn advance(
        &self,
        op: &Operation,
        to: State,
        details: Value,
        audit: AuditEntry,
    ) -> Result<Operation, StoreError> {
        bounded(async {
            let mut tx = self.begin().await?;
            let mut current = self.current(&mut tx, op).await?;
            let stays = current.state == to;
            if matches!(to, State::Approved | State::Sending) && !stays {
                return Err(StoreError::NotApproved);
            }
            current.subject = current.subject.or(op.subject);
            self.save(&mut tx, &mut current, to, details).await?;
            self.append(&mut tx, Subject::of(&current), audit).await?;
            self.0.engine.commit(tx).await?;
            Ok(current)
        })
        .await
    }

    /// Reads an operation inside a transaction and checks that it is as `op` saw it.
    pub(super) async fn current(&self, tx: &mut Tx, op: &Operation) -> Result<Operation, StoreError> {
        let row: Option<Row> =
            sqlx::query_as(concat!("SELECT ", columns!(), " FROM operations o WHERE o.id = $1"))
                .bind(op.id.as_str())
                .fetch_optional(&mut **tx)
                .await?;
        let current = self.read(row.ok_or(StoreError::NotFound)?)?;
        if current.version != op.version || current.epoch != op.epoch || current.state.is_ended() {
            return Err(StoreError::Conflict);
        }
        Ok(current)
    }

    /// Writes the next version of an operation.
    pub(super) async fn save(
        &self,
        tx: &mut Tx,
        current: &mut Operation,
        to: State,
        details: Value,
    ) -> Result<(), StoreError> {
        let seen = current.version;
        current.state = to;
        current.version = seen + 1;
        current.details = details;
        current.updated_at = self.now();
        let written = sqlx::query(
            "UPDATE operations SET state = $1, ended = $2, version = $3, subject = $4, \
             email = COALESCE($5, email), updated_at = $6, sealed = $7, lease_owner = $8 \
             WHERE id = $9 AND version = $10",
        )
        .bind(to.as_str())
        .bind(i64::from(to.is_ended()))
        .bind(current.version)
        .bind(current.subject.map(UserId::get))
        .bind(self.email_in(&current.details))
        .bind(current.updated_at.as_microsecond())
        .bind(self.seal(current)?)
        .bind(current.owner.as_deref())
        .bind(current.id.as_str())
        .bind(seen)
        .execute(&mut **tx)
        .await?;
        if written.rows_affected() != 1 {
            return Err(StoreError::Conflict);
        }
        if current.action == Action::DeprovisionUsers && (to.is_ended() || to == State::NotActive) {
            self.let_go(tx, &current.id).await?;
        }
        self.settle_password(tx, current).await
    }

    async fn insert(&self, tx: &mut Tx, operation: &Operation) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO operations (ordinal, id, tenant, action, caller, arguments, email, subject, state, \
             ended, version, created_at, updated_at, expires_at, sealed, lease_owner) \
             VALUES ((SELECT COALESCE(MAX(ordinal), 0) + 1 FROM operations), \
             $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        )
        .bind(operation.id.as_str())
        .bind(operation.tenant.as_str())
        .bind(operation.action.as_str())
        .bind(self.caller_key(&operation.actor.caller))
        .bind(self.arguments_key(&operation.arguments))
        .bind(self.email_in(&operation.details))
        .bind(operation.subject.map(UserId::get))
        .bind(operation.state.as_str())
        .bind(i64::from(operation.state.is_ended()))
        .bind(operation.version)
        .bind(operation.created_at.as_microsecond())
        .bind(operation.updated_at.as_microsecond())
        .bind(operation.expires_at.as_microsecond())
        .bind(self.seal(operation)?)
        .bind(operation.owner.as_deref())
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Unseals a row.
    pub(super) fn read(&self, row: Row) -> Result<Operation, StoreError> {
        let plain = self.0.vault.open(place(&row.tenant, &row.id, row.version), &row.sealed)?;
        let (arguments, json) = plain.split_first_chunk::<32>().ok_or(StoreError::Corrupt)?;
        let sealed: Sealed<Actor, Value> = serde_json::from_slice(json).map_err(|_| StoreError::Corrupt)?;
        Ok(Operation {
            id: row.id.parse().map_err(|()| StoreError::Corrupt)?,
            action: row.action.parse().map_err(|()| StoreError::Corrupt)?,
            state: row.state.parse().map_err(|()| StoreError::Corrupt)?,
            subject: row.subject.map(|id| UserId::new(id).ok_or(StoreError::Corrupt)).transpose()?,
            arguments: Digest::from_slice(arguments).ok_or(StoreError::Corrupt)?,
            tenant: row.tenant,
            actor: sealed.actor,
            version: row.version,
            owner: row.lease_owner,
            epoch: row.epoch,
            created_at: time(row.created_at)?,
            updated_at: time(row.updated_at)?,
            expires_at: time(row.expires_at)?,
            details: sealed.details,
        })
    }

    fn seal(&self, operation: &Operation) -> Result<Vec<u8>, StoreError> {
        let sealed = Sealed { actor: &operation.actor, details: &operation.details };
        let mut plain = Zeroizing::new(operation.arguments.as_bytes().to_vec());
        serde_json::to_writer(&mut *plain, &sealed).map_err(|_| StoreError::Corrupt)?;
        self.0.vault.seal(place(&operation.tenant, operation.id.as_str(), operation.version), &plain)
    }

    /// How a caller is found again.
    pub(super) fn caller_key(&self, caller: &str) -> Vec<u8> {
        self.0.vault.digest("caller", caller.as_bytes()).as_bytes().to_vec()
    }

    /// How equal arguments are found again; their plain digest could be guessed at.
    pub(super) fn arguments_key(&self, arguments: &Digest) -> Vec<u8> {
        self.0.vault.digest("arguments", arguments.as_bytes()).as_bytes().to_vec()
    }

    fn email_in(&self, details: &Value) -> Option<Vec<u8>> {
        let email = EMAIL_AT.iter().find_map(|at| details.pointer(at)?.as_str())?;
        Some(self.email_digest(email).as_bytes().to_vec())
    }
}

/// Ended, without a claim that anything was sent.
fn ends_unsent(state: State) -> bool {
    state.is_ended() && state != State::Done
}

fn place<'a>(tenant: &'a str, id: &'a str, version: i64) -> Place<'a> {
    Place { purpose: "operation", tenant, row: id, version }
}
