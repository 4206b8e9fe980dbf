//! The audit trail: one chain of records per tenant.
//!
//! Each record carries the hash of the one before it, so that a record that is changed, dropped
//! or moved is found (T25). A record is appended in the transaction of what it records (I6).

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use sqlx::FromRow;

use super::{
    Store, StoreError,
    checkpoints::EVERY,
    engine::{Tx, bounded},
    time,
};
use crate::model::{Actor, Digest, Operation, OperationId, canonical_json};

/// The format of a record's body.
const FORMAT: i64 = 1;

/// What comes before the first record.
pub(super) const BEGINNING: [u8; 32] = [0; 32];

/// Something to put on record.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// What happened, as a dotted name.
    pub event: &'static str,
    /// More about it: field names, ids, digests and codes; never personal data.
    pub fields: Map<String, Value>,
}

impl AuditEntry {
    /// An event without fields.
    pub fn new(event: &'static str) -> Self {
        Self { event, fields: Map::new() }
    }

    /// The same, with one more field.
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(field.to_owned(), value.into());
        self
    }
}

/// A record of the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// The chain it belongs to.
    pub tenant: String,
    /// Its place in the chain, from 1.
    pub seq: i64,
    /// When it was written.
    pub at: Timestamp,
    /// What happened.
    pub event: String,
    /// The operation it is about.
    pub operation: Option<OperationId>,
    /// A keyed digest of the caller.
    pub actor: Option<Digest>,
    /// The whole record as canonical JSON; the columns above repeat parts of it.
    pub body: String,
    /// The hash of the record before; zeros for the first.
    pub prev_hash: Digest,
    /// SHA-256 of `prev_hash` and `body`.
    pub hash: Digest,
}

/// The chain does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit trail is broken at record {seq}")]
pub struct BrokenChain {
    /// The first record that does not fit.
    pub seq: i64,
}

/// Checks that records are unchanged and follow one another.
///
/// `after` is the verified record before the first of them, `None` at the chain's beginning. A
/// tail that was cut off shows only against a later record or a checkpoint.
///
/// # Errors
/// The first record that was changed, is missing, or is out of place.
pub fn verify_chain(after: Option<&AuditRecord>, records: &[AuditRecord]) -> Result<(), BrokenChain> {
    let beginning = after.map_or(BEGINNING, |record| *record.hash.as_bytes());
    let mut expected = (after.map_or(1, |record| record.seq + 1), beginning);
    for record in records {
        let (seq, prev) = expected;
        let follows = record.seq == seq && *record.prev_hash.as_bytes() == prev;
        if !follows || record.hash != link(&prev, &record.body) || !record.agrees_with_body() {
            return Err(BrokenChain { seq });
        }
        expected = (seq + 1, *record.hash.as_bytes());
    }
    Ok(())
}

impl AuditRecord {
    fn agrees_with_body(&self) -> bool {
        let columns = Columns {
            tenant: &self.tenant,
            seq: self.seq,
            at: self.at.as_microsecond(),
            event: &self.event,
            operation: self.operation.as_ref().map(OperationId::as_str),
            actor: self.actor.as_ref().map(|actor| actor.as_bytes().as_slice()),
        };
        columns.agree_with(&self.body)
    }
}

/// The columns that repeat parts of a record's body.
pub(super) struct Columns<'a> {
    pub(super) tenant: &'a str,
    pub(super) seq: i64,
    pub(super) at: i64,
    pub(super) event: &'a str,
    pub(super) operation: Option<&'a str>,
    pub(super) actor: Option<&'a [u8]>,
}

/// What a body says of itself; borrowed, since a whole trail is read so.
#[derive(Deserialize)]
struct Claims<'a> {
    #[serde(borrow)]
    actor: Option<ActorClaim<'a>>,
    at: &'a str,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(rename = "fields")]
    _fields: IgnoredAny,
    format: i64,
    operation: Option<&'a str>,
    seq: i64,
    #[serde(borrow)]
    tenant: Cow<'a, str>,
}

#[derive(Deserialize)]
struct ActorClaim<'a> {
    caller: &'a str,
}

impl Columns<'_> {
    /// Whether the body says the same; the hash covers the body alone.
    pub(super) fn agree_with(&self, body: &str) -> bool {
        let Ok(claims) = serde_json::from_str::<Claims<'_>>(body) else { return false };
        let caller = self.actor.map(|actor| Digest::from_slice(actor).map(|digest| digest.to_string()));
        let claimed = claims.actor.map(|actor| Some(actor.caller.to_owned()));
        claims.format == FORMAT
            && claims.tenant == self.tenant
            && claims.seq == self.seq
            && claims.event == self.event
            && claims.operation == self.operation
            && caller == claimed
            && time(self.at).is_ok_and(|at| claims.at == at.to_string())
    }
}

/// Whom and what a record is about.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) tenant: &'a str,
    pub(super) operation: Option<&'a OperationId>,
    pub(super) actor: Option<&'a Actor>,
}

impl<'a> Subject<'a> {
    pub(super) fn of(op: &'a Operation) -> Self {
        Self { tenant: &op.tenant, operation: Some(&op.id), actor: Some(&op.actor) }
    }
}

#[derive(FromRow)]
struct Row {
    tenant: String,
    seq: i64,
    at: i64,
    event: String,
    operation: Option<String>,
    actor: Option<Vec<u8>>,
    body: String,
    prev_hash: Vec<u8>,
    hash: Vec<u8>,
}

impl TryFrom<Row> for AuditRecord {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let operation = row.operation.map(|id| id.parse().map_err(|()| StoreError::Corrupt)).transpose()?;
        Ok(Self {
            tenant: row.tenant,
            seq: row.seq,
            at: time(row.at)?,
            event: row.event,
            operation,
            actor: row.actor.map(|a| Digest::from_slice(&a).ok_or(StoreError::Corrupt)).transpose()?,
            body: row.body,
            prev_hash: Digest::from_slice(&row.prev_hash).ok_or(StoreError::Corrupt)?,
            hash: Digest::from_slice(&row.hash).ok_or(StoreError::Corrupt)?,
        })
    }
}

impl Store {
    /// Puts something on record that changes no operation.
    ///
    /// # Errors
    /// `AuditUnavailable`.
    pub async fn audit(
        &self,
        tenant: &str,
        operation: Option<&OperationId>,
        actor: Option<&Actor>,
        entry: AuditEntry,
    ) -> Result<(), StoreError> {
        bounded(async {
            let mut tx = self.begin().await?;
            self.append(&mut tx, Subject { tenant, operation, actor }, entry).await?;
            self.0.engine.commit(tx).await
        })
        .await
        .map_err(|_| StoreError::AuditUnavailable)
    }

    /// Records of a tenant's chain from `from_seq` on, in order, at most `limit`.
    ///
    /// # Errors
    /// `Corrupt` for a record that cannot be read at all; `Unavailable`.
    pub async fn audit_records(
        &self,
        tenant: &str,
        from_seq: i64,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let query = sqlx::query_as::<_, Row>(
            "SELECT tenant, seq, at, event, operation, actor, body, prev_hash, hash FROM audit \
             WHERE tenant = $1 AND seq >= $2 ORDER BY seq LIMIT $3",
        )
        .bind(tenant)
        .bind(from_seq)
        .bind(i64::from(limit));
        bounded(async {
            let rows = query.fetch_all(self.0.engine.reader()).await?;
            rows.into_iter().map(AuditRecord::try_from).collect()
        })
        .await
    }

    /// Records of one operation, in order, at most `limit`.
    ///
    /// # Errors
    /// `Corrupt` for a record that cannot be read at all; `Unavailable`.
    pub async fn audit_of(
        &self,
        tenant: &str,
        operation: &OperationId,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let query = sqlx::query_as::<_, Row>(
            "SELECT tenant, seq, at, event, operation, actor, body, prev_hash, hash FROM audit \
             WHERE operation = $1 AND tenant = $2 ORDER BY seq LIMIT $3",
        )
        .bind(operation.as_str())
        .bind(tenant)
        .bind(i64::from(limit));
        bounded(async {
            let rows = query.fetch_all(self.0.engine.reader()).await?;
            rows.into_iter().map(AuditRecord::try_from).collect()
        })
        .await
    }

    /// Appends a record inside the transaction of what it records.
    pub(super) async fn append(
        &self,
        tx: &mut Tx,
        subject: Subject<'_>,
        entry: AuditEntry,
    ) -> Result<(), StoreError> {
        self.link_in(tx, subject, entry).await.map_err(|_| StoreError::AuditUnavailable)
    }

    async fn link_in(&self, tx: &mut Tx, subject: Subject<'_>, entry: AuditEntry) -> Result<(), StoreError> {
        let last: Option<(i64, Vec<u8>)> =
            sqlx::query_as("SELECT seq, hash FROM audit WHERE tenant = $1 ORDER BY seq DESC LIMIT 1")
                .bind(subject.tenant)
                .fetch_optional(&mut **tx)
                .await?;
        let (seq, prev) = match last {
            Some((seq, hash)) => (seq + 1, *Digest::from_slice(&hash).ok_or(StoreError::Corrupt)?.as_bytes()),
            None => (1, BEGINNING),
        };
        let at = self.now();
        let body = self.body(seq, at, subject, &entry);
        sqlx::query(
            "INSERT INTO audit (tenant, seq, at, event, operation, actor, body, prev_hash, hash) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(subject.tenant)
        .bind(seq)
        .bind(at.as_microsecond())
        .bind(entry.event)
        .bind(subject.operation.map(OperationId::as_str))
        .bind(subject.actor.map(|actor| self.caller_key(&actor.caller)))
        .bind(body.as_str())
        .bind(prev.to_vec())
        .bind(link(&prev, &body).as_bytes().to_vec())
        .execute(&mut **tx)
        .await?;
        if seq % EVERY == 0 {
            // Whoever signs waits for this transaction to end.
            self.0.growth.notify_one();
        }
        Ok(())
    }

    fn body(&self, seq: i64, at: Timestamp, subject: Subject<'_>, entry: &AuditEntry) -> String {
        let keyed = |label, text: &str| self.0.vault.digest(label, text.as_bytes()).to_string();
        let actor = subject.actor.map(|actor| {
            json!({
                "caller": keyed("caller", &actor.caller),
                "client": keyed("client", &actor.client),
                "channel": actor.channel,
            })
        });
        canonical_json(&json!({
            "format": FORMAT,
            "tenant": subject.tenant,
            "seq": seq,
            "at": at.to_string(),
            "event": entry.event,
            "operation": subject.operation,
            "actor": actor,
            "fields": entry.fields,
        }))
    }
}

/// The hash of a record, given the one before it.
pub(super) fn link(prev: &[u8; 32], body: &str) -> Digest {
    let hash: [u8; 32] = Sha256::new().chain_update(prev).chain_update(body).finalize().into();
    Digest::from_slice(&hash).unwrap_or_else(|| Digest::of(&hash))
}
