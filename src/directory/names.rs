//! Groups and departments: by id or by exact name.

use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    Directory,
    choose::{NameError, choose, unknown},
    index::unread,
    pages::{Next, Pages},
};
use crate::{
    model::Named,
    store::{NameKind, NameList},
    zia::{Deadline, Error, ListQuery, ZiaNamed},
};

/// Rows asked for per page; ZIA gives at most 1,000 (zia-facts §3.3).
const PAGE: u32 = 1_000;

/// The most pages read: ZIA allows 140,000 groups (zia-facts §3.2).
const MAX_PAGES: u32 = 141;

/// How long a list is believed without being read again.
const FRESH: Duration = Duration::from_secs(600);

/// How old a list may be that says which groups are still there.
const RECENT: Duration = Duration::from_secs(20);

/// For each call that it cost to read a list again for a name that it lacks, no other miss makes it
/// be read for so long: a caller with nonsense names gets at most 240 calls an hour of the 400.
const MISS: Duration = Duration::from_secs(15);

/// The names of one kind, as last read.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Never held across an await.
    list: Mutex<Option<Listing>>,
    /// Until when no name that is missing makes the list be read again; never held across an await.
    missed_until: Mutex<Option<Instant>>,
    /// See [`Pages::honest`].
    honest_pages: AtomicUsize,
}

/// All groups or departments, as read.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Every one, in the tenant's order.
    pub items: Vec<Named>,
    /// When the reading began.
    pub as_of: Timestamp,
    /// Whether the list was read to its end.
    pub complete: bool,
    read_at: Instant,
    /// What reading it cost.
    calls: u32,
}

impl Directory {
    /// All groups, from memory if read in the last ten minutes.
    ///
    /// # Errors
    /// What ZIA's list answered.
    pub async fn groups(&self, until: Deadline) -> Result<Listing, Error> {
        self.names(NameKind::Group, FRESH, until).await
    }

    /// All departments, from memory if read in the last ten minutes.
    ///
    /// # Errors
    /// What ZIA's list answered.
    pub async fn departments(&self, until: Deadline) -> Result<Listing, Error> {
        self.names(NameKind::Department, FRESH, until).await
    }

    /// All groups; read again if none in memory has just this name or id.
    ///
    /// # Errors
    /// What ZIA's list answered, unless the list in memory has at least a part of the name.
    pub async fn groups_with(&self, text: &str, until: Deadline) -> Result<Listing, Error> {
        self.names_with(NameKind::Group, text, until).await
    }

    /// All departments, like [`groups_with`](Self::groups_with).
    ///
    /// # Errors
    /// What ZIA's list answered, unless the list in memory has at least a part of the name.
    pub async fn departments_with(&self, text: &str, until: Deadline) -> Result<Listing, Error> {
        self.names_with(NameKind::Department, text, until).await
    }

    async fn names_with(&self, kind: NameKind, text: &str, until: Deadline) -> Result<Listing, Error> {
        let began = Instant::now();
        let listing = self.names(kind, FRESH, until).await?;
        let text = text.trim().to_lowercase();
        if text.is_empty() || !is_missing(&listing, &text) {
            return Ok(listing);
        }
        let part = listing.items.iter().any(|n| n.name.to_lowercase().contains(&text));
        match self.again(kind, listing.clone(), began, until).await {
            Err(_) if part => Ok(listing),
            read => read,
        }
    }

    /// Forgets the lists of groups and departments: ZIA has shown another name than they hold.
    pub async fn forget_names(&self) {
        for kind in [NameKind::Group, NameKind::Department] {
            self.names_of(kind).forget();
            // What other processes begin with next is as old as can be, so that they read it anew.
            let list = NameList { items: Vec::new(), as_of: Timestamp::UNIX_EPOCH, complete: false };
            if let Err(error) = self.store.keep_names(self.zia.tenant(), kind, &list).await {
                unread(&error);
            }
        }
    }

    /// Resolves groups by id or exact name; each asked one gives one or a reason.
    ///
    /// # Errors
    /// What ZIA's list answered.
    pub async fn resolve_groups(
        &self,
        asked: &[String],
        until: Deadline,
    ) -> Result<Vec<Result<Named, NameError>>, Error> {
        self.resolve(NameKind::Group, asked, until).await
    }

    /// Groups as they are now: by id, or else by a name that only one has; `None` for one that is gone.
    ///
    /// # Errors
    /// What ZIA's list answered.
    pub async fn find_groups(&self, wanted: &[Named], until: Deadline) -> Result<Vec<Option<Named>>, Error> {
        self.still_there(NameKind::Group, wanted, until).await
    }

    /// A department as it is now, like [`find_groups`](Self::find_groups).
    ///
    /// # Errors
    /// What ZIA's list answered.
    pub async fn find_department(&self, wanted: &Named, until: Deadline) -> Result<Option<Named>, Error> {
        let found = self.still_there(NameKind::Department, std::slice::from_ref(wanted), until).await?;
        Ok(found.into_iter().next().flatten())
    }

    /// What a list that was not read to its end does not show is taken to be as it was.
    async fn still_there(
        &self,
        kind: NameKind,
        wanted: &[Named],
        until: Deadline,
    ) -> Result<Vec<Option<Named>>, Error> {
        let listing = self.names(kind, RECENT, until).await?;
        let find = |w: &Named| {
            let mut by_name = listing.items.iter().filter(|n| n.name == w.name);
            let only = by_name.next().filter(|_| by_name.next().is_none());
            let found = listing.items.iter().find(|n| n.id == w.id).or(only).cloned();
            found.or_else(|| (!listing.complete).then(|| w.clone()))
        };
        Ok(wanted.iter().map(find).collect())
    }

    /// Resolves one department by id or exact name.
    ///
    /// # Errors
    /// What ZIA's list answered.
    pub async fn resolve_department(
        &self,
        asked: &str,
        until: Deadline,
    ) -> Result<Result<Named, NameError>, Error> {
        let asked = [asked.to_owned()];
        let mut found = self.resolve(NameKind::Department, &asked, until).await?;
        Ok(found.pop().unwrap_or_else(|| Err(unknown(&[], "", false))))
    }

    async fn resolve(
        &self,
        kind: NameKind,
        asked: &[String],
        until: Deadline,
    ) -> Result<Vec<Result<Named, NameError>>, Error> {
        let began = Instant::now();
        let mut listing = self.names(kind, FRESH, until).await?;
        if asked.iter().any(|a| is_missing(&listing, a)) {
            listing = self.again(kind, listing, began, until).await?;
        }
        Ok(asked.iter().map(|a| pick(&listing, a)).collect())
    }

    /// The list once more, since it lacks what is asked for, unless it was read after that was asked
    /// or another miss has just made it be read.
    async fn again(
        &self,
        kind: NameKind,
        listing: Listing,
        asked: Instant,
        until: Deadline,
    ) -> Result<Listing, Error> {
        if listing.read_at >= asked {
            return Ok(listing);
        }
        let names = self.names_of(kind);
        let _one = self.shared.listing.lock().await;
        // Whoever waited takes what another has read meanwhile.
        if let Some(newer) = names.newer_than(listing.read_at) {
            return Ok(newer);
        }
        if names.missed_lately() {
            return Ok(listing);
        }
        let listing = self.read_and_keep(kind, until).await?;
        names.missed(listing.calls);
        Ok(listing)
    }

    async fn names(&self, kind: NameKind, max_age: Duration, until: Deadline) -> Result<Listing, Error> {
        let names = self.names_of(kind);
        if let Some(known) = names.younger_than(max_age) {
            return Ok(known);
        }
        let _one = self.shared.listing.lock().await;
        if let Some(known) = names.younger_than(max_age) {
            return Ok(known);
        }
        if let Some(kept) = self.kept_names(kind).await {
            names.keep(kept);
            if let Some(known) = names.younger_than(max_age) {
                return Ok(known);
            }
        }
        self.read_and_keep(kind, until).await
    }

    async fn read_and_keep(&self, kind: NameKind, until: Deadline) -> Result<Listing, Error> {
        let listing = self.read_names(kind, until).await?;
        self.names_of(kind).keep(listing.clone());
        let Listing { items, as_of, complete, .. } = listing.clone();
        let list = NameList { items, as_of, complete };
        if let Err(error) = self.store.keep_names(self.zia.tenant(), kind, &list).await {
            unread(&error);
        }
        Ok(listing)
    }

    fn names_of(&self, kind: NameKind) -> &Names {
        match kind {
            NameKind::Group => &self.shared.groups,
            NameKind::Department => &self.shared.departments,
        }
    }

    /// The list as this or another process last read it.
    async fn kept_names(&self, kind: NameKind) -> Option<Listing> {
        let kept = self.store.kept_names(self.zia.tenant(), kind).await.inspect_err(unread).ok()??;
        let age = Duration::try_from(self.clock.now().duration_since(kept.as_of)).ok()?;
        let NameList { items, as_of, complete } = kept;
        Some(Listing { items, as_of, complete, read_at: Instant::now().checked_sub(age)?, calls: 0 })
    }

    async fn read_names(&self, kind: NameKind, until: Deadline) -> Result<Listing, Error> {
        let (as_of, read_at) = (self.clock.now(), Instant::now());
        let (mut items, mut seen) = (Vec::new(), HashSet::new());
        let names = self.names_of(kind);
        let honest = names.honest_pages.load(Ordering::Relaxed);
        let mut pages = Pages::new(PAGE, honest).knowing(names.known());
        let (mut complete, mut calls) = (false, 0);
        for page in 1..=MAX_PAGES {
            calls = page;
            let query = ListQuery { search: None, page, page_size: PAGE };
            let rows = match kind {
                NameKind::Group => self.zia.groups(&query, until).await?,
                NameKind::Department => self.zia.departments(&query, until).await?,
            };
            let distinct = rows.iter().map(|row| row.id).collect::<HashSet<_>>().len();
            let (count, before) = (rows.len(), items.len());
            items.extend(rows.into_iter().filter(|r| seen.insert(r.id)).map(named));
            let next = pages.take(count, distinct, items.len() - before);
            names.honest_pages.fetch_max(pages.honest(), Ordering::Relaxed);
            match next {
                Next::More => {}
                Next::End => {
                    complete = true;
                    break;
                }
                Next::Repeats => break,
            }
        }
        Ok(Listing { items, as_of, complete, read_at, calls })
    }
}

impl Names {
    fn younger_than(&self, age: Duration) -> Option<Listing> {
        let list = self.list.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        list.as_ref().filter(|l| l.read_at.elapsed() <= age).cloned()
    }

    fn newer_than(&self, read_at: Instant) -> Option<Listing> {
        let list = self.list.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        list.as_ref().filter(|l| l.read_at > read_at).cloned()
    }

    fn forget(&self) {
        *self.list.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    }

    fn missed_lately(&self) -> bool {
        let until = *self.missed_until.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Takes note that a name which is missing made the list be read, with so many calls.
    fn missed(&self, calls: u32) {
        let pause = MISS.saturating_mul(calls).min(FRESH);
        let mut until = self.missed_until.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *until = Instant::now().checked_add(pause);
    }

    /// How many the last list had, whatever its age.
    fn known(&self) -> usize {
        let list = self.list.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        list.as_ref().map_or(0, |kept| kept.items.len())
    }

    /// Keeps a list, unless a later one is kept.
    fn keep(&self, listing: Listing) {
        let mut list = self.list.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if list.as_ref().is_none_or(|kept| kept.read_at <= listing.read_at) {
            *list = Some(listing);
        }
    }
}

pub(super) fn named(row: ZiaNamed) -> Named {
    Named { id: row.id, name: row.name.unwrap_or_default() }
}

fn pick(listing: &Listing, asked: &str) -> Result<Named, NameError> {
    let mut found = choose(&listing.items, listing.complete, asked);
    if let Err(NameError::Unknown { as_of, .. }) = &mut found {
        *as_of = Some(listing.as_of);
    }
    found
}

fn is_missing(listing: &Listing, asked: &str) -> bool {
    matches!(pick(listing, asked), Err(NameError::Unknown { .. }))
}
