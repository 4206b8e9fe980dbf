//! Those who may approve out of band, and their one-time codes (RFC 6238).

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use totp_rs::{Builder, Secret, Totp};
use zeroize::{Zeroize as _, Zeroizing};

use super::{
    AuditEntry, Store, StoreError,
    audit::Subject,
    engine::{Tx, bounded},
    keys::new_key,
    time,
    vault::Place,
};
use crate::model::Operation;

/// Time steps of 30 s by which an approver's clock may be off, either way.
const DRIFT: u16 = 2;

/// Wrong codes in a row that lock an approver.
const MOST_FAILURES: i64 = 5;

/// How long.
const LOCK: SignedDuration = SignedDuration::from_mins(15);

/// Bytes of a secret, as RFC 4226 advises.
const SECRET_BYTES: usize = 20;

/// The audit chain of what belongs to no tenant.
pub const NO_TENANT: &str = "(store)";

/// What an authenticator app shows beside the name.
const ISSUER: &str = "zia-mcp";

/// Somebody who may approve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approver {
    /// The name they are asked by.
    pub name: String,
    /// When they were enrolled.
    pub enrolled_at: Timestamp,
    /// Until when their codes are refused, if they are.
    pub locked_until: Option<Timestamp>,
}

/// What a one-time code is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It is the approver's, and was not used before; their name as enrolled.
    Right(String),
    /// It is not, or was used before, or there is no such approver.
    Wrong,
    /// Too many wrong ones: none is looked at before then.
    Locked(Timestamp),
}

#[derive(FromRow)]
struct Row {
    name: String,
    enrolled_at: i64,
    sealed: Vec<u8>,
    last_step: i64,
    failures: i64,
    locked_until: Option<i64>,
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Enrolled {
    name: String,
    secret: [u8; SECRET_BYTES],
}

impl Drop for Enrolled {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl Enrolled {
    fn totp(&self) -> Result<Totp, StoreError> {
        Builder::new()
            .with_secret(Secret::new_stack(self.secret))
            .with_skew(DRIFT)
            .with_issuer(Some(ISSUER))
            .with_account_name(self.name.as_str())
            .build()
            .map_err(|_| StoreError::Corrupt)
    }
}

impl Store {
    /// Enrols an approver; gives the `otpauth://` URI of their secret, which is shown once.
    ///
    /// # Errors
    /// `Conflict` if there is one of this name, case aside; `AuditUnavailable`; `Unavailable`.
    pub async fn enrol(&self, name: &str) -> Result<Zeroizing<String>, StoreError> {
        let mut secret = [0; SECRET_BYTES];
        new_key()?.iter().zip(&mut secret).for_each(|(from, to)| *to = *from);
        let enrolled = Enrolled { name: name.to_owned(), secret };
        secret.zeroize();
        let uri = Zeroizing::new(enrolled.totp()?.to_url().map_err(|_| StoreError::Corrupt)?);
        let plain = Zeroizing::new(serde_json::to_vec(&enrolled).map_err(|_| StoreError::Corrupt)?);
        let key = self.approver_digest(name);
        bounded(async {
            let mut tx = self.begin().await?;
            sqlx::query("INSERT INTO approvers (name, enrolled_at, sealed) VALUES ($1, $2, $3)")
                .bind(key.clone())
                .bind(self.now().as_microsecond())
                .bind(self.0.vault.seal(place(&key), &plain)?)
                .execute(&mut *tx)
                .await?;
            self.append_of(&mut tx, "approver.enrolled", &key).await?;
            self.0.engine.commit(tx).await
        })
        .await?;
        Ok(uri)
    }

    /// Those who may approve, in order of enrolment.
    ///
    /// # Errors
    /// `Corrupt`; `Unavailable`.
    pub async fn approvers(&self) -> Result<Vec<Approver>, StoreError> {
        bounded(async {
            let rows: Vec<Row> = sqlx::query_as("SELECT name, enrolled_at, sealed, last_step, failures, locked_until FROM approvers ORDER BY enrolled_at")
                .fetch_all(self.0.engine.reader())
                .await?;
            rows.iter().map(|row| self.approver(row)).collect()
        })
        .await
    }

    /// Takes an approver's right away; false if there is none of this name.
    ///
    /// # Errors
    /// `AuditUnavailable`; `Unavailable`.
    pub async fn remove_approver(&self, name: &str) -> Result<bool, StoreError> {
        let key = self.approver_digest(name);
        bounded(async {
            let mut tx = self.begin().await?;
            let gone = sqlx::query("DELETE FROM approvers WHERE name = $1").bind(key.clone());
            if gone.execute(&mut *tx).await?.rows_affected() == 0 {
                return Ok(false);
            }
            self.append_of(&mut tx, "approver.removed", &key).await?;
            self.0.engine.commit(tx).await?;
            Ok(true)
        })
        .await
    }

    /// Checks an approver's one-time code, which is used up if it is right.
    ///
    /// Each code counts once, and none that is older than one accepted before. Five wrong ones in a
    /// row lock the approver for 15 minutes. A wrong one of an approver is on record, for the operation
    /// if there is one.
    ///
    /// # Errors
    /// `AuditUnavailable`; `Corrupt`; `Unavailable`. The code counts as used or wrong then, or not.
    pub async fn check_code(
        &self,
        operation: Option<&Operation>,
        name: &str,
        code: &str,
    ) -> Result<Proof, StoreError> {
        let (key, now) = (self.approver_digest(name), self.now());
        bounded(async {
            let mut tx = self.begin().await?;
            let row: Option<Row> = sqlx::query_as("SELECT name, enrolled_at, sealed, last_step, failures, locked_until FROM approvers WHERE name = $1")
                .bind(key.clone())
                .fetch_optional(&mut *tx)
                .await?;
            let proof = match &row {
                Some(row) => self.proof(row, code, now)?,
                None => (Proof::Wrong, 0),
            };
            if let Some(row) = &row {
                note(&mut tx, row, &proof, now).await?;
            }
            // Nobody who is no approver fills the trail: five of these lock, and then there are no more.
            if row.is_some() && proof.0 == Proof::Wrong {
                let entry = AuditEntry::new("approval.code_refused").with("approver", key.as_str());
                let tenant = operation.map_or(NO_TENANT, |o| o.tenant.as_str());
                let subject = Subject { tenant, operation: operation.map(|o| &o.id), actor: None };
                self.append(&mut tx, subject, entry).await?;
            }
            self.0.engine.commit(tx).await?;
            Ok(proof.0)
        })
        .await
    }

    /// What a code is worth, and the time step it belongs to.
    fn proof(&self, row: &Row, code: &str, now: Timestamp) -> Result<(Proof, i64), StoreError> {
        if let Some(until) = row.locked_until.map(time).transpose()?.filter(|until| *until > now) {
            return Ok((Proof::Locked(until), 0));
        }
        let enrolled = self.open_approver(row)?;
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        let step = enrolled.totp()?.check(code, seconds).and_then(|step| i64::try_from(step).ok());
        Ok(match step.filter(|step| *step > row.last_step) {
            Some(step) => (Proof::Right(enrolled.name.clone()), step),
            None => (Proof::Wrong, 0),
        })
    }

    fn approver(&self, row: &Row) -> Result<Approver, StoreError> {
        let now = self.now();
        let locked_until = row.locked_until.map(time).transpose()?.filter(|until| *until > now);
        let name = self.open_approver(row)?.name.clone();
        Ok(Approver { name, enrolled_at: time(row.enrolled_at)?, locked_until })
    }

    fn open_approver(&self, row: &Row) -> Result<Enrolled, StoreError> {
        let plain = self.0.vault.open(place(&row.name), &row.sealed)?;
        serde_json::from_slice(&plain).map_err(|_| StoreError::Corrupt)
    }

    /// How an approver is found, and named on the record.
    pub fn approver_digest(&self, name: &str) -> String {
        self.0.vault.digest("approver", name.to_lowercase().as_bytes()).to_string()
    }

    async fn append_of(&self, tx: &mut Tx, event: &'static str, key: &str) -> Result<(), StoreError> {
        let subject = Subject { tenant: NO_TENANT, operation: None, actor: None };
        self.append(tx, subject, AuditEntry::new(event).with("approver", key)).await
    }
}

/// Records what became of a code.
async fn note(
    tx: &mut Tx,
    row: &Row,
    (proof, step): &(Proof, i64),
    now: Timestamp,
) -> Result<(), StoreError> {
    let lock = || now.saturating_add(LOCK).unwrap_or(Timestamp::MAX).as_microsecond();
    let (last_step, failures, locked_until) = match proof {
        Proof::Locked(_) => return Ok(()),
        Proof::Right(_) => (*step, 0, None),
        Proof::Wrong if row.failures + 1 >= MOST_FAILURES => (row.last_step, 0, Some(lock())),
        Proof::Wrong => (row.last_step, row.failures + 1, None),
    };
    sqlx::query("UPDATE approvers SET last_step = $1, failures = $2, locked_until = $3 WHERE name = $4")
        .bind(last_step)
        .bind(failures)
        .bind(locked_until)
        .bind(row.name.clone())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn place(row: &str) -> Place<'_> {
    Place { purpose: "approver", tenant: NO_TENANT, row, version: 0 }
}
