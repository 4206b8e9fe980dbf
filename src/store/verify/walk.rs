//! Checking one chain from its beginning to its end.

use std::{collections::VecDeque, sync::Arc};

use sqlx::Row as _;

use super::{
    ChainCheck, DbRow, Fault, Verdict,
    points::{Point, Points, Says},
};
use crate::store::{
    StoreError,
    audit::{BEGINNING, Columns, link},
    checkpoints::Signer,
    engine::Tx,
};

/// Records read at once.
const PAGE: u32 = 4_096;

/// How far a chain has been checked.
pub(super) struct Walk {
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
    pub(super) fn new(tenant: String, points: Points, signer: Arc<Signer>) -> Self {
        Self { points, progress: Progress { tenant, signer, next: 1, prev: BEGINNING, signed: 0 } }
    }

    pub(super) async fn check_to_the_end(self, tx: &mut Tx) -> Result<ChainCheck, StoreError> {
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
