//! Users by a part of name or address, department and group.

use std::sync::{Arc, atomic::Ordering};

use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    Directory,
    users::{MAX_PAGES, to_user},
};
use crate::{
    model::{Named, User},
    zia::{Deadline, Error, UserQuery},
};

/// What to search for.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// A part of the name or the address; empty matches all.
    pub text: String,
    /// Only users of this department.
    pub department: Option<Named>,
    /// Only members of this group.
    pub group: Option<Named>,
    /// Ask ZIA even if the users were listed lately.
    pub fresh: bool,
}

/// What a search found.
#[derive(Debug)]
pub struct Searched {
    /// The users that match, by id.
    pub users: Vec<Arc<User>>,
    /// When they were read.
    pub as_of: Timestamp,
    /// Read from ZIA for this search.
    pub live: bool,
    /// Whether every user of the tenant was looked at.
    pub complete: bool,
}

impl Directory {
    /// Finds users by a part of name or address, department and group.
    ///
    /// # Errors
    /// What ZIA's list answered.
    pub async fn search(&self, search: &Search, until: Deadline) -> Result<Searched, Error> {
        if !search.fresh
            && let Some(known) = self.shared.users.all()
        {
            return Ok(search.among(known, false));
        }
        let asked = Instant::now();
        let _one = self.shared.listing.lock().await;
        // Another caller may have listed everything while this one waited.
        let users = &self.shared.users;
        let known = if search.fresh { users.all_begun_after(asked) } else { users.all() };
        if let Some(known) = known {
            return Ok(search.among(known, true));
        }
        let as_of = self.clock.now();
        let large = self.shared.facts.large_tenant.load(Ordering::Relaxed);
        if !large
            && self.scan(MAX_PAGES, until).await?.complete
            && let Some(known) = self.shared.users.all()
        {
            return Ok(search.among(known, true));
        }
        self.shared.facts.large_tenant.store(true, Ordering::Relaxed);
        let query = UserQuery {
            name: (!search.text.is_empty()).then(|| search.text.clone()),
            dept: search.department.as_ref().map(|d| d.name.clone()),
            group: search.group.as_ref().map(|g| g.name.clone()),
            ..UserQuery::default()
        };
        let rows = self.filtered(query, until).await?;
        let users = rows.rows.iter().map(|r| Arc::new(to_user(&r.value))).collect();
        // What the filters match is disputed, so their answer proves nothing about the rest.
        Ok(Searched { complete: false, ..search.among((users, as_of), true) })
    }
}

impl Search {
    fn among(&self, (users, as_of): (Vec<Arc<User>>, Timestamp), live: bool) -> Searched {
        let text = self.text.to_lowercase();
        let mut users: Vec<_> = users.into_iter().filter(|u| self.matches(&text, u)).collect();
        users.sort_by_key(|u| u.id);
        Searched { users, as_of, live, complete: true }
    }

    fn matches(&self, text: &str, user: &User) -> bool {
        let named = user.name.to_lowercase().contains(text) || user.email.to_lowercase().contains(text);
        named && self.keeps(user)
    }

    /// Whether a user is of the department and the group asked for.
    pub fn keeps(&self, user: &User) -> bool {
        let department =
            self.department.as_ref().is_none_or(|d| user.department.as_ref().is_some_and(|u| u.id == d.id));
        department && self.group.as_ref().is_none_or(|g| user.groups.iter().any(|u| u.id == g.id))
    }
}
