//! Reading users.

use std::sync::Arc;

use super::call::Call;
use super::faults::Fault;
use super::org::Org;
use super::paging::Page;
use super::replies::{Answer, Content, Refusal, Reply};
use super::table::{contains, folded, starts_with};
use super::tenant::Tenant;
use super::user::{Shape, UserRow};

/// The largest page of users (zia-facts §3.2).
const LARGEST_PAGE: usize = 10_000;

/// Which users a list is asked for.
struct Filter {
    /// Part of the name, or of the e-mail address.
    name: Option<String>,
    /// Start of the department's name.
    department: Option<String>,
    /// Start of a group's name.
    group: Option<String>,
    looks_at_email: bool,
}

impl Filter {
    fn passes_all(&self) -> bool {
        self.name.is_none() && self.department.is_none() && self.group.is_none()
    }

    fn passes(&self, row: &UserRow, org: &Org) -> bool {
        let named =
            |part: &String| contains(&row.name, part) || (self.looks_at_email && contains(&row.email, part));
        let in_group = |part: &String| {
            row.groups.iter().filter_map(|id| org.groups.name(*id)).any(|name| starts_with(name, part))
        };
        let in_department = |part: &String| {
            row.department.and_then(|id| org.departments.name(id)).is_some_and(|name| starts_with(name, part))
        };
        self.name.as_ref().is_none_or(named)
            && self.group.as_ref().is_none_or(in_group)
            && self.department.as_ref().is_none_or(in_department)
    }
}

impl Tenant {
    pub(super) fn list_users(&mut self, call: &Call) -> Answer {
        let page = Page::read(call, LARGEST_PAGE, &mut self.faults)?;
        let asked = |name| call.parameter(name).map(|text| folded(&text)).filter(|text| !text.is_empty());
        let name = asked("name");
        let filter = Filter {
            looks_at_email: name.is_none()
                || !self.faults.strikes(call.endpoint, &Fault::NameFilterIgnoresEmail),
            name,
            department: asked("dept"),
            group: asked("group"),
        };
        Ok(self.rows(page, &filter, Shape::Row))
    }

    /// Ids and names; `name` looks at names only (zia-facts §3.2).
    pub(super) fn list_references(&mut self, call: &Call) -> Answer {
        let page = Page::read(call, self.options.references_page_max, &mut self.faults)?;
        let name = call.parameter("name").map(|text| folded(&text)).filter(|text| !text.is_empty());
        let filter = Filter { name, department: None, group: None, looks_at_email: false };
        if call.parameter("includeAdminUsers").as_deref() != Some("false") {
            return Ok(self.rows(page, &filter, Shape::Reference));
        }
        let people = self.users.iter().filter(|row| !row.admin && filter.passes(row, &self.org)).cloned();
        Ok(self.written(page.of(people), Shape::Reference))
    }

    fn rows(&mut self, page: Page, filter: &Filter, shape: Shape) -> Reply {
        let rows = match (filter.passes_all(), self.lag.is_empty()) {
            (true, true) => page.finished(self.users.slice(page.start, page.size)),
            (_, true) => page.of(self.users.iter().filter(|row| filter.passes(row, &self.org)).cloned()),
            (_, false) => {
                let seen = self.lag.read_all(self.users.iter());
                page.of(seen.into_iter().filter(|row| filter.passes(row, &self.org)))
            }
        };
        self.written(rows, shape)
    }

    fn written(&self, rows: Vec<Arc<UserRow>>, shape: Shape) -> Reply {
        Reply::new(200, Content::Users(rows, Arc::clone(&self.org), shape))
    }

    /// Without `isNonEditable`, and encoded on some tenants (zia-facts §3.2).
    pub(super) fn get_user(&mut self, call: &Call) -> Answer {
        let id = call.id.unwrap_or_default();
        let row = self.lag.read(id, self.users.get(id)).ok_or_else(|| Refusal::not_found("user", id))?;
        let encoded = self.faults.strikes(call.endpoint, &Fault::EncodedById);
        let shape = if encoded { Shape::Encoded } else { Shape::ById };
        Ok(Reply::new(200, Content::User(row, Arc::clone(&self.org), shape)))
    }
}
