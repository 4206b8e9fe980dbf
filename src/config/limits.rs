//! `[tenant.limits]` and `[index] share`: the tenant's call limits, where they are not the documented ones.

use toml::{Table, Value};

use super::{
    file::{nearest, shown},
    reader::Reader,
};
use crate::{
    model::{Per, Window},
    zia::Limits,
};

/// No limit of ZIA's is larger (zia-facts §2).
const MOST: u32 = 100_000;

/// The documented limits, with those in their place that the operator set.
pub(super) fn limits(reader: &mut Reader<'_>) -> Limits {
    let share = reader.percent(("index", "share"), 50);
    let mut limits = Limits::documented().with_background(share);
    let Some(value) = reader.value("tenant", "limits").cloned() else { return limits };
    let Value::Table(endpoints) = value else {
        wrong(reader, "expected a section with endpoints");
        return limits;
    };
    for (name, windows) in &endpoints {
        match of_endpoint(limits.clone(), name, windows) {
            Ok(set) => limits = set,
            Err(what) => wrong(reader, &what),
        }
    }
    limits
}

fn wrong(reader: &mut Reader<'_>, what: &str) {
    reader.problem("[tenant.limits]", what);
}

fn of_endpoint(mut limits: Limits, name: &str, windows: &Value) -> Result<Limits, String> {
    if !Limits::endpoints().any(|known| known == name) {
        let nearest = nearest(name, Limits::endpoints());
        return Err(format!("unknown endpoint {}; the nearest known one is {nearest}", shown(name)));
    }
    let Value::Table(windows) = windows else {
        return Err(format!("{name}: expected windows, such as {{ second = 1, hour = 40 }}"));
    };
    for window in read(name, windows)? {
        limits = limits.with(name, window).map_err(|unknown| unknown.to_string())?;
    }
    Ok(limits)
}

fn read(endpoint: &str, windows: &Table) -> Result<Vec<Window>, String> {
    let known = || Per::ALL.into_iter().map(Per::as_str);
    let one = |(name, value): (&String, &Value)| {
        let Some(per) = Per::ALL.into_iter().find(|per| per.as_str() == name) else {
            let nearest = nearest(name, known());
            return Err(format!(
                "{endpoint}: unknown window {}; the nearest known one is {nearest}",
                shown(name)
            ));
        };
        let limit = value.as_integer().and_then(|n| u32::try_from(n).ok()).filter(|n| (1..=MOST).contains(n));
        let limit =
            limit.ok_or_else(|| format!("{endpoint}: {name}: expected a whole number from 1 to {MOST}"))?;
        Ok(Window { limit, per })
    };
    windows.iter().map(one).collect()
}
