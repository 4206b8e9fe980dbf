//! Users by a part of name or address, department and group.

use std::sync::atomic::Ordering;

use jiff::Timestamp;

use super::{
    Directory,
    index::{unread, user_of},
    users::{MAX_PAGES, to_user},
};
use crate::{
    model::{Named, User, UserId},
    store::StoreError,
    zia::{Deadline, Error, UserQuery},
};

/// Rows that are opened at a time.
const BATCH: usize = 200;

/// What to search for.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// A part of the name or the address; empty matches all.
    pub text: String,
    /// Only users of this department.
    pub department: Option<Named>,
    /// Only members of this group.
    pub group: Option<Named>,
    /// Only users with a higher id.
    pub after: i64,
    /// The most users to be found.
    pub most: usize,
    /// Ask ZIA whatever is known.
    pub fresh: bool,
}

/// What a search found.
#[derive(Debug)]
pub struct Searched {
    /// The users that match, by id.
    pub users: Vec<User>,
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
            && let Some(found) = self.search_index(search, None).await
        {
            return Ok(found);
        }
        let asked = self.clock.now();
        let _one = self.shared.listing.lock().await;
        // Another caller may have listed everything while this one waited.
        let since = search.fresh.then_some(asked);
        if let Some(found) = self.search_index(search, since).await {
            return Ok(Searched { live: true, ..found });
        }
        let as_of = self.clock.now();
        let large = self.shared.facts.large_tenant.load(Ordering::Relaxed);
        if !large {
            let all = self.scan(MAX_PAGES, until).await?;
            if all.complete {
                return Ok(search.among(all.rows.iter().map(|r| to_user(&r.value)), as_of));
            }
        }
        self.shared.facts.large_tenant.store(true, Ordering::Relaxed);
        let query = UserQuery {
            name: (!search.text.is_empty()).then(|| search.text.clone()),
            dept: search.department.as_ref().map(|d| d.name.clone()),
            group: search.group.as_ref().map(|g| g.name.clone()),
            ..UserQuery::default()
        };
        let rows = self.filtered(query, until).await?;
        let found = search.among(rows.rows.iter().map(|r| to_user(&r.value)), as_of);
        // What the filters match is disputed, so their answer proves nothing about the rest.
        Ok(Searched { complete: false, ..found })
    }

    /// Searches the index, if it holds a whole list that counts, begun after `since`.
    async fn search_index(&self, search: &Search, since: Option<Timestamp>) -> Option<Searched> {
        let as_of = self.complete_since().await.filter(|at| since.is_none_or(|since| *at >= since))?;
        let users = self.among_indexed(search).await.inspect_err(unread).ok()?;
        Some(Searched { users, as_of, live: false, complete: true })
    }

    async fn among_indexed(&self, search: &Search) -> Result<Vec<User>, StoreError> {
        let text = search.text.to_lowercase();
        let may_match = {
            let mut haystack = self.shared.haystack.lock().await;
            haystack.refresh(&self.store, self.zia.tenant()).await?;
            haystack.find(&text, search.after)
        };
        let mut users = Vec::new();
        for ids in may_match.chunks(BATCH.min(search.most.max(20))) {
            let rows = self.store.indexed_among(self.zia.tenant(), ids).await?;
            let found = rows.iter().filter_map(user_of).filter(|user| search.matches(&text, user));
            let mut found: Vec<User> = found.collect();
            found.sort_by_key(|user| user.id);
            users.extend(found);
            if users.len() >= search.most {
                users.truncate(search.most);
                break;
            }
        }
        Ok(users)
    }
}

impl Search {
    fn among(&self, users: impl Iterator<Item = User>, as_of: Timestamp) -> Searched {
        let text = self.text.to_lowercase();
        let wanted = |u: &User| UserId::get(u.id) > self.after && self.matches(&text, u);
        let mut users: Vec<_> = users.filter(wanted).collect();
        users.sort_by_key(|u| u.id);
        users.truncate(self.most);
        Searched { users, as_of, live: true, complete: true }
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
