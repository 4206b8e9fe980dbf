//! The checkpoints of one chain, read as they are needed.

use std::collections::{BTreeSet, VecDeque};

use sqlx::FromRow as _;

use super::{DbRow, Evidence};
use crate::store::{
    StoreError,
    checkpoints::{Checkpoint, Row},
    engine::Tx,
};

/// Checkpoints read at once.
const POINTS: u32 = 1_024;

/// A place in a chain that was signed.
pub(super) struct Point {
    pub(super) seq: i64,
    /// The record's hash; a checkpoint of the store is still to be checked.
    pub(super) says: Says,
}

/// What was signed of a place.
pub(super) enum Says {
    Hash([u8; 32]),
    Checkpoint(Checkpoint),
    Forged,
}

/// The checkpoints of one chain, in order, read as they are needed.
pub(super) struct Points {
    tenant: String,
    queue: VecDeque<Point>,
    after: i64,
    more: bool,
    files: BTreeSet<(i64, [u8; 32])>,
    forged: Option<i64>,
}

impl Points {
    pub(super) fn new(tenant: &str, has_table: bool, evidence: &mut Evidence) -> Self {
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
    pub(super) async fn upto(
        &mut self,
        tx: &mut Tx,
        key: &[u8],
        last: i64,
    ) -> Result<Vec<Point>, StoreError> {
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
