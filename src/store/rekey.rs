//! Changing the key that seals, with servers running (F46).
//!
//! The key file first gets a new key beside the old ones. Then the canary is sealed anew, and with
//! it, from the next transaction on, whatever any process seals. Then every value is sealed anew in
//! batches, and last the old keys leave the key file. Each step leaves a store that opens, and a
//! key file that opens it; another run goes on where a killed one stopped.

use std::{fs::File, path::Path, time::Duration};

use serde_json::Value;
use sqlx::FromRow;

use super::{
    AuditEntry, Store, StoreError,
    audit::Subject,
    checkpoints::{Table, tenants},
    engine::{Tx, bounded},
    files,
    keys::{self, KeyId, KeyRing, hex},
    presence, schema,
    trouble::Step,
    vault::Place,
};
use crate::model::Actor;

/// Values that one transaction seals anew.
const BATCH: i64 = 200;

/// Between two of them, so that servers get their turn to write.
const PAUSE: Duration = Duration::from_millis(20);

/// How often the log is tried to be emptied, while others read.
const TRIES: u32 = 20;

/// What becomes of the keys that seal nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldKeys {
    /// They leave the key file, unless a value that they sealed does not open.
    Drop,
    /// They leave the key file whatever there is.
    DropAll,
    /// They stay, for another store with the same key file.
    Keep,
}

/// What a change of the key did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rekeyed {
    /// The id of the key that seals now, as the key file has it.
    pub key: String,
    /// Whether an earlier run is finished, with the key that it made.
    pub resumed: bool,
    /// Values that were sealed anew.
    pub values: u64,
    /// Values of the old keys that do not open, as they are damaged; they are left as they are.
    pub unopened: u64,
    /// Whether the old keys left the key file, or had left it.
    pub dropped: bool,
    /// Whether the database's log was emptied; it holds old bytes until then.
    pub log_cleared: bool,
}

/// A column of sealed values; a purged one holds nothing and no key's id.
struct Column {
    purpose: &'static str,
    /// The next ones after `$1` that the key `$2` sealed.
    sealed: &'static str,
    put: &'static str,
}

/// The columns of sealed values; the canary is not among them.
const COLUMNS: [Column; 7] = [
    Column {
        purpose: "operation",
        sealed: "SELECT id, tenant, version, sealed FROM operations WHERE id > $1 AND substr(sealed, 2, 8) = $2 \
               ORDER BY id LIMIT $3",
        put: "UPDATE operations SET sealed = $1 WHERE id = $2 AND sealed = $3",
    },
    Column {
        purpose: "approval",
        sealed: "SELECT a.operation AS id, o.tenant, CAST(0 AS BIGINT) AS version, a.sealed FROM approvals a \
               JOIN operations o ON o.id = a.operation WHERE a.operation > $1 \
               AND substr(a.sealed, 2, 8) = $2 ORDER BY a.operation LIMIT $3",
        put: "UPDATE approvals SET sealed = $1 WHERE operation = $2 AND sealed = $3",
    },
    Column {
        purpose: "capture",
        sealed: "SELECT id, tenant, user_id AS version, data_key AS sealed FROM captures WHERE id > $1 \
               AND substr(data_key, 2, 8) = $2 ORDER BY id LIMIT $3",
        put: "UPDATE captures SET data_key = $1 WHERE id = $2 AND data_key = $3",
    },
    Column {
        purpose: "approver",
        sealed: "SELECT name AS id, '(store)' AS tenant, CAST(0 AS BIGINT) AS version, sealed FROM approvers \
               WHERE name > $1 AND substr(sealed, 2, 8) = $2 ORDER BY name LIMIT $3",
        put: "UPDATE approvers SET sealed = $1 WHERE name = $2 AND sealed = $3",
    },
    Column {
        purpose: "password",
        sealed: "SELECT p.operation AS id, o.tenant, CAST(0 AS BIGINT) AS version, p.sealed FROM passwords p \
               JOIN operations o ON o.id = p.operation WHERE p.operation > $1 \
               AND substr(p.sealed, 2, 8) = $2 ORDER BY p.operation LIMIT $3",
        put: "UPDATE passwords SET sealed = $1 WHERE operation = $2 AND sealed = $3",
    },
    Column {
        purpose: "index.user",
        sealed: "SELECT u.place AS id, t.tenant, CAST(0 AS BIGINT) AS version, u.sealed FROM index_users u \
               JOIN index_tenants t ON t.number = u.tenant WHERE u.place > $1 \
               AND substr(u.sealed, 2, 8) = $2 ORDER BY u.place LIMIT $3",
        put: "UPDATE index_users SET sealed = $1 WHERE place = $2 AND sealed = $3",
    },
    Column {
        purpose: "index.names",
        sealed: "SELECT n.place AS id, t.tenant, CAST(0 AS BIGINT) AS version, n.sealed FROM index_names n \
               JOIN index_tenants t ON t.number = n.tenant WHERE n.place > $1 \
               AND substr(n.sealed, 2, 8) = $2 ORDER BY n.place LIMIT $3",
        put: "UPDATE index_names SET sealed = $1 WHERE place = $2 AND sealed = $3",
    },
];

/// A sealed value and where it is kept.
#[derive(FromRow)]
struct Row {
    id: String,
    tenant: String,
    version: i64,
    sealed: Vec<u8>,
}

/// How far a column is done.
#[derive(Default)]
struct Progress {
    /// The last row looked at.
    after: String,
    over: bool,
    values: u64,
    unopened: u64,
}

impl Store {
    /// Makes a new key, seals everything with it and forgets the old ones; or finishes an earlier run.
    ///
    /// The root key stays: digests, and the keys derived from it, come from it. May run beside
    /// servers: they read the key file again when they meet the new key. The beginning and the end
    /// are on record in every tenant's audit trail.
    ///
    /// # Errors
    /// `WrongKey`; `Unavailable`, also while another one runs; `AuditUnavailable`. Whatever was done
    /// then stays, everything opens, and another run goes on.
    pub async fn rekey(&self, old: OldKeys, actor: &Actor) -> Result<Rekeyed, StoreError> {
        let _alone = self.rekeying()?;
        let file = self.0.vault.file()?.to_owned();
        keys::clean_up(&file)?;
        let (ring, resumed) = self.ring_to_use(&file, old).await?;
        let key = ring.newest()?;
        bounded(self.change_sealing_key(key, actor)).await?;
        let (values, unopened) = self.seal_everything(&ring, key).await?;
        bounded(self.record_end(key, (values, unopened), actor)).await?;
        let dropped = self.drop_old(&file, ring, old).await?;
        let log_cleared = self.clear_log_soon().await;
        Ok(Rekeyed { key: hex(&key), resumed, values, unopened, dropped, log_cleared })
    }

    /// Seals what the old keys sealed; how many values that were, and how many do not open.
    async fn seal_everything(&self, ring: &KeyRing, key: KeyId) -> Result<(u64, u64), StoreError> {
        let (mut values, mut unopened) = (0, 0);
        for old in ring.old() {
            for column in &COLUMNS {
                let done = self.seal_anew(column, old, key).await?;
                values += done.values;
                unopened += done.unopened;
            }
        }
        Ok((values, unopened))
    }

    /// Takes the old keys out of the key file, if they may go.
    async fn drop_old(&self, file: &Path, ring: KeyRing, old: OldKeys) -> Result<bool, StoreError> {
        let may_go = match old {
            OldKeys::Keep => false,
            // Looked at once more: what is dropped opens nothing ever again.
            OldKeys::Drop => !self.is_unfinished(&ring).await?,
            OldKeys::DropAll => true,
        };
        if may_go && ring.has_old() {
            self.replace_key_file(file, &ring.without_old())?;
        }
        Ok(may_go)
    }

    /// Keeps other runs away.
    fn rekeying(&self) -> Result<File, StoreError> {
        // A state directory that went away must not come back empty.
        files::recheck(&self.0.state_dir)?;
        let folder = files::state_dir(&self.0.state_dir.join(presence::FOLDER))?;
        let path = folder.path.join("rekey");
        folder.ensure_file(&path)?;
        let held = files::hold(&path)?;
        held.ok_or_else(|| StoreError::unavailable("another `zia-mcp store rekey` is running"))
    }

    /// The keys of an earlier run that is not finished, or a new one beside those that are there.
    async fn ring_to_use(&self, file: &Path, old: OldKeys) -> Result<(KeyRing, bool), StoreError> {
        let ring = self.0.vault.read_file()?;
        let unfinished = self.is_unfinished(&ring).await?;
        if unfinished || (old != OldKeys::Keep && ring.has_old()) {
            return Ok((ring, true));
        }
        let ring = ring.with_new()?;
        self.replace_key_file(file, &ring)?;
        Ok((ring, false))
    }

    fn replace_key_file(&self, file: &Path, ring: &KeyRing) -> Result<(), StoreError> {
        let heard = self.0.engine.trouble()?.at(Step::KeyFile)?;
        keys::replace(file, ring)?;
        heard
    }

    /// Whether something is sealed with another key of the key file than the newest one.
    async fn is_unfinished(&self, ring: &KeyRing) -> Result<bool, StoreError> {
        let mut tx = self.0.engine.snapshot().await?;
        if schema::sealing_key(&mut tx).await? != ring.newest()? {
            return Ok(true);
        }
        for old in ring.old() {
            for column in &COLUMNS {
                if !sealed_by(&mut tx, column, old, "", 1).await?.is_empty() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Has everything sealed with this key from now on, by every process.
    async fn change_sealing_key(&self, key: KeyId, actor: &Actor) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        if schema::sealing_key(&mut tx).await? == key {
            return Ok(());
        }
        schema::change_sealing_key(&mut tx, &self.0.vault, key).await?;
        self.append_everywhere(&mut tx, entry(key, "begun"), actor).await?;
        self.0.engine.commit(tx).await
    }

    async fn seal_anew(&self, column: &Column, old: KeyId, key: KeyId) -> Result<Progress, StoreError> {
        let mut progress = Progress::default();
        while !progress.over {
            self.seal_batch(column, old, key, &mut progress).await?;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(progress)
    }

    /// Seals some values anew. Their places stay, and so does what else is in their rows.
    async fn seal_batch(
        &self,
        column: &Column,
        old: KeyId,
        key: KeyId,
        progress: &mut Progress,
    ) -> Result<(), StoreError> {
        // Looked for outside of the transaction, which keeps servers from writing.
        let rows =
            sealed_by(&mut self.0.engine.snapshot().await?, column, old, &progress.after, BATCH).await?;
        let Some(last) = rows.last().map(|row| row.id.clone()) else {
            progress.over = true;
            return Ok(());
        };
        let (mut anew, mut unopened) = (Vec::with_capacity(rows.len()), 0);
        for row in rows {
            match self.seal_row(column, key, &row) {
                Ok(sealed) => anew.push((row, sealed)),
                Err(StoreError::Corrupt) => unopened += 1,
                Err(other) => return Err(other),
            }
        }
        progress.values += bounded(self.put(column, &anew)).await?;
        progress.unopened += unopened;
        progress.after = last;
        Ok(())
    }

    fn seal_row(&self, column: &Column, key: KeyId, row: &Row) -> Result<Vec<u8>, StoreError> {
        let (tenant, id) = (row.tenant.as_str(), row.id.as_str());
        let at = Place { purpose: column.purpose, tenant, row: id, version: row.version };
        self.0.vault.seal_by(key, at, &self.0.vault.open(at, &row.sealed)?)
    }

    /// Writes values where those are that they were read from: who wrote meanwhile used the new key.
    async fn put(&self, column: &Column, anew: &[(Row, Vec<u8>)]) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let mut values = 0;
        for (row, sealed) in anew {
            let put = sqlx::query(column.put).bind(sealed).bind(&row.id).bind(&row.sealed);
            values += put.execute(&mut *tx).await?.rows_affected();
        }
        self.0.engine.commit(tx).await?;
        Ok(values)
    }

    async fn record_end(
        &self,
        key: KeyId,
        (values, unopened): (u64, u64),
        actor: &Actor,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let audit = entry(key, "ended").with("values", values).with("unopened", unopened);
        self.append_everywhere(&mut tx, audit, actor).await?;
        self.0.engine.commit(tx).await
    }

    async fn append_everywhere(
        &self,
        tx: &mut Tx,
        audit: AuditEntry,
        actor: &Actor,
    ) -> Result<(), StoreError> {
        for tenant in tenants(tx, Table::Audit).await? {
            let subject = Subject { tenant: &tenant, operation: None, actor: Some(actor) };
            self.append(tx, subject, audit.clone()).await?;
        }
        Ok(())
    }

    async fn clear_log_soon(&self) -> bool {
        for _ in 0..TRIES {
            if bounded(self.0.engine.clear_log()).await.unwrap_or(false) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        false
    }
}

fn entry(key: KeyId, phase: &str) -> AuditEntry {
    AuditEntry::new("store.rekeyed").with("phase", phase).with("key", Value::from(hex(&key)))
}

/// Values of a column that a key sealed, after a row.
async fn sealed_by(
    tx: &mut Tx,
    column: &Column,
    key: KeyId,
    after: &str,
    most: i64,
) -> Result<Vec<Row>, StoreError> {
    let query = sqlx::query_as(column.sealed).bind(after).bind(key.to_vec()).bind(most);
    Ok(query.fetch_all(&mut **tx).await?)
}
