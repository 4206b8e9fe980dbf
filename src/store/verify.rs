//! Checking the whole trail against itself and against its checkpoints (T25).
//!
//! Reads one snapshot page by page, so that a long trail needs no more memory than a short one.

mod findings;
mod points;
mod walk;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use sqlx::Database;

pub use findings::{AuditCheck, ChainCheck, Fault, Verdict};

use super::{
    Store, StoreError,
    checkpoint_files::{self, Line},
    checkpoints::{Signer, Table, tenants},
    engine::Db,
    files, schema,
};
use points::Points;
use walk::Walk;

type DbRow = <Db as Database>::Row;

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
            let chain = Walk::new(tenant, points, signer.clone()).check_to_the_end(&mut tx).await?;
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
