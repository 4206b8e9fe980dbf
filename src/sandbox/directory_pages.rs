//! Groups and departments.

use serde_json::json;

use super::call::Call;
use super::org::{Unit, Units};
use super::paging::Page;
use super::replies::{Answer, Refusal, Reply};
use super::table::{contains, folded};
use super::tenant::Tenant;

/// The largest page of groups and departments (zia-facts §3.3).
const LARGEST_PAGE: usize = 1_000;

/// Which of the two lists is meant.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Groups,
    Departments,
}

impl Tenant {
    fn units(&self, kind: Kind) -> &Units {
        match kind {
            Kind::Groups => &self.org.groups,
            Kind::Departments => &self.org.departments,
        }
    }

    /// `search` looks at names and comments.
    pub(super) fn list_units(&mut self, call: &Call, kind: Kind) -> Answer {
        let page = Page::read(call, LARGEST_PAGE, &mut self.faults)?;
        let search = folded(&call.parameter("search").unwrap_or_default());
        let found = |unit: &&Unit| {
            contains(&unit.name, &search)
                || unit.comments.as_deref().is_some_and(|text| contains(text, &search))
        };
        Ok(Reply::json(json!(page.of(self.units(kind).iter().filter(found)))))
    }

    pub(super) fn get_unit(&self, call: &Call, kind: Kind) -> Answer {
        let id = call.id.unwrap_or_default();
        let what = match kind {
            Kind::Groups => "group",
            Kind::Departments => "department",
        };
        self.units(kind)
            .get(id)
            .map(|unit| Reply::json(json!(unit)))
            .ok_or_else(|| Refusal::not_found(what, id))
    }

    /// `/lite/{id}`: id and name only.
    pub(super) fn get_unit_lite(&self, call: &Call, kind: Kind) -> Answer {
        let reply = self.get_unit(call, kind)?;
        let named = self.units(kind).named(call.id.unwrap_or_default());
        Ok(named.map_or(reply, |named| Reply::json(json!(named))))
    }
}
