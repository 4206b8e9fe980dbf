//! First passwords of new users: sealed before they are sent, shown to one person once.

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::FromRow;

use super::{
    AuditEntry, Store, StoreError,
    audit::Subject,
    engine::{Tx, bounded},
    time,
    vault::Place,
};
use crate::model::{Action, Operation, OperationId, State};

/// How long one waits for its person, from when the user is known to be created.
const WAITS: SignedDuration = SignedDuration::from_hours(24);

/// Expired ones that one transaction empties.
const BATCH: i64 = 200;

/// What came of asking for a password.
#[derive(Debug)]
pub enum Handed {
    /// It is this one, and shown to nobody else.
    Password(SecretString),
    /// The operation keeps none.
    Nothing,
    /// The user is not known to be created yet.
    NotYet,
    /// Somebody saw it then.
    Taken(Timestamp),
    /// Nobody asked in time.
    Expired,
}

/// A password as it is kept.
#[derive(FromRow)]
struct Row {
    operation: String,
    tenant: String,
    sealed: Vec<u8>,
    ready_at: Option<i64>,
    expires_at: i64,
    taken_at: Option<i64>,
}

/// The columns of [`Row`], and where they come from.
macro_rules! rows {
    () => {
        "SELECT p.operation, o.tenant, p.sealed, p.ready_at, p.expires_at, p.taken_at FROM passwords p \
         JOIN operations o ON o.id = p.operation WHERE "
    };
}

impl Store {
    /// The password that every send of a create carries: the one kept already, or else `fresh`.
    ///
    /// It is on disk, sealed, before it is given back. Nobody is shown it before the operation is
    /// `Verified`, and it goes with an operation that ends otherwise.
    ///
    /// # Errors
    /// `NotApproved` if the operation creates nobody, may not send, or its password is gone;
    /// `Conflict`; `NotFound`; `Corrupt`; `Unavailable`. Nothing may be sent then.
    pub async fn keep_password(
        &self,
        op: &Operation,
        fresh: SecretString,
    ) -> Result<SecretString, StoreError> {
        bounded(async {
            let mut tx = self.begin().await?;
            let op = self.current(&mut tx, op).await?;
            let sends = matches!(op.state, State::Approved | State::Sending | State::Unknown);
            if !creates(op.action) || !sends {
                return Err(StoreError::NotApproved);
            }
            if let Some(row) = kept(&mut tx, &op.id).await? {
                return if row.sealed.is_empty() { Err(StoreError::NotApproved) } else { self.opened(&row) };
            }
            sqlx::query("INSERT INTO passwords (operation, sealed, expires_at) VALUES ($1, $2, $3)")
                .bind(op.id.as_str())
                .bind(self.0.vault.seal(place(&op.tenant, &op.id), fresh.expose_secret().as_bytes())?)
                .bind(self.end_of_wait().as_microsecond())
                .execute(&mut *tx)
                .await?;
            self.0.engine.commit(tx).await?;
            Ok(fresh)
        })
        .await
    }

    /// Whether a password is kept that nobody has seen.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn keeps_password(&self, id: &OperationId) -> Result<bool, StoreError> {
        let query = sqlx::query_scalar::<_, i64>(
            "SELECT COUNT(*) FROM passwords WHERE operation = $1 AND length(sealed) > 0 AND expires_at > $2",
        )
        .bind(id.as_str())
        .bind(self.now().as_microsecond());
        bounded(async { Ok(query.fetch_one(self.0.engine.reader()).await? > 0) }).await
    }

    /// Forgets a password that no user has.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn forget_password(&self, id: &OperationId) -> Result<(), StoreError> {
        bounded(async {
            let mut tx = self.begin().await?;
            forget(&mut tx, id).await?;
            self.0.engine.commit(tx).await
        })
        .await
    }

    /// Gives a password away: once, and on record in the same transaction.
    ///
    /// # Errors
    /// `AuditUnavailable`; `Corrupt`; `Unavailable`. It may count as shown then.
    pub async fn take_password(&self, id: &OperationId, audit: AuditEntry) -> Result<Handed, StoreError> {
        let handed = bounded(self.take(id, audit)).await?;
        if matches!(handed, Handed::Password(_)) {
            // The sealed bytes leave the database's log, too, unless somebody reads an old state.
            let _ = bounded(self.0.engine.clear_log()).await;
        }
        Ok(handed)
    }

    async fn take(&self, id: &OperationId, audit: AuditEntry) -> Result<Handed, StoreError> {
        let mut tx = self.begin().await?;
        let Some(row) = kept(&mut tx, id).await? else { return Ok(Handed::Nothing) };
        if let Some(at) = row.taken_at {
            return Ok(Handed::Taken(time(at)?));
        }
        let now = self.now().as_microsecond();
        if row.expires_at <= now || row.sealed.is_empty() {
            return Ok(Handed::Expired);
        }
        if row.ready_at.is_none() {
            return Ok(Handed::NotYet);
        }
        let password = self.opened(&row)?;
        let taken = sqlx::query(
            "UPDATE passwords SET sealed = $1, taken_at = $2 WHERE operation = $3 AND taken_at IS NULL \
             AND ready_at IS NOT NULL AND expires_at > $2",
        )
        .bind(Vec::new())
        .bind(now)
        .bind(id.as_str())
        .execute(&mut *tx)
        .await?;
        if taken.rows_affected() != 1 {
            return Err(StoreError::Conflict);
        }
        let subject = Subject { tenant: &row.tenant, operation: Some(id), actor: None };
        self.append(&mut tx, subject, audit).await?;
        self.0.engine.commit(tx).await?;
        Ok(Handed::Password(password))
    }

    /// Empties the passwords that nobody asked for in time; how many these were.
    ///
    /// # Errors
    /// `AuditUnavailable`; `Corrupt`; `Unavailable`; some may be empty then.
    pub async fn expire_passwords(&self) -> Result<u64, StoreError> {
        let due = sqlx::query_as(concat!(rows!(), "length(p.sealed) > 0 AND p.expires_at <= $1 LIMIT $2"))
            .bind(self.now().as_microsecond())
            .bind(BATCH);
        let due: Vec<Row> = bounded(async { Ok(due.fetch_all(self.0.engine.reader()).await?) }).await?;
        if due.is_empty() {
            return Ok(0);
        }
        let emptied = bounded(self.empty(&due)).await?;
        let _ = bounded(self.0.engine.clear_log()).await;
        Ok(emptied)
    }

    async fn empty(&self, due: &[Row]) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let mut emptied = 0;
        for row in due {
            let id: OperationId = row.operation.parse().map_err(|()| StoreError::Corrupt)?;
            let gone = sqlx::query(
                "UPDATE passwords SET sealed = $1 WHERE operation = $2 AND length(sealed) > 0 \
                 AND expires_at <= $3",
            )
            .bind(Vec::new())
            .bind(id.as_str())
            .bind(self.now().as_microsecond())
            .execute(&mut *tx)
            .await?;
            if gone.rows_affected() == 1 {
                let subject = Subject { tenant: &row.tenant, operation: Some(&id), actor: None };
                self.append(&mut tx, subject, AuditEntry::new("password.expired")).await?;
                emptied += 1;
            }
        }
        self.0.engine.commit(tx).await?;
        Ok(emptied)
    }

    /// Lets a person see the password of a verified create, and forgets that of one that ended
    /// without.
    pub(super) async fn settle_password(&self, tx: &mut Tx, op: &Operation) -> Result<(), StoreError> {
        if !creates(op.action) {
            return Ok(());
        }
        if op.state == State::Verified {
            sqlx::query(
                "UPDATE passwords SET ready_at = $1, expires_at = $2 WHERE operation = $3 \
                 AND ready_at IS NULL AND length(sealed) > 0",
            )
            .bind(self.now().as_microsecond())
            .bind(self.end_of_wait().as_microsecond())
            .bind(op.id.as_str())
            .execute(&mut **tx)
            .await?;
        } else if op.state.is_ended() && op.state != State::Done {
            forget(tx, &op.id).await?;
        }
        Ok(())
    }

    fn end_of_wait(&self) -> Timestamp {
        self.now().saturating_add(WAITS).unwrap_or(Timestamp::MAX)
    }

    fn opened(&self, row: &Row) -> Result<SecretString, StoreError> {
        let id: OperationId = row.operation.parse().map_err(|()| StoreError::Corrupt)?;
        let plain = self.0.vault.open(place(&row.tenant, &id), &row.sealed)?;
        let text = std::str::from_utf8(&plain).map_err(|_| StoreError::Corrupt)?;
        Ok(SecretString::from(text))
    }
}

/// Whether an action makes a user.
fn creates(action: Action) -> bool {
    matches!(action, Action::ProvisionUser | Action::RestoreUser)
}

async fn kept(tx: &mut Tx, id: &OperationId) -> Result<Option<Row>, StoreError> {
    let query = sqlx::query_as(concat!(rows!(), "p.operation = $1")).bind(id.as_str());
    Ok(query.fetch_optional(&mut **tx).await?)
}

/// Forgets a password that was never ready to be seen.
async fn forget(tx: &mut Tx, id: &OperationId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM passwords WHERE operation = $1 AND ready_at IS NULL")
        .bind(id.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn place<'a>(tenant: &'a str, id: &'a OperationId) -> Place<'a> {
    Place { purpose: "password", tenant, row: id.as_str(), version: 0 }
}
