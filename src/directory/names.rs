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

/// An unknown name makes the list be read again once it is this old.
const STALE_FOR_A_MISS: Duration = Duration::from_secs(20);

/// The names of one kind, as last read.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Never held across an await.
    list: Mutex<Option<Listing>>,
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
}

/// A name that does not resolve to one id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Nothing has that id or name; the list may hold similar ones.
    Unknown {
        /// What was asked for.
        asked: String,
        /// Similar names.
        similar: Vec<Named>,
        /// Whether the list was read to its end, so that absence is proven.
        proven: bool,
    },
    /// Several have that name.
    Ambiguous {
        /// What was asked for.
        asked: String,
        /// All that have it.
        candidates: Vec<Named>,
    },
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
        let listing = self.names(kind, STALE_FOR_A_MISS, until).await?;
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
        let mut listing = self.names(kind, FRESH, until).await?;
        let missing =
            |l: &Listing| asked.iter().any(|a| matches!(pick(l, a), Err(NameError::Unknown { .. })));
        if missing(&listing) && listing.read_at.elapsed() > STALE_FOR_A_MISS {
            listing = self.names(kind, STALE_FOR_A_MISS, until).await?;
        }
        Ok(asked.iter().map(|a| pick(&listing, a)).collect())
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
        let listing = self.read_names(kind, until).await?;
        names.keep(listing.clone());
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
        Some(Listing { items, as_of, complete, read_at: Instant::now().checked_sub(age)? })
    }

    async fn read_names(&self, kind: NameKind, until: Deadline) -> Result<Listing, Error> {
        let (as_of, read_at) = (self.clock.now(), Instant::now());
        let (mut items, mut seen) = (Vec::new(), HashSet::new());
        let names = self.names_of(kind);
        let honest = names.honest_pages.load(Ordering::Relaxed);
        let mut pages = Pages::new(PAGE, honest).knowing(names.known());
        let mut complete = false;
        for page in 1..=MAX_PAGES {
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
        Ok(Listing { items, as_of, complete, read_at })
    }
}

impl Names {
    fn younger_than(&self, age: Duration) -> Option<Listing> {
        let list = self.list.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        list.as_ref().filter(|l| l.read_at.elapsed() <= age).cloned()
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
    choose(&listing.items, listing.complete, asked)
}

/// One item by id or by exact name; the exact case wins over another case.
///
/// `complete` says that there are no other items than these.
pub(crate) fn choose(items: &[Named], complete: bool, asked: &str) -> Result<Named, NameError> {
    let asked = asked.trim();
    let by_name: Vec<_> = items.iter().filter(|n| n.name == asked).collect();
    let folded = asked.to_lowercase();
    let by_any_case = || items.iter().filter(|n| n.name.to_lowercase() == folded).collect();
    let by_id = || -> Vec<_> {
        let id = asked.parse::<crate::model::UserId>().map(|id| id.get());
        items.iter().filter(|n| Ok(n.id) == id).collect()
    };
    let found = [by_name, by_id(), by_any_case()].into_iter().find(|v: &Vec<&Named>| !v.is_empty());
    match found.as_deref() {
        None | Some([]) => Err(unknown(items, asked, complete)),
        Some([one]) => Ok((*one).clone()),
        Some(many) => Err(NameError::Ambiguous {
            asked: asked.to_owned(),
            candidates: many.iter().map(|n| (*n).clone()).collect(),
        }),
    }
}

fn unknown(items: &[Named], asked: &str, proven: bool) -> NameError {
    let folded = asked.to_lowercase();
    let mut similar: Vec<_> = items
        .iter()
        .map(|n| (strsim::jaro_winkler(&n.name.to_lowercase(), &folded), n))
        .filter(|(score, n)| *score > 0.8 || (!folded.is_empty() && n.name.to_lowercase().contains(&folded)))
        .collect();
    similar.sort_by(|a, b| b.0.total_cmp(&a.0));
    let similar = similar.into_iter().take(10).map(|(_, n)| n.clone()).collect();
    NameError::Unknown { asked: asked.to_owned(), similar, proven }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(items: &[(i64, &str)]) -> Listing {
        let items = items.iter().map(|&(id, name)| Named { id, name: name.into() }).collect();
        Listing { items, as_of: Timestamp::UNIX_EPOCH, complete: true, read_at: Instant::now() }
    }

    #[test]
    fn a_name_resolves_by_exact_text_then_id_then_any_case() {
        let list = listing(&[(1, "Sales"), (2, "sales"), (3, "42"), (42, "Ops")]);
        assert_eq!(pick(&list, "sales").unwrap().id, 2);
        assert_eq!(pick(&list, "42").unwrap().id, 3);
        assert_eq!(pick(&list, "1").unwrap().id, 1);
        assert_eq!(pick(&list, " OPS ").unwrap().id, 42);
    }

    #[test]
    fn a_name_that_two_identity_providers_share_is_ambiguous() {
        let list = listing(&[(1, "Engineering"), (2, "Engineering")]);
        let Err(NameError::Ambiguous { candidates, .. }) = pick(&list, "Engineering") else { panic!() };
        assert_eq!(candidates.iter().map(|c| c.id).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn an_unknown_name_lists_similar_ones() {
        let list = listing(&[(1, "Engineering"), (2, "Marketing")]);
        let Err(NameError::Unknown { similar, .. }) = pick(&list, "Enginering") else { panic!() };
        assert_eq!(similar.first().map(|n| n.id), Some(1));
    }
}
