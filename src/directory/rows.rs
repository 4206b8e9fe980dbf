//! The rows of a list of users, and what they prove.

use super::users::{Lookup, Seen, to_user};
use crate::{
    model::Email,
    zia::{Raw, ZiaUser},
};

/// What a list holds, as far as it was read.
pub(super) struct Rows {
    /// Each user once.
    pub(super) rows: Vec<Raw<ZiaUser>>,
    /// Whether the list was read to its end.
    pub(super) complete: bool,
}

impl Rows {
    /// Whether nobody but the rows that show it has an address: one without any may have it.
    pub(super) fn prove_addresses(&self) -> bool {
        self.complete && self.rows.iter().all(|r| r.value.email.as_deref().is_some_and(|e| !e.is_empty()))
    }
}

/// The rows with exactly this address, whatever the case.
pub(super) fn pick(rows: Rows, email: &Email) -> Option<Lookup> {
    let is = |r: &Raw<ZiaUser>| r.value.email.as_deref().is_some_and(|e| email.is(e));
    let mut exact: Vec<_> = rows.rows.into_iter().filter(is).collect();
    match exact.len() {
        0 => None,
        1 => exact.pop().map(|row| Lookup::Found(Box::new(Seen::from(row)))),
        _ => Some(Lookup::Several(exact.iter().map(|r| to_user(&r.value)).collect())),
    }
}

/// An address that the display name does not hold, to try the name filter with.
pub(super) fn sample_email(rows: &[Raw<ZiaUser>]) -> Option<String> {
    rows.iter().find_map(|r| {
        let (name, email) = (r.value.name.as_deref()?, r.value.email.as_deref()?);
        let plain = email.contains('@') && !name.to_lowercase().contains(&email.to_lowercase());
        plain.then(|| email.to_owned())
    })
}
