//! Captures: a user as ZIA gave it, before a change.

use std::collections::HashMap;

use jiff::Timestamp;
use sqlx::FromRow;
use zeroize::Zeroizing;

use super::{
    AuditEntry, Store, StoreError,
    audit::Subject,
    engine::{Db, Tx, bounded},
    time,
    vault::Place,
};
use crate::model::{CaptureId, Digest, Operation, OperationId, UserId};

/// What a capture is made from.
#[derive(Clone)]
pub struct NewCapture<'a> {
    /// The tenant of the operation.
    pub tenant: &'a str,
    /// The operation that needs it.
    pub operation: OperationId,
    /// The user.
    pub user_id: UserId,
    /// The user's address; kept as a keyed digest.
    pub email: &'a str,
    /// The object as ZIA sent it, byte by byte.
    pub raw: &'a [u8],
}

/// A capture, without what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureInfo {
    /// Its id.
    pub id: CaptureId,
    /// Its tenant.
    pub tenant: String,
    /// The operation that made it.
    pub operation: OperationId,
    /// The user.
    pub user_id: UserId,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// SHA-256 of the raw object; sealed at rest, and gone with a purge.
    pub digest: Option<Digest>,
    /// Size of the raw object, in bytes; 0 once it is purged.
    pub bytes: u64,
    /// When its key was destroyed, if it was.
    pub purged_at: Option<Timestamp>,
}

/// The columns of [`Row`].
macro_rules! columns {
    () => {
        "SELECT id, tenant, operation, user_id, taken_at, size, data_key, purged_at FROM captures "
    };
}

/// The columns of [`WholeRow`]: by name, since a newer version may add some while this one runs.
macro_rules! whole {
    () => {
        "SELECT id, tenant, operation, user_id, taken_at, size, data_key, purged_at, body FROM captures "
    };
}

#[derive(FromRow)]
struct Row {
    id: String,
    tenant: String,
    operation: String,
    user_id: i64,
    taken_at: i64,
    size: i64,
    data_key: Vec<u8>,
    purged_at: Option<i64>,
}

#[derive(FromRow)]
pub(super) struct WholeRow {
    #[sqlx(flatten)]
    row: Row,
    body: Vec<u8>,
}

type InfoQuery<'q> = sqlx::query::QueryAs<'q, Db, Row, super::engine::Arguments>;

/// A capture and what it holds.
type Opened = (CaptureInfo, Zeroizing<Vec<u8>>);

impl Store {
    /// Writes a capture, reads it back from disk, decrypts it and compares (I1).
    ///
    /// # Errors
    /// `NotFound` if the tenant has no such operation; `Corrupt` if it does not read back as it
    /// was; `AuditUnavailable`; `Unavailable`.
    pub async fn capture(&self, new: NewCapture<'_>, audit: AuditEntry) -> Result<CaptureInfo, StoreError> {
        let id = CaptureId::random();
        bounded(async {
            let mut tx = self.begin().await?;
            self.insert_capture(&mut tx, &id, &new).await?;
            let audit = audit.with("capture", id.as_str());
            let subject = Subject { tenant: new.tenant, operation: Some(&new.operation), actor: None };
            self.append(&mut tx, subject, audit).await?;
            self.0.engine.commit(tx).await
        })
        .await?;
        // By another connection, which does not share the writer's page cache.
        match self.open_capture(&id).await? {
            Some((info, raw)) if *raw == new.raw => Ok(info),
            _ => Err(StoreError::Corrupt),
        }
    }

    /// Captures of one tenant or all, newest first, at most `limit`.
    ///
    /// # Errors
    /// `Corrupt`; `Unavailable`.
    pub async fn captures(&self, tenant: Option<&str>, limit: u32) -> Result<Vec<CaptureInfo>, StoreError> {
        const SQL: &str =
            concat!(columns!(), "WHERE tenant = COALESCE($1, tenant) ORDER BY ordinal DESC LIMIT $2");
        self.infos(sqlx::query_as(SQL).bind(tenant).bind(i64::from(limit))).await
    }

    /// Every capture that was not purged, oldest first, and its tenant.
    ///
    /// # Errors
    /// `Corrupt`; `Unavailable`.
    pub async fn kept_captures(&self, tenant: Option<&str>) -> Result<Vec<(CaptureId, String)>, StoreError> {
        const SQL: &str = "SELECT ordinal, id, tenant FROM captures WHERE ordinal > $1 AND purged_at IS NULL \
                           AND tenant = COALESCE($2, tenant) ORDER BY ordinal LIMIT 1000";
        let (mut all, mut last) = (Vec::new(), 0);
        loop {
            let query = sqlx::query_as(SQL).bind(last).bind(tenant);
            let rows: Vec<(i64, String, String)> =
                bounded(async { Ok(query.fetch_all(self.0.engine.reader()).await?) }).await?;
            let Some((ordinal, ..)) = rows.last() else { return Ok(all) };
            last = *ordinal;
            for (_, id, tenant) in rows {
                all.push((id.parse().map_err(|()| StoreError::Corrupt)?, tenant));
            }
        }
    }

    /// Captures of the user with this address, case aside, newest first.
    ///
    /// # Errors
    /// `Corrupt`; `Unavailable`.
    pub async fn captures_of_email(&self, tenant: &str, email: &str) -> Result<Vec<CaptureInfo>, StoreError> {
        const SQL: &str = concat!(columns!(), "WHERE tenant = $1 AND email = $2 ORDER BY ordinal DESC");
        let digest = self.email_digest(email).as_bytes().to_vec();
        self.infos(sqlx::query_as(SQL).bind(tenant).bind(digest)).await
    }

    /// A capture without what it holds; a purged one, too.
    ///
    /// # Errors
    /// `Corrupt`; `Unavailable`.
    pub async fn capture_info(&self, id: &CaptureId) -> Result<Option<CaptureInfo>, StoreError> {
        const SQL: &str = concat!(columns!(), "WHERE id = $1");
        Ok(self.infos(sqlx::query_as(SQL).bind(id.as_str())).await?.pop())
    }

    /// A capture with the raw object.
    ///
    /// # Errors
    /// `Purged`; `Corrupt` if it does not decrypt to what was captured; `Unavailable`.
    pub async fn open_capture(&self, id: &CaptureId) -> Result<Option<Opened>, StoreError> {
        bounded(async {
            let row: Option<WholeRow> = sqlx::query_as(concat!(whole!(), "WHERE id = $1"))
                .bind(id.as_str())
                .fetch_optional(self.0.engine.reader())
                .await?;
            row.map(|row| self.open_row(row)).transpose()
        })
        .await
    }

    /// Demands that the operation has a capture of this user, whose newest opens.
    pub(super) async fn require_capture(
        &self,
        tx: &mut Tx,
        op: &Operation,
        user: UserId,
    ) -> Result<(), StoreError> {
        let row: Option<WholeRow> = sqlx::query_as(concat!(
            whole!(),
            "WHERE operation = $1 AND user_id = $2 ORDER BY ordinal DESC LIMIT 1"
        ))
        .bind(op.id.as_str())
        .bind(user.get())
        .fetch_optional(&mut **tx)
        .await?;
        self.check_capture(op, user, row)
    }

    /// The newest capture of each user of an operation on several.
    pub(super) async fn newest_captures(
        &self,
        tx: &mut Tx,
        op: &Operation,
    ) -> Result<HashMap<i64, WholeRow>, StoreError> {
        let rows: Vec<WholeRow> = sqlx::query_as(concat!(whole!(), "WHERE operation = $1 ORDER BY ordinal"))
            .bind(op.id.as_str())
            .fetch_all(&mut **tx)
            .await?;
        Ok(rows.into_iter().map(|row| (row.row.user_id, row)).collect())
    }

    /// Demands that there is a capture of this user and that it opens.
    pub(super) fn check_capture(
        &self,
        op: &Operation,
        user: UserId,
        row: Option<WholeRow>,
    ) -> Result<(), StoreError> {
        let (info, _) = match self.open_row(row.ok_or(StoreError::NotApproved)?) {
            Err(StoreError::Purged { .. }) => return Err(StoreError::NotApproved),
            opened => opened?,
        };
        if info.user_id == user && info.tenant == op.tenant { Ok(()) } else { Err(StoreError::NotApproved) }
    }

    async fn insert_capture(
        &self,
        tx: &mut Tx,
        id: &CaptureId,
        new: &NewCapture<'_>,
    ) -> Result<(), StoreError> {
        let sealed = self.0.vault.envelop(place(new.tenant, id.as_str(), new.user_id.get()), new.raw)?;
        let written = sqlx::query(
            "INSERT INTO captures (ordinal, id, tenant, operation, user_id, email, taken_at, size, data_key, body) \
             SELECT (SELECT COALESCE(MAX(ordinal), 0) + 1 FROM captures), \
             $1, o.tenant, o.id, $2, $3, $4, $5, $6, $7 FROM operations o WHERE o.id = $8 AND o.tenant = $9",
        )
        .bind(id.as_str())
        .bind(new.user_id.get())
        .bind(self.email_digest(new.email).as_bytes().to_vec())
        .bind(self.now().as_microsecond())
        .bind(i64::try_from(new.raw.len()).map_err(|_| StoreError::unavailable("a capture is too large"))?)
        .bind(sealed.key)
        .bind(sealed.body)
        .bind(new.operation.as_str())
        .bind(new.tenant)
        .execute(&mut **tx)
        .await?;
        if written.rows_affected() == 1 { Ok(()) } else { Err(StoreError::NotFound) }
    }

    async fn infos(&self, query: InfoQuery<'_>) -> Result<Vec<CaptureInfo>, StoreError> {
        bounded(async {
            let rows = query.fetch_all(self.0.engine.reader()).await?;
            rows.into_iter().map(|row| self.info(&row)).collect()
        })
        .await
    }

    fn info(&self, row: &Row) -> Result<CaptureInfo, StoreError> {
        if row.purged_at.is_some() {
            return row.info(None);
        }
        let (_, digest) = self.0.vault.open_key(place(&row.tenant, &row.id, row.user_id), &row.data_key)?;
        row.info(Some(digest))
    }

    fn open_row(&self, WholeRow { row, body }: WholeRow) -> Result<Opened, StoreError> {
        if let Some(at) = row.purged_at {
            return Err(StoreError::Purged { at: time(at)? });
        }
        let place = place(&row.tenant, &row.id, row.user_id);
        let (digest, raw) = self.0.vault.unwrap(place, &row.data_key, &body)?;
        Ok((row.info(Some(digest))?, raw))
    }
}

impl Row {
    fn info(&self, digest: Option<Digest>) -> Result<CaptureInfo, StoreError> {
        Ok(CaptureInfo {
            id: self.id.parse().map_err(|()| StoreError::Corrupt)?,
            tenant: self.tenant.clone(),
            operation: self.operation.parse().map_err(|()| StoreError::Corrupt)?,
            user_id: UserId::new(self.user_id).ok_or(StoreError::Corrupt)?,
            taken_at: time(self.taken_at)?,
            digest,
            bytes: u64::try_from(self.size).map_err(|_| StoreError::Corrupt)?,
            purged_at: self.purged_at.map(time).transpose()?,
        })
    }
}

/// Binds a capture to its row and its user.
fn place<'a>(tenant: &'a str, id: &'a str, user: i64) -> Place<'a> {
    Place { purpose: "capture", tenant, row: id, version: user }
}
