//! Checkpoints: signed statements of how far a chain of the audit trail reached.
//!
//! The key comes from the key file, so whoever has the database alone can make none. The newest
//! ones are kept outside the database too: there they tell when records were cut off its end.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::FromRow;

use super::{
    Store, StoreError, checkpoint_files as files,
    engine::{Tx, bounded},
    schema, time,
};
use crate::model::{Digest, canonical_json};

/// The format of what is signed.
const FORMAT: i64 = 1;

/// Records of one chain after which it is signed at once (T25).
pub(super) const EVERY: i64 = 1_000;

/// A signed statement that a chain reached a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The chain.
    pub tenant: String,
    /// The last record that it covers.
    pub seq: i64,
    /// When it was signed.
    pub at: Timestamp,
    /// The hash of that record, and so of all before it.
    pub hash: Digest,
    /// Ed25519, over the statement as canonical JSON; 64 bytes.
    pub signature: Vec<u8>,
    /// The public key, for who has no key file; 32 bytes.
    pub key: Vec<u8>,
}

/// A checkpoint as it stands in a file.
#[derive(Deserialize)]
struct Line {
    format: i64,
    tenant: String,
    seq: i64,
    at: Timestamp,
    hash: String,
    signature: String,
    key: String,
}

impl Checkpoint {
    /// What is signed: `at`, `format`, `hash`, `seq` and `tenant` as canonical JSON.
    pub fn statement(&self) -> String {
        canonical_json(&json!({
            "format": FORMAT, "tenant": self.tenant, "seq": self.seq, "at": self.at.to_string(),
            "hash": self.hash.to_string(),
        }))
    }

    /// The checkpoint as JSON: what is signed, with `signature` and `key` in hexadecimal.
    pub fn to_json(&self) -> Value {
        json!({
            "format": FORMAT, "tenant": self.tenant, "seq": self.seq, "at": self.at.to_string(),
            "hash": self.hash.to_string(), "signature": hex(&self.signature), "key": hex(&self.key),
        })
    }

    /// Reads one that [`Checkpoint::to_json`] wrote; the signature is not looked at.
    ///
    /// # Errors
    /// What is wrong with the JSON; `None` if it is another thing than a checkpoint.
    pub(super) fn parse(line: &str) -> Result<Self, Option<serde_json::Error>> {
        let line: Line = serde_json::from_str(line).map_err(Some)?;
        let hash = unhex(&line.hash).and_then(|bytes| Digest::from_slice(&bytes)).ok_or(None)?;
        let (signature, key) = (unhex(&line.signature).ok_or(None)?, unhex(&line.key).ok_or(None)?);
        if line.format != FORMAT {
            return Err(None);
        }
        Ok(Self { tenant: line.tenant, seq: line.seq, at: line.at, hash, signature, key })
    }
}

/// Signs and checks with the key of one store.
pub(super) struct Signer(Ed25519KeyPair);

impl Signer {
    pub(super) fn of(store: &Store) -> Result<Self, StoreError> {
        let seed = store.0.vault.derived("audit-checkpoint");
        Ed25519KeyPair::from_seed_unchecked(&*seed).map(Self).map_err(|_| StoreError::WrongKey)
    }

    pub(super) fn key(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    fn sign(&self, tenant: &str, seq: i64, at: Timestamp, hash: Digest) -> Checkpoint {
        let key = self.key().to_vec();
        let mut new = Checkpoint { tenant: tenant.to_owned(), seq, at, hash, signature: Vec::new(), key };
        new.signature = self.0.sign(new.statement().as_bytes()).as_ref().to_vec();
        new
    }

    /// Whether this store signed it; the key that it names itself proves nothing.
    pub(super) fn signed(&self, checkpoint: &Checkpoint) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.key());
        key.verify(checkpoint.statement().as_bytes(), &checkpoint.signature).is_ok()
    }
}

/// A checkpoint as it is kept.
#[derive(FromRow)]
pub(super) struct Row {
    tenant: String,
    pub(super) seq: i64,
    at: i64,
    hash: Vec<u8>,
    signature: Vec<u8>,
}

impl Row {
    pub(super) fn read(self, key: &[u8]) -> Result<Checkpoint, StoreError> {
        let hash = Digest::from_slice(&self.hash).ok_or(StoreError::Corrupt)?;
        let (at, key) = (time(self.at)?, key.to_vec());
        Ok(Checkpoint { tenant: self.tenant, seq: self.seq, at, hash, signature: self.signature, key })
    }
}

/// The newest checkpoint of a chain.
enum Signed {
    New(Checkpoint),
    Before(Checkpoint),
}

impl Store {
    /// Signs every chain that grew since its last checkpoint, and keeps the newest of each in the
    /// state directory's `checkpoints` file.
    ///
    /// Answers the new ones. A chain that no longer holds what was signed before is not signed
    /// again: that would cover up the change.
    ///
    /// # Errors
    /// `Insecure` if others could read that file, `Corrupt` if it is damaged; `Unavailable`.
    pub async fn checkpoint(&self) -> Result<Vec<Checkpoint>, StoreError> {
        let signer = Signer::of(self)?;
        bounded(async {
            let mut tx = self.begin().await?;
            let kept = files::newest(&self.0.state_dir)?;
            let (mut new, mut ahead) = (Vec::new(), Vec::new());
            for tenant in tenants(&mut tx, Table::Audit).await? {
                match self.sign_growth(&mut tx, &signer, &tenant, kept.get(&tenant)).await {
                    Ok(Signed::New(checkpoint)) => new.push(checkpoint),
                    Ok(Signed::Before(checkpoint)) => ahead.push(checkpoint),
                    Err(StoreError::Corrupt) => tracing::error!(
                        tenant,
                        "the audit trail no longer holds what was signed: run `zia-mcp audit verify`"
                    ),
                    Err(other) => return Err(other),
                }
            }
            files::keep(&self.0.state_dir, kept, new.iter().chain(&ahead))?;
            self.0.engine.commit(tx).await?;
            Ok(new)
        })
        .await
    }

    /// Comes back once a chain has grown so far that it should be signed.
    pub async fn grown(&self) {
        self.0.growth.notified().await;
    }

    /// Checkpoints of a tenant that cover `from_seq` or more, in order, at most `limit`.
    ///
    /// # Errors
    /// `Corrupt` for one that cannot be read at all; `Unavailable`.
    pub async fn checkpoints(
        &self,
        tenant: &str,
        from_seq: i64,
        limit: u32,
    ) -> Result<Vec<Checkpoint>, StoreError> {
        let signer = Signer::of(self)?;
        let query = sqlx::query_as::<_, Row>(
            "SELECT tenant, seq, at, hash, signature FROM checkpoints \
             WHERE tenant = $1 AND seq >= $2 ORDER BY seq LIMIT $3",
        )
        .bind(tenant)
        .bind(from_seq)
        .bind(i64::from(limit));
        bounded(async {
            let mut tx = self.0.engine.snapshot().await?;
            if !schema::has_checkpoints(&mut tx).await? {
                return Ok(Vec::new());
            }
            let rows = query.fetch_all(&mut *tx).await?;
            rows.into_iter().map(|row| row.read(signer.key())).collect()
        })
        .await
    }

    /// The tenants that have an audit trail, in order.
    ///
    /// # Errors
    /// `Corrupt` if the database is damaged; `Unavailable`.
    pub async fn audit_tenants(&self) -> Result<Vec<String>, StoreError> {
        bounded(async { tenants(&mut self.0.engine.snapshot().await?, Table::Audit).await }).await
    }

    async fn sign_growth(
        &self,
        tx: &mut Tx,
        signer: &Signer,
        tenant: &str,
        kept: Option<&Checkpoint>,
    ) -> Result<Signed, StoreError> {
        let (seq, hash) = record(tx, tenant, i64::MAX).await?.ok_or(StoreError::Corrupt)?;
        let before: Option<Row> = sqlx::query_as(
            "SELECT tenant, seq, at, hash, signature FROM checkpoints WHERE tenant = $1 \
             ORDER BY seq DESC LIMIT 1",
        )
        .bind(tenant)
        .fetch_optional(&mut **tx)
        .await?;
        let before = before.map(|row| row.read(signer.key())).transpose()?;
        for signed in before.iter().chain(kept) {
            let there = record(tx, tenant, signed.seq).await?;
            if there != Some((signed.seq, signed.hash)) || !signer.signed(signed) {
                return Err(StoreError::Corrupt);
            }
        }
        if let Some(before) = before.filter(|before| before.seq == seq) {
            return Ok(Signed::Before(before));
        }
        let new = signer.sign(tenant, seq, self.now(), hash);
        sqlx::query("INSERT INTO checkpoints (tenant, seq, at, hash, signature) VALUES ($1, $2, $3, $4, $5)")
            .bind(tenant)
            .bind(seq)
            .bind(new.at.as_microsecond())
            .bind(hash.as_bytes().to_vec())
            .bind(new.signature.clone())
            .execute(&mut **tx)
            .await?;
        Ok(Signed::New(new))
    }
}

/// Where tenants are named.
#[derive(Clone, Copy)]
pub(super) enum Table {
    Audit,
    Checkpoints,
}

/// The tenants that a table names, in order; each is looked up, since a chain may be long.
///
/// Where a name cannot be read the list ends: no name that is text comes after it.
pub(super) async fn tenants(tx: &mut Tx, table: Table) -> Result<Vec<String>, StoreError> {
    let next = match table {
        Table::Audit => "SELECT MIN(tenant) FROM audit WHERE tenant > $1",
        Table::Checkpoints => "SELECT MIN(tenant) FROM checkpoints WHERE tenant > $1",
    };
    let mut found: Vec<String> = Vec::new();
    loop {
        let last = found.last().cloned().unwrap_or_default();
        match sqlx::query_scalar::<_, Option<String>>(next).bind(last).fetch_one(&mut **tx).await {
            Ok(Some(next)) => found.push(next),
            Ok(None) | Err(sqlx::Error::ColumnDecode { .. }) => return Ok(found),
            Err(other) => return Err(other.into()),
        }
    }
}

/// A record's place and hash: the last one's up to a place.
async fn record(tx: &mut Tx, tenant: &str, upto: i64) -> Result<Option<(i64, Digest)>, StoreError> {
    let found: Option<(i64, Vec<u8>)> = sqlx::query_as(
        "SELECT seq, hash FROM audit WHERE tenant = $1 AND seq <= $2 ORDER BY seq DESC LIMIT 1",
    )
    .bind(tenant)
    .bind(upto)
    .fetch_optional(&mut **tx)
    .await?;
    found.map(|(seq, hash)| Ok((seq, Digest::from_slice(&hash).ok_or(StoreError::Corrupt)?))).transpose()
}

/// The newest checkpoint of each tenant.
pub(super) type Newest = BTreeMap<String, Checkpoint>;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !digits || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}
