//! `[index]`.

use std::time::Duration;

use super::reader::Reader;

/// How the index of users is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index {
    /// Whether it is filled in the background.
    pub enabled: bool,
    /// The share of the hour's user lists that the background may use, in percent; 1 to 100.
    pub share_percent: u32,
    /// How often the whole list is read; 1 to 720 h.
    pub sweep: Duration,
    /// How long changes of users are kept; 1 to 3650 days.
    pub changes_days: u32,
}

pub(super) fn index(reader: &mut Reader<'_>) -> Index {
    let hours = reader.number(("index", "sweep_hours"), 1..=720, 24);
    Index {
        enabled: reader.boolean("index", "enabled").unwrap_or(true),
        share_percent: reader.percent(("index", "share"), 50),
        sweep: Duration::from_hours(hours.into()),
        changes_days: reader.number(("index", "changes_days"), 1..=3650, 90),
    }
}
