//! Approvals: recorded once, used once.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    AuditEntry, Store, StoreError,
    audit::Subject,
    engine::{Tx, bounded},
    time,
    vault::Place,
};
use crate::model::{Digest, Operation, OperationId, State};

/// A person's yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Who approved; sealed at rest.
    pub by: String,
    /// The way they did.
    pub channel: String,
    /// Digest of what they saw.
    pub digest: Digest,
}

/// An approval on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalRecord {
    /// Who approved.
    pub by: String,
    /// The way they did.
    pub channel: String,
    /// Digest of what they saw.
    pub digest: Digest,
    /// When.
    pub at: Timestamp,
    /// When the first send used it up, if one did.
    pub used_at: Option<Timestamp>,
}

/// What is sealed, after the 32 bytes of the digest.
#[derive(Serialize, Deserialize)]
struct Sealed {
    by: String,
    channel: String,
}

impl Store {
    /// Records an approval and moves the operation from `Awaiting` to `Approved`, both or neither.
    ///
    /// `own` says that this process carries it out from now on; else the next one that looks does.
    ///
    /// # Errors
    /// `Conflict` if the operation changed, was decided already or has lapsed; `NotFound`;
    /// `AuditUnavailable`; `Unavailable`.
    pub async fn approve(
        &self,
        op: &Operation,
        approval: Approval,
        details: Value,
        own: bool,
        audit: AuditEntry,
    ) -> Result<Operation, StoreError> {
        bounded(async {
            let mut tx = self.begin().await?;
            let mut current = self.current(&mut tx, op).await?;
            if current.state != State::Awaiting || current.expires_at <= self.now() {
                return Err(StoreError::Conflict);
            }
            let renewed = if own { Some(self.renew(&mut tx).await?) } else { None };
            current.owner = renewed.as_ref().and_then(|r| r.owner.clone());
            self.save(&mut tx, &mut current, State::Approved, details).await?;
            sqlx::query("INSERT INTO approvals (operation, sealed, approved_at) VALUES ($1, $2, $3)")
                .bind(current.id.as_str())
                .bind(self.seal_approval(&current, approval)?)
                .bind(current.updated_at.as_microsecond())
                .execute(&mut *tx)
                .await?;
            self.append(&mut tx, Subject::of(&current), audit).await?;
            self.0.engine.commit(tx).await?;
            renewed.iter().for_each(|r| self.renewed(r));
            Ok(current)
        })
        .await
    }

    /// The approval of an operation.
    ///
    /// # Errors
    /// `Corrupt` if it cannot be unsealed; `Unavailable`.
    pub async fn approval(&self, id: &OperationId) -> Result<Option<ApprovalRecord>, StoreError> {
        bounded(async {
            let row: Option<(String, Vec<u8>, i64, Option<i64>)> = sqlx::query_as(
                "SELECT o.tenant, a.sealed, a.approved_at, a.used_at FROM approvals a \
                 JOIN operations o ON o.id = a.operation WHERE a.operation = $1",
            )
            .bind(id.as_str())
            .fetch_optional(self.0.engine.reader())
            .await?;
            let Some((tenant, sealed, at, used_at)) = row else { return Ok(None) };
            let Approval { by, channel, digest } = self.open_approval(&tenant, id, &sealed)?;
            let used_at = used_at.map(time).transpose()?;
            Ok(Some(ApprovalRecord { by, channel, digest, at: time(at)?, used_at }))
        })
        .await
    }

    /// Uses an operation's approval up, once.
    ///
    /// `first` says that nothing was sent on it yet; `required`, that there must be one. The
    /// approval must open: a row that was forged from outside does not.
    pub(super) async fn use_approval(
        &self,
        tx: &mut Tx,
        op: &Operation,
        first: bool,
        required: bool,
    ) -> Result<(), StoreError> {
        let sealed: Option<Vec<u8>> = sqlx::query_scalar("SELECT sealed FROM approvals WHERE operation = $1")
            .bind(op.id.as_str())
            .fetch_optional(&mut **tx)
            .await?;
        match sealed {
            Some(sealed) => self.open_approval(&op.tenant, &op.id, &sealed)?,
            None if required => return Err(StoreError::NotApproved),
            None => return Ok(()),
        };
        if !first {
            return Ok(());
        }
        let used = sqlx::query("UPDATE approvals SET used_at = $1 WHERE operation = $2 AND used_at IS NULL")
            .bind(self.now().as_microsecond())
            .bind(op.id.as_str())
            .execute(&mut **tx)
            .await?;
        if used.rows_affected() == 1 { Ok(()) } else { Err(StoreError::NotApproved) }
    }

    fn seal_approval(&self, op: &Operation, approval: Approval) -> Result<Vec<u8>, StoreError> {
        let mut plain = approval.digest.as_bytes().to_vec();
        let sealed = Sealed { by: approval.by, channel: approval.channel };
        serde_json::to_writer(&mut plain, &sealed).map_err(|_| StoreError::Corrupt)?;
        self.0.vault.seal(place(&op.tenant, &op.id), &plain)
    }

    fn open_approval(&self, tenant: &str, id: &OperationId, sealed: &[u8]) -> Result<Approval, StoreError> {
        let plain = self.0.vault.open(place(tenant, id), sealed)?;
        let (digest, json) = plain.split_first_chunk::<32>().ok_or(StoreError::Corrupt)?;
        let digest = Digest::from_slice(digest).ok_or(StoreError::Corrupt)?;
        let Sealed { by, channel } = serde_json::from_slice(json).map_err(|_| StoreError::Corrupt)?;
        Ok(Approval { by, channel, digest })
    }
}

fn place<'a>(tenant: &'a str, id: &'a OperationId) -> Place<'a> {
    Place { purpose: "approval", tenant, row: id.as_str(), version: 0 }
}
