//! Pages of a list, and how they go wrong.

use super::call::Call;
use super::faults::{Fault, FaultBook};
use super::replies::Refusal;

/// Which rows of a list are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) start: usize,
    pub(super) size: usize,
    /// How many of the last rows come twice.
    twice: usize,
}

impl Page {
    /// Reads `page` (from 1) and `pageSize` (100 unless told, at most `largest`).
    pub(super) fn read(call: &Call, largest: usize, faults: &mut FaultBook) -> Result<Self, Refusal> {
        let page = number(call, "page", 1)?;
        let mut size = number(call, "pageSize", 100)?.min(largest);
        let at = call.endpoint;
        if faults.strikes(at, &Fault::PageSizeIgnored) {
            size = 100;
        }
        if let Some(Fault::PageSizeCap { rows }) =
            faults.strike(at, |fault| matches!(fault, Fault::PageSizeCap { .. }))
        {
            size = size.min(rows.max(1));
        }
        let mut start = (page - 1).saturating_mul(size);
        if page > 1
            && let Some(Fault::PageShift { rows }) =
                faults.strike(at, |fault| matches!(fault, Fault::PageShift { .. }))
        {
            start = start.saturating_add_signed(isize::try_from(rows.saturating_neg()).unwrap_or_default());
        }
        let twice = match faults.strike(at, |fault| matches!(fault, Fault::DuplicateRows { .. })) {
            Some(Fault::DuplicateRows { rows }) => rows,
            _ => 0,
        };
        Ok(Self { start, size, twice })
    }

    /// The page's rows of all rows.
    pub(super) fn of<T: Clone>(self, all: impl Iterator<Item = T>) -> Vec<T> {
        self.finished(all.skip(self.start).take(self.size).collect())
    }

    /// The page's rows, once its faults are done to them.
    pub(super) fn finished<T: Clone>(self, mut rows: Vec<T>) -> Vec<T> {
        let from = rows.len().saturating_sub(self.twice);
        rows.extend_from_within(from..);
        rows
    }
}

fn number(call: &Call, name: &str, otherwise: usize) -> Result<usize, Refusal> {
    let Some(text) = call.parameter(name) else { return Ok(otherwise) };
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| Refusal::invalid(format!("{name} must be a positive number")))
}
