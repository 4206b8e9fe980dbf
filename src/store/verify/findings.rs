//! What a check of the audit trail found.

use std::fmt;

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
