//! One user, read live.

use std::{
    collections::HashSet,
    sync::{
        PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use jiff::SignedDuration;
use serde_json::{Value, json, value::RawValue};
use tokio::sync::MutexGuard;

use super::{
    Directory, index, names,
    pages::{Next, Pages},
    rows::{Rows, pick, sample_email},
};
use crate::{
    model::{Digest, Email, User, UserId, UserRef},
    zia::{Deadline, Error, Kind, Raw, UserQuery, ZiaUser},
};

/// Rows asked for per page; ZIA's largest (zia-facts §3.2).
pub(super) const PAGE: u32 = 10_000;

/// Rows up to which listing everything costs less than learning what the name filter matches.
const FEW: usize = 1_000;

/// The most pages of one scan: an eighth of the hour's 40 lists.
pub(crate) const MAX_PAGES: u32 = 5;

/// A whole list that was noted so lately is not noted row by row again.
const MOMENT: SignedDuration = SignedDuration::from_secs(90);

/// One user, as ZIA shows it in the list and by id.
#[derive(Debug)]
pub struct Seen {
    /// The user, name and address from the list row.
    pub user: User,
    /// The vendor's type, if shown.
    pub kind: Option<String>,
    /// The row, as ZIA sent it.
    pub row: Box<RawValue>,
    /// The answer by id, if the look-up read it on its way.
    pub by_id: Option<ById>,
}

impl Seen {
    /// The same user once more.
    pub fn again(&self) -> Self {
        let Self { user, kind, row, by_id } = self;
        Self { user: user.clone(), kind: kind.clone(), row: row.clone(), by_id: by_id.clone() }
    }
}

/// Every user of the tenant, as its list shows them.
#[derive(Debug)]
pub struct Everyone {
    /// Each with the digest of the row's documented fields.
    pub users: Vec<(Seen, Digest)>,
    /// Whether the list was read to its end.
    pub complete: bool,
}

/// The answer to a live look-up of one user.
#[derive(Debug)]
pub enum Lookup {
    /// Exactly one.
    Found(Box<Seen>),
    /// Several have the address.
    Several(Vec<User>),
    /// None; `proven` says whether ZIA's answers establish that.
    Absent {
        /// Whether absence is established.
        proven: bool,
    },
}

/// A user as ZIA answers by id.
#[derive(Clone, Debug)]
pub struct ById {
    /// The object, as ZIA sent it.
    pub raw: Box<RawValue>,
    /// The user, as this answer shows it; name and address may be encoded.
    pub user: User,
    /// The vendor's type, if shown.
    pub kind: Option<String>,
    /// Digest of the documented fields, to notice a change.
    pub object: Digest,
    /// The temporary authentication address, if any.
    pub temp_auth_email: Option<String>,
    /// The address, unless ZIA answered an encoded one (zia-facts §3.2).
    pub plain_email: Option<String>,
    /// The name, unless ZIA answered an encoded one.
    pub plain_name: Option<String>,
}

/// Whether `name=` finds users by their address: sources disagree (zia-facts §3.2), so it is learned.
#[derive(Debug, Default)]
pub(super) struct FilterFacts {
    finds_emails: AtomicBool,
    ignores_emails: AtomicBool,
    pub(super) large_tenant: AtomicBool,
    /// See [`Pages::honest`]; what other processes learned is in the store.
    pub(super) honest_pages: AtomicUsize,
}

impl Directory {
    /// Looks one user up in ZIA itself.
    ///
    /// # Errors
    /// What ZIA answered; absence is no error.
    pub async fn look_up(&self, who: &UserRef, until: Deadline) -> Result<Lookup, Error> {
        match who {
            UserRef::Email(email) => self.by_email(email, until).await,
            UserRef::Id(id) => match self.by_id(*id, until).await? {
                None => {
                    self.gone(*id).await;
                    Ok(Lookup::Absent { proven: true })
                }
                Some(found) => self.row_of(*id, found, until).await,
            },
        }
    }

    /// Reads a user by id; `None` if ZIA says that there is none.
    ///
    /// # Errors
    /// What ZIA answered; a 404 that is not ZIA's is an error too.
    pub async fn by_id(&self, id: UserId, until: Deadline) -> Result<Option<ById>, Error> {
        match self.zia.user(id, until).await {
            Ok(found) => Ok(Some(ById::from(found))),
            Err(Error { kind: Kind::NotFound, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads the whole list of users, as far as a share of the hour's lists reaches.
    ///
    /// # Errors
    /// What ZIA answered.
    pub async fn everyone(&self, until: Deadline) -> Result<Everyone, Error> {
        let Rows { rows, complete } = self.scan(MAX_PAGES, until).await?;
        let with_digest = |row: Raw<ZiaUser>| {
            let digest = Digest::of_json(&documented(&row.value));
            (Seen::from(row), digest)
        };
        Ok(Everyone { users: rows.into_iter().map(with_digest).collect(), complete })
    }

    /// Waits until no other caller reads a list from ZIA, and keeps them waiting in turn.
    ///
    /// Whoever waited should look at what is [`remembered`](Self::remembered) again.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.shared.listing.lock().await
    }

    async fn by_email(&self, email: &Email, until: Deadline) -> Result<Lookup, Error> {
        if self.shared.facts.finds_emails.load(Ordering::Relaxed) {
            return self.by_filter(email, until).await;
        }
        // One plain page of a small tenant, and a look behind it, prove presence and absence alike.
        let first = self.scan(1, until).await?;
        let (complete, many, sample) = (first.complete, first.rows.len() > FEW, sample_email(&first.rows));
        let proven = first.prove_addresses();
        let found = pick(first, email);
        if (many || !complete)
            && !self.shared.facts.ignores_emails.load(Ordering::Relaxed)
            && let Some(sample) = sample
        {
            self.learn_what_the_filter_matches(&sample, until).await?;
        }
        match found {
            Some(found) => Ok(found),
            None if complete => Ok(Lookup::Absent { proven }),
            None if self.shared.facts.finds_emails.load(Ordering::Relaxed) => {
                self.by_filter(email, until).await
            }
            None => {
                let all = self.scan(MAX_PAGES, until).await?;
                let proven = all.prove_addresses();
                Ok(pick(all, email).unwrap_or(Lookup::Absent { proven }))
            }
        }
    }

    /// Asks the name filter, which is known to find addresses.
    async fn by_filter(&self, email: &Email, until: Deadline) -> Result<Lookup, Error> {
        let hits = self.filtered(named(email.as_str()), until).await?;
        let proven = hits.prove_addresses();
        Ok(pick(hits, email).unwrap_or(Lookup::Absent { proven }))
    }

    async fn learn_what_the_filter_matches(&self, sample: &str, until: Deadline) -> Result<(), Error> {
        let hits = self.filtered(named(sample), until).await?;
        let found = hits.rows.iter().any(|r| r.value.email.as_deref() == Some(sample));
        let fact = if found { &self.shared.facts.finds_emails } else { &self.shared.facts.ignores_emails };
        fact.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The list row of a user read by id: it alone has the plain name and says who is not editable.
    async fn row_of(&self, id: UserId, found: ById, until: Deadline) -> Result<Lookup, Error> {
        let with_answer =
            |row| Lookup::Found(Box::new(Seen { by_id: Some(found.clone()), ..Seen::from(row) }));
        let mut names = vec![&found.plain_email, &found.plain_name];
        if self.shared.facts.ignores_emails.load(Ordering::Relaxed) {
            names.remove(0);
        }
        for name in names.into_iter().flatten() {
            let hits = self.hits(named(name), Some(id), until).await?;
            if let Some(row) = hits.rows.into_iter().find(|r| r.value.id == id) {
                return Ok(with_answer(row));
            }
        }
        let all = self.scan(MAX_PAGES, until).await?;
        let row = all.rows.into_iter().find(|r| r.value.id == id);
        Ok(row.map_or(Lookup::Absent { proven: false }, with_answer))
    }

    /// All rows that ZIA's filters let through.
    pub(super) async fn filtered(&self, query: UserQuery, until: Deadline) -> Result<Rows, Error> {
        self.hits(query, None, until).await
    }

    /// The same, or no more than up to the page with the user who is looked for.
    async fn hits(&self, query: UserQuery, one: Option<UserId>, until: Deadline) -> Result<Rows, Error> {
        let began = self.clock.now();
        let pages = Pages::new(PAGE, self.honest_pages().await);
        let rows = self.read((query, one), pages, MAX_PAGES, until).await?;
        if let Err(error) = self.note(rows.rows.iter().map(index::listed_user), began, false).await {
            index::unread(&error);
        }
        Ok(rows)
    }

    /// The first pages of the whole list; a complete one makes the index complete, unless it was so a
    /// moment ago.
    ///
    /// A list of fewer users than the index knows is looked behind: its page may be a new cap.
    pub(super) async fn scan(&self, max_pages: u32, until: Deadline) -> Result<Rows, Error> {
        let began = self.clock.now();
        let known = usize::try_from(self.index_state().await.users).unwrap_or(usize::MAX);
        let pages = Pages::new(PAGE, self.honest_pages().await).knowing(known);
        let rows = self.read((UserQuery::default(), None), pages, max_pages, until).await?;
        let moment = began.saturating_sub(MOMENT).unwrap_or(began);
        let all = rows.complete && self.complete_since().await.is_none_or(|since| since < moment);
        let noted = async {
            self.note(rows.rows.iter().map(index::listed_user), began, all).await?;
            if all { self.store.complete_sweep(self.zia.tenant(), began, None).await } else { Ok(()) }
        };
        match noted.await {
            Ok(()) if rows.complete => {
                *self.shared.listed.lock().unwrap_or_else(PoisonError::into_inner) = Some(began);
            }
            Ok(()) => {}
            Err(error) => index::unread(&error),
        }
        Ok(rows)
    }

    /// The length up to which a short page is known to be the end, as any process learned.
    async fn honest_pages(&self) -> usize {
        let stored = self.store.honest_pages(self.zia.tenant()).await.inspect_err(index::unread);
        let stored = usize::try_from(stored.unwrap_or(0)).unwrap_or(0);
        stored.max(self.shared.facts.honest_pages.load(Ordering::Relaxed))
    }

    /// Reads at most so many pages, and one to look behind a first one that is short; stops early
    /// once it has seen the one user who is looked for, if only one is.
    async fn read(
        &self,
        (query, one): (UserQuery, Option<UserId>),
        mut pages: Pages,
        max_pages: u32,
        until: Deadline,
    ) -> Result<Rows, Error> {
        let (mut rows, mut seen) = (Vec::new(), HashSet::new());
        let mut page = 1;
        while page <= max_pages || (page == 2 && pages.is_short()) {
            let query = UserQuery { page, page_size: PAGE, ..query.clone() };
            let got = self.zia.users(&query, until).await?;
            let distinct = got.iter().map(|row| row.value.id).collect::<HashSet<_>>().len();
            let (count, before) = (got.len(), rows.len());
            rows.extend(got.into_iter().filter(|r| seen.insert(r.value.id)));
            let next = pages.take(count, distinct, rows.len() - before);
            self.shared.facts.honest_pages.fetch_max(pages.honest(), Ordering::Relaxed);
            match next {
                Next::More if one.is_none_or(|id| !seen.contains(&id)) => page += 1,
                Next::End => return Ok(Rows { rows, complete: true }),
                Next::More | Next::Repeats => break,
            }
        }
        Ok(Rows { rows, complete: false })
    }
}

impl From<Raw<ZiaUser>> for Seen {
    fn from(row: Raw<ZiaUser>) -> Self {
        Self { user: to_user(&row.value), kind: row.value.kind, row: row.raw, by_id: None }
    }
}

impl From<Raw<ZiaUser>> for ById {
    fn from(found: Raw<ZiaUser>) -> Self {
        let object = Digest::of_json(&documented(&found.value));
        let plain = |text: Option<String>| text.filter(|t| !t.is_empty() && !is_encoded(t));
        Self {
            user: to_user(&found.value),
            kind: found.value.kind,
            raw: found.raw,
            object,
            temp_auth_email: found.value.temp_auth_email.filter(|e| !e.is_empty()),
            plain_email: plain(found.value.email).filter(|e| e.contains('@')),
            plain_name: plain(found.value.name),
        }
    }
}

/// A query of the name filter.
fn named(name: &str) -> UserQuery {
    UserQuery { name: Some(name.to_owned()), ..UserQuery::default() }
}

/// Whether text has the shape of ZIA's encoded names: 43 base64 characters and `=` (zia-facts §3.2).
pub(crate) fn is_encoded(text: &str) -> bool {
    let base64 = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
    text.strip_suffix('=').is_some_and(|t| t.len() == 43 && t.bytes().all(base64))
}

/// A row as the tools show it.
pub(crate) fn to_user(row: &ZiaUser) -> User {
    User {
        id: row.id,
        name: row.name.clone().unwrap_or_default(),
        email: row.email.clone().unwrap_or_default(),
        department: row.department.clone().map(names::named),
        groups: row.groups.iter().cloned().map(names::named).collect(),
        comments: row.comments.clone().filter(|c| !c.is_empty()),
        admin_user: row.admin_user.unwrap_or(false),
        editable: !row.is_non_editable.unwrap_or(false),
        disabled: row.disabled.unwrap_or(false),
    }
}

/// The documented fields, in one form: what a change to the user shows in.
fn documented(user: &ZiaUser) -> Value {
    let mut groups: Vec<_> = user.groups.iter().map(|g| g.id).collect();
    groups.sort_unstable();
    json!({
        "id": user.id, "name": user.name, "email": user.email, "groups": groups,
        "department": user.department.as_ref().map(|d| d.id), "comments": user.comments,
        "tempAuthEmail": user.temp_auth_email, "adminUser": user.admin_user, "disabled": user.disabled,
        "isNonEditable": user.is_non_editable, "type": user.kind,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_names_are_told_by_their_shape() {
        assert!(is_encoded("kiUDkh50JxDI7zyijrXwUB44JkIvK+nQeGDbhxHJmfo="));
        assert!(!is_encoded("Jane Doe"));
        assert!(!is_encoded("kiUDkh50JxDI7zyijrXwUB44JkIvK+nQeGDbhxHJmfo"));
        assert!(!is_encoded("kiUDkh50JxDI7zyijrXwUB44JkIvK nQeGDbhxHJmfo="));
    }
}
