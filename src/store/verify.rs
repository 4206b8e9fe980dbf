//! Checking the whole trail against itself and against its checkpoints (T25).
//!
//! Reads one snapshot page by page, so that a long trail needs no more memory than a short one.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    path::PathBuf,
    sync::Arc,
};

use sqlx::{Database, FromRow as _, Row as _};

use super::{
    Store, StoreError,
    audit::{BEGINNING, Columns, link},
    checkpoint_files::{self, Line},
    checkpoints::{Checkpoint, Row, Signer, Table, tenants},
    engine::{Db, Tx},
    files, schema,
};

/// Records read at once.
const PAGE: u32 = 4_096;

/// Checkpoints read at once.
const POINTS: u32 = 1_024;

type DbRow = <Db as Database>::Row;

/// What a check of the trail found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditCheck {
    /// Each tenant's chain, in order of the tenants' names.
    pub chains: Vec<ChainCheck>,
    /// What is wrong and belongs to no chain, such as a line of a file that is no checkpoint.
    pub faults: Vec<String>,
    /// What else to know.
    pub notes: Vec<String>,
}

impl AuditCheck {
    /// Whether anything was changed, dropped, moved or forged.
    pub fn is_broken(&self) -> bool {
        let broken = |chain: &ChainCheck| matches!(chain.verdict, Verdict::Broken { .. });
        !self.faults.is_empty() || self.chains.iter().any(broken)
    }

    /// Whether a chain ends before something that was signed.
    pub fn is_truncated(&self) -> bool {
        self.chains.iter().any(|chain| matches!(chain.verdict, Verdict::Truncated { .. }))
    }
}

/// What a check of one chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainCheck {
    /// The chain's tenant.
    pub tenant: String,
    /// Good records before the first bad one; all of them if there is none.
    pub records: i64,
    /// The newest record up to which a signature holds; 0 if there is none.
    pub signed: i64,
    /// How the chain is.
    pub verdict: Verdict,
}

/// How a chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every record is as it was written, and none is missing up to the last signed one.
    Whole,
    /// The chain ends before a record that was signed.
    Truncated {
        /// The first record that is missing.
        seq: i64,
        /// The newest one that was signed.
        signed: i64,
    },
    /// A record or a checkpoint was changed, dropped, moved or forged.
    Broken {
        /// The first bad record.
        seq: i64,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It cannot be read, or is not as it was written.
    Changed,
    /// It is missing or out of place.
    Missing,
    /// It follows another record than it did when it was written.
    Unlinked,
    /// It is not the one that was signed.
    NotAsSigned,
    /// Its checkpoint was not signed by this store, or was changed.
    Forged,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changed => "was changed",
            Self::Missing => "is missing or out of place",
            Self::Unlinked => "does not follow the record before it",
            Self::NotAsSigned => "is not the one that was signed",
            Self::Forged => "has a checkpoint that this store did not sign, or that was changed",
        })
    }
}

/// What files say of the chains: the signed hashes, and checkpoints that do not hold.
#[derive(Default)]
struct Evidence {
    signed: BTreeMap<String, BTreeSet<(i64, [u8; 32])>>,
    forged: BTreeMap<String, i64>,
    faults: Vec<String>,
    notes: Vec<String>,
    /// Whether the state directory had its file.
    has_own: bool,
}

impl Store {
    /// Checks every chain in the store, record by record, and every checkpoint: those in the
    /// store, those in the state directory, and those in `files`.
    ///
    /// Records that were cut off the end of a chain show only if one of them was signed.
    ///
    /// # Errors
    /// `Corrupt` if the database itself is damaged; `Unavailable` if it or a file cannot be read.
    pub async fn verify_audit(&self, files: &[PathBuf]) -> Result<AuditCheck, StoreError> {
        let signer = Arc::new(Signer::of(self)?);
        // Before the records, which only become more meanwhile.
        let mut evidence = self.evidence(&signer, files)?;
        let mut tx = self.0.engine.reader().begin().await?;
        let has_table = schema::has_checkpoints(&mut tx).await?;
        let mut names: BTreeSet<String> = tenants(&mut tx, Table::Audit).await?.into_iter().collect();
        if has_table {
            names.extend(tenants(&mut tx, Table::Checkpoints).await?);
        }
        names.extend(evidence.signed.keys().chain(evidence.forged.keys()).cloned());
        let (mut chains, mut seen) = (Vec::new(), 0);
        for tenant in names {
            let points = Points::new(&tenant, has_table, &mut evidence);
            let chain = Walk::new(tenant, points, signer.clone()).to_the_end(&mut tx).await?;
            seen += chain.records;
            chains.push(chain);
        }
        let Evidence { mut faults, mut notes, has_own, .. } = evidence;
        if !has_own && chains.iter().any(|chain| chain.signed > 0) {
            notes.push(format!(
                "{} is gone: records cut off together with their checkpoints do not show without it",
                checkpoint_files::own(&self.0.state_dir).display()
            ));
        }
        let broken = chains.iter().any(|chain| matches!(chain.verdict, Verdict::Broken { .. }));
        let all: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM audit").fetch_one(&mut *tx).await?;
        if !broken && all != seen {
            faults.push("records that belong to no chain are in the store".to_owned());
        }
        Ok(AuditCheck { chains, faults, notes })
    }

    fn evidence(&self, signer: &Signer, files: &[PathBuf]) -> Result<Evidence, StoreError> {
        let mut evidence = Evidence::default();
        let own = checkpoint_files::own(&self.0.state_dir);
        if let Some(file) = files::open_existing(&own)? {
            evidence.read(signer, &own, file)?;
            evidence.has_own = true;
        }
        for path in files {
            let opened = std::fs::File::open(path).map_err(|e| StoreError::io(path, &e))?;
            evidence.read(signer, path, opened)?;
        }
        Ok(evidence)
    }
}

impl Evidence {
    fn read(
        &mut self,
        signer: &Signer,
        path: &std::path::Path,
        file: std::fs::File,
    ) -> Result<(), StoreError> {
        checkpoint_files::for_each_line(file, |number, line| {
            match line {
                Line::Checkpoint(checkpoint) if signer.signed(&checkpoint) => {
                    let signed = self.signed.entry(checkpoint.tenant).or_default();
                    signed.insert((checkpoint.seq, *checkpoint.hash.as_bytes()));
                }
                Line::Checkpoint(checkpoint) => {
                    let first = self.forged.entry(checkpoint.tenant).or_insert(checkpoint.seq);
                    *first = checkpoint.seq.min(*first);
                }
                Line::Torn => self.notes.push(format!("line {number} of {} is cut off", path.display())),
                Line::Foreign => {
                    self.faults.push(format!("line {number} of {} is no checkpoint", path.display()));
                }
            }
            Ok(())
        })
    }
}

/// A place in a chain that was signed.
struct Point {
    seq: i64,
    /// The record's hash; a checkpoint of the store is still to be checked.
    says: Says,
}

enum Says {
    Hash([u8; 32]),
    Checkpoint(Checkpoint),
    Forged,
}

/// The checkpoints of one chain, in order, read as they are needed.
struct Points {
    tenant: String,
    queue: VecDeque<Point>,
    after: i64,
    more: bool,
    files: BTreeSet<(i64, [u8; 32])>,
    forged: Option<i64>,
}

impl Points {
    fn new(tenant: &str, has_table: bool, evidence: &mut Evidence) -> Self {
        Self {
            tenant: tenant.to_owned(),
            queue: VecDeque::new(),
            after: i64::MIN,
            more: has_table,
            files: evidence.signed.remove(tenant).unwrap_or_default(),
            forged: evidence.forged.remove(tenant),
        }
    }

    /// What was signed up to a record.
    async fn upto(&mut self, tx: &mut Tx, key: &[u8], last: i64) -> Result<Vec<Point>, StoreError> {
        while self.more && self.queue.back().is_none_or(|point| point.seq <= last) {
            self.read(tx, key).await?;
        }
        let mut taken = Vec::new();
        while let Some(point) = self.queue.pop_front_if(|point| point.seq <= last) {
            taken.push(point);
        }
        while let Some((seq, hash)) = self.files.first().copied().filter(|(seq, _)| *seq <= last) {
            self.files.pop_first();
            taken.push(Point { seq, says: Says::Hash(hash) });
        }
        if let Some(seq) = self.forged.take_if(|seq| *seq <= last) {
            taken.push(Point { seq, says: Says::Forged });
        }
        taken.sort_by_key(|point| point.seq);
        Ok(taken)
    }

    async fn read(&mut self, tx: &mut Tx, key: &[u8]) -> Result<(), StoreError> {
        let rows: Vec<DbRow> = sqlx::query(
            "SELECT tenant, seq, at, hash, signature FROM checkpoints \
             WHERE tenant = $1 AND seq > $2 ORDER BY seq LIMIT $3",
        )
        .bind(self.tenant.as_str())
        .bind(self.after)
        .bind(i64::from(POINTS))
        .fetch_all(&mut **tx)
        .await?;
        self.more = rows.len() == POINTS as usize;
        for row in rows {
            let read = Row::from_row(&row).ok().map(|row| (row.seq, row.read(key)));
            let (seq, says) = match read {
                Some((seq, Ok(checkpoint))) => (seq, Says::Checkpoint(checkpoint)),
                Some((seq, Err(_))) => (seq, Says::Forged),
                None => (self.after.saturating_add(1).max(1), Says::Forged),
            };
            self.queue.push_back(Point { seq, says });
            self.after = seq;
        }
        Ok(())
    }
}

/// How far a chain has been checked.
struct Walk {
    points: Points,
    progress: Progress,
}

/// What goes to the thread that computes, and comes back.
struct Progress {
    tenant: String,
    signer: Arc<Signer>,
    next: i64,
    prev: [u8; 32],
    signed: i64,
}

type Bad = (i64, Fault);

impl Walk {
    fn new(tenant: String, points: Points, signer: Arc<Signer>) -> Self {
        Self { points, progress: Progress { tenant, signer, next: 1, prev: BEGINNING, signed: 0 } }
    }

    async fn to_the_end(self, tx: &mut Tx) -> Result<ChainCheck, StoreError> {
        let Self { mut points, mut progress } = self;
        let key = progress.signer.key().to_vec();
        let mut page = fetch(tx, &progress.tenant, i64::MIN).await?;
        while !page.is_empty() {
            let last = page.last().and_then(|row| row.try_get::<i64, _>(0).ok());
            let signed = points.upto(tx, &key, last.unwrap_or(i64::MAX)).await?;
            let is_full = page.len() == PAGE as usize;
            let tenant = progress.tenant.clone();
            let checking = tokio::task::spawn_blocking(move || progress.check(&page, signed));
            // The next page is read while this one is computed.
            let next = match last.filter(|_| is_full) {
                Some(last) => fetch(tx, &tenant, last).await,
                None => Ok(Vec::new()),
            };
            let (checked, bad) = checking.await.map_err(|_| StoreError::unavailable("the check failed"))?;
            progress = checked;
            if let Some((seq, fault)) = bad {
                return Ok(progress.ended(Verdict::Broken { seq, fault }));
            }
            page = next?;
        }
        let beyond = points.upto(tx, &key, i64::MAX).await?;
        Ok(progress.conclude(beyond))
    }
}

/// The records after one, as they are kept.
async fn fetch(tx: &mut Tx, tenant: &str, after: i64) -> Result<Vec<DbRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT seq, at, event, operation, actor, body, prev_hash, hash FROM audit \
         WHERE tenant = $1 AND seq > $2 ORDER BY seq LIMIT $3",
    )
    .bind(tenant)
    .bind(after)
    .bind(i64::from(PAGE))
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows)
}

impl Progress {
    fn check(mut self, rows: &[DbRow], points: Vec<Point>) -> (Self, Option<Bad>) {
        let mut points = VecDeque::from(points);
        for row in rows {
            // A place that no record has.
            if let Some(point) = points.pop_front_if(|point| point.seq < self.next) {
                return (self, Some((point.seq, Fault::Forged)));
            }
            let hash = match self.record(row) {
                Ok(hash) => hash,
                Err(fault) => {
                    let seq = self.next;
                    return (self, Some((seq, fault)));
                }
            };
            while let Some(point) = points.pop_front_if(|point| point.seq == self.next) {
                if let Err(fault) = self.compare(point, &hash) {
                    let seq = self.next;
                    return (self, Some((seq, fault)));
                }
            }
            self.next += 1;
            self.prev = hash;
        }
        (self, None)
    }

    /// Checks one record; its hash if it is as it should be.
    fn record(&self, row: &DbRow) -> Result<[u8; 32], Fault> {
        let columns = self.columns(row).map_err(|_| Fault::Changed)?;
        let (prev, hash): (&[u8], &[u8]) =
            (row.try_get(6).map_err(|_| Fault::Changed)?, row.try_get(7).map_err(|_| Fault::Changed)?);
        if columns.seq != self.next {
            return Err(Fault::Missing);
        }
        let body: &str = row.try_get(5).map_err(|_| Fault::Changed)?;
        let prev = prev.try_into().map_err(|_| Fault::Changed)?;
        let hash: [u8; 32] = hash.try_into().map_err(|_| Fault::Changed)?;
        if *link(prev, body).as_bytes() != hash || !columns.agree_with(body) {
            return Err(Fault::Changed);
        }
        if *prev == self.prev { Ok(hash) } else { Err(Fault::Unlinked) }
    }

    fn columns<'r>(&'r self, row: &'r DbRow) -> Result<Columns<'r>, sqlx::Error> {
        Ok(Columns {
            tenant: &self.tenant,
            seq: row.try_get(0)?,
            at: row.try_get(1)?,
            event: row.try_get(2)?,
            operation: row.try_get(3)?,
            actor: row.try_get(4)?,
        })
    }

    fn compare(&mut self, point: Point, hash: &[u8; 32]) -> Result<(), Fault> {
        let same = match point.says {
            Says::Forged => return Err(Fault::Forged),
            Says::Hash(signed) => signed == *hash,
            Says::Checkpoint(checkpoint) if !self.signer.signed(&checkpoint) => return Err(Fault::Forged),
            Says::Checkpoint(checkpoint) => checkpoint.hash.as_bytes() == hash,
        };
        self.signed = point.seq;
        if same { Ok(()) } else { Err(Fault::NotAsSigned) }
    }

    /// The verdict on a chain whose records hold, given what was signed beyond them.
    fn conclude(self, beyond: Vec<Point>) -> ChainCheck {
        let mut signed = None;
        for point in beyond {
            let holds = match &point.says {
                Says::Hash(_) => true,
                Says::Checkpoint(checkpoint) => self.signer.signed(checkpoint),
                Says::Forged => false,
            };
            if !holds || point.seq < self.next {
                return self.ended(Verdict::Broken { seq: point.seq, fault: Fault::Forged });
            }
            signed = Some(point.seq);
        }
        let next = self.next;
        self.ended(signed.map_or(Verdict::Whole, |signed| Verdict::Truncated { seq: next, signed }))
    }

    fn ended(self, verdict: Verdict) -> ChainCheck {
        ChainCheck { tenant: self.tenant, records: self.next - 1, signed: self.signed, verdict }
    }
}
