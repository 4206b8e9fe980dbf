//! What `/metrics` shows: the counters, and the state of things as it is now.

use std::{fmt, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, prometheus_text, text},
    metrics::{counter::ConstCounter, family::Family, gauge::ConstGauge, gauge::Gauge, info::Info},
    registry::Registry,
};

use super::{
    dropped_lines,
    meter::{PREFIX, meters},
};

/// The state of things at one moment, for gauges.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Calls left of ZIA's limits.
    pub budget: Vec<BudgetLeft>,
    /// Operations that have not ended; unknown while the store does not answer.
    pub operations: Option<Operations>,
    /// The index of users.
    pub index: IndexReading,
    /// Whether the store takes writes, the audit trail's among them.
    pub store_writable: bool,
}

/// The calls left of one endpoint in one window.
#[derive(Clone, Debug)]
pub struct BudgetLeft {
    /// Method and path template.
    pub endpoint: String,
    /// `second`, `minute` or `hour`.
    pub per: String,
    /// Calls in a window.
    pub limit: u32,
    /// Calls left in this one.
    pub remaining: u32,
}

/// Operations that have not ended.
#[derive(Clone, Debug, Default)]
pub struct Operations {
    /// How many, by action and state.
    pub open: Vec<(&'static str, &'static str, u64)>,
    /// How long the oldest write has been verified and is not active; zero where none waits.
    pub activation_lag: Duration,
}

/// The index of users.
#[derive(Clone, Copy, Debug, Default)]
pub struct IndexReading {
    /// Users in it.
    pub users: u64,
    /// How old the last full list is.
    pub age: Option<Duration>,
    /// Whether it held every user then.
    pub complete: bool,
}

/// The two text formats that Prometheus reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Plain,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Plain => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    fn write(self, out: &mut String, registry: &Registry) -> fmt::Result {
        match self {
            Self::Plain => prometheus_text::encode(out, registry),
            Self::OpenMetrics => text::encode_registry(out, registry),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Window {
    endpoint: String,
    per: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Standing {
    action: &'static str,
    state: &'static str,
}

/// Everything that is counted, and a reading, as text.
///
/// # Errors
/// None is known: text is written into memory.
pub fn exposition(reading: &Reading, format: Format) -> Result<String, fmt::Error> {
    let mut text = String::with_capacity(16 << 10);
    format.write(&mut text, &meters().registry)?;
    format.write(&mut text, &gauges(reading))?;
    if format == Format::OpenMetrics {
        text::encode_eof(&mut text)?;
    }
    Ok(text)
}

fn gauges(reading: &Reading) -> Registry {
    let mut all = Registry::with_prefix(PREFIX);
    budget(&mut all, &reading.budget);
    if let Some(operations) = &reading.operations {
        open(&mut all, operations);
    }
    index(&mut all, reading.index);
    let flag = |on: bool| ConstGauge::new(i64::from(on));
    let writable = "Whether the store takes writes, the audit trail's among them";
    all.register("store_writable", writable, flag(reading.store_writable));
    let dropped = "Lines of the log that were dropped because nobody read standard error";
    all.register("log_lines_dropped", dropped, ConstCounter::new(dropped_lines()));
    let build = Info::new([("version", env!("CARGO_PKG_VERSION"))].to_vec());
    all.register("build", "The program that runs", build);
    all
}

fn budget(all: &mut Registry, lines: &[BudgetLeft]) {
    let (left, limits) = (Family::<Window, Gauge>::default(), Family::<Window, Gauge>::default());
    for line in lines {
        let window = Window { endpoint: line.endpoint.clone(), per: line.per.clone() };
        left.get_or_create(&window).set(line.remaining.into());
        limits.get_or_create(&window).set(line.limit.into());
    }
    all.register("zia_budget_remaining", "Calls left of one of ZIA's limits", left);
    all.register("zia_budget_limit", "Calls that one of ZIA's limits allows", limits);
}

fn open(all: &mut Registry, operations: &Operations) {
    let open = Family::<Standing, Gauge>::default();
    for &(action, state, count) in &operations.open {
        open.get_or_create(&Standing { action, state }).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    all.register("operations", "Operations on the store that have not ended", open);
    let lag = "Seconds since the oldest write was verified that is not active yet; 0 where none waits";
    all.register("activation_lag_seconds", lag, ConstGauge::new(operations.activation_lag.as_secs_f64()));
}

fn index(all: &mut Registry, index: IndexReading) {
    let users = i64::try_from(index.users).unwrap_or(i64::MAX);
    all.register("index_users", "Users in the index", ConstGauge::new(users));
    let complete = ConstGauge::new(i64::from(index.complete));
    all.register("index_complete", "Whether the last full list held every user", complete);
    if let Some(age) = index.age {
        let help = "Seconds since the last full list was begun";
        all.register("index_age_seconds", help, ConstGauge::new(age.as_secs_f64()));
    }
}
