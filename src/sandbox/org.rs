//! The tenant's groups and departments.

use std::collections::HashMap;

use serde::Serialize;

use super::table::folded;

/// An id and a name, as users refer to groups and departments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedId {
    /// The ZIA id.
    pub id: u64,
    /// The name, which is not always unique.
    pub name: String,
}

/// A group or a department as the vendor writes it (zia-facts §3.3, §3.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Unit {
    pub(super) id: u64,
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) idp_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) comments: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) is_system_defined: Option<bool>,
}

/// All groups, or all departments, in name order.
#[derive(Clone, Debug, Default)]
pub(super) struct Units {
    order: Vec<u64>,
    by_id: HashMap<u64, Unit>,
}

/// Who belongs where.
#[derive(Clone, Debug, Default)]
pub(super) struct Org {
    pub(super) groups: Units,
    pub(super) departments: Units,
}

impl Units {
    pub(super) fn new(units: Vec<Unit>) -> Self {
        let by_id: HashMap<u64, Unit> = units.into_iter().map(|unit| (unit.id, unit)).collect();
        let order = by_id.keys().copied().collect();
        let mut units = Self { order, by_id };
        units.sort();
        units
    }

    fn sort(&mut self) {
        let by_id = &self.by_id;
        self.order.sort_by_cached_key(|id| (by_id.get(id).map(|unit| folded(&unit.name)), *id));
    }

    /// Adds a unit of a name; gives its id, the next one.
    pub(super) fn insert(&mut self, name: &str) -> u64 {
        let id = self.order.iter().max().map_or(1, |last| last.saturating_add(1));
        let unit = Unit { id, name: name.to_owned(), idp_id: None, comments: None, is_system_defined: None };
        self.by_id.insert(id, unit);
        self.order.push(id);
        self.sort();
        id
    }

    /// Takes a unit away; false if there is none of this id.
    pub(super) fn remove(&mut self, id: u64) -> bool {
        self.order.retain(|other| *other != id);
        self.by_id.remove(&id).is_some()
    }

    /// Gives a unit another name; false if there is none of this id.
    pub(super) fn rename(&mut self, id: u64, name: &str) -> bool {
        let Some(unit) = self.by_id.get_mut(&id) else { return false };
        name.clone_into(&mut unit.name);
        self.sort();
        true
    }

    pub(super) fn get(&self, id: u64) -> Option<&Unit> {
        self.by_id.get(&id)
    }

    pub(super) fn name(&self, id: u64) -> Option<&str> {
        self.get(id).map(|unit| unit.name.as_str())
    }

    pub(super) fn named(&self, id: u64) -> Option<NamedId> {
        self.name(id).map(|name| NamedId { id, name: name.to_owned() })
    }

    /// All, in name order whatever the case (zia-facts §3.2).
    pub(super) fn iter(&self) -> impl Iterator<Item = &Unit> {
        self.order.iter().filter_map(|id| self.by_id.get(id))
    }
}
