//! Finding users, groups and departments.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Lifecycle, cursor,
    failure::{Candidate, Code, Failure},
};
use crate::{
    directory::{Lookup, NameError, Remembered, Search},
    model::{Digest, Named, User, UserId, UserRef, shown},
    zia::Deadline,
};

/// The longest text that is searched for, in characters: ZIA's longest name (zia-facts §3.1).
const MAX_QUERY: usize = 127;

/// What to find.
#[derive(Clone, Debug)]
pub struct FindUser {
    /// An address, an id, or a part of a name.
    pub query: String,
    /// Department, by name or id.
    pub department: Option<String>,
    /// Group, by name or id.
    pub group: Option<String>,
    /// 1 to 100 users.
    pub limit: u32,
    /// Where to go on.
    pub cursor: Option<String>,
    /// Ask ZIA itself.
    pub fresh: bool,
}

/// How the query was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the names are the contract's
pub enum Match {
    Exact,
    Partial,
    None,
}

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the names are the contract's
pub enum Source {
    Live,
    Index,
}

/// The users found.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FoundUsers {
    /// How the query was met.
    #[serde(rename = "match")]
    pub matched: Match,
    /// At most `limit` users, by id.
    pub users: Vec<User>,
    /// Where to go on, if there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub next_cursor: Option<String>,
    /// When this was read from ZIA.
    #[schemars(with = "String")]
    pub as_of: Timestamp,
    /// Where it comes from.
    pub source: Source,
    /// False: others may match, or absence is not established.
    pub complete: bool,
}

/// Which groups or departments to list.
#[derive(Clone, Debug)]
pub struct ListNames {
    /// A part of the name.
    pub query: Option<String>,
    /// 1 to 100 items.
    pub limit: u32,
    /// Where to go on.
    pub cursor: Option<String>,
}

/// Groups or departments.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NamesFound {
    /// By id.
    pub items: Vec<Named>,
    /// Where to go on, if there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub next_cursor: Option<String>,
    /// When this was read from ZIA.
    #[schemars(with = "String")]
    pub as_of: Timestamp,
}

impl Lifecycle {
    /// Finds users.
    ///
    /// # Errors
    /// Bad arguments, an unknown department or group, or what ZIA answered.
    pub async fn find_user(&self, find: FindUser) -> Result<FoundUsers, Failure> {
        check_limit(find.limit)?;
        let until = self.interactive();
        let query = find.query.trim().to_owned();
        let filtered = find.department.is_some() || find.group.is_some();
        if query.is_empty() && !filtered {
            return Err(Failure::argument("query", "the query is empty"));
        }
        if query.chars().count() > MAX_QUERY {
            return Err(Failure::argument("query", format!("a query has at most {MAX_QUERY} characters")));
        }
        match query.parse::<UserRef>() {
            Ok(who) => self.find_one(who, &find, until).await,
            Err(_) => self.find_many(query, &find, until).await,
        }
    }

    async fn find_one(&self, who: UserRef, find: &FindUser, until: Deadline) -> Result<FoundUsers, Failure> {
        let search = self.search_of(String::new(), find, until).await?;
        let keeps = |u: &User| search.keeps(u);
        let mut known = self.remembered(&who, find).await?;
        let mut _turn = None;
        if known.is_none() && !find.fresh {
            // Many who ask for the same at once cost ZIA one list, not one each.
            _turn = Some(self.directory.turn().await);
            known = self.remembered(&who, find).await?;
        }
        if let Some(Remembered { users, as_of }) = known {
            return Ok(found(users.into_iter().filter(keeps).collect(), as_of, Source::Index, true));
        }
        let as_of = self.clock.now();
        Ok(match self.directory.look_up(&who, until).await? {
            Lookup::Found(seen) => {
                let users = [seen.user].into_iter().filter(keeps).collect();
                found(users, as_of, Source::Live, true)
            }
            Lookup::Several(users) => {
                found(users.into_iter().filter(keeps).collect(), as_of, Source::Live, true)
            }
            Lookup::Absent { proven } => found(vec![], as_of, Source::Live, proven),
        })
    }

    async fn remembered(&self, who: &UserRef, find: &FindUser) -> Result<Option<Remembered>, Failure> {
        if find.fresh { Ok(None) } else { Ok(self.directory.remembered(who).await?) }
    }

    async fn find_many(&self, text: String, find: &FindUser, until: Deadline) -> Result<FoundUsers, Failure> {
        let digest = Digest::of_json(&json!(["find_user", text.to_lowercase(), find.department, find.group]));
        let after = self.opened(&digest, find.cursor.as_deref())?;
        let limit = usize::try_from(find.limit).unwrap_or(usize::MAX);
        let search = self.search_of(text, find, until).await?;
        let search = Search { after, most: limit.saturating_add(1), ..search };
        let searched = self.directory.search(&search, until).await?;
        let mut users = searched.users;
        let next_cursor = self.cut(&digest, &mut users, limit, |u| u.id.get());
        let source = if searched.live { Source::Live } else { Source::Index };
        let matched = if users.is_empty() { Match::None } else { Match::Partial };
        let complete = searched.complete;
        Ok(FoundUsers { matched, users, next_cursor, as_of: searched.as_of, source, complete })
    }

    async fn search_of(&self, text: String, find: &FindUser, until: Deadline) -> Result<Search, Failure> {
        let department = match &find.department {
            None => None,
            Some(asked) => {
                let found = self.directory.resolve_department(asked, until).await?;
                Some(found.map_err(|e| name_failure("department", e))?)
            }
        };
        let group = match &find.group {
            None => None,
            Some(asked) => {
                let found = self.directory.resolve_groups(std::slice::from_ref(asked), until).await?;
                found.into_iter().next().transpose().map_err(|e| name_failure("group", e))?
            }
        };
        Ok(Search { text, department, group, fresh: find.fresh, ..Search::default() })
    }

    /// Lists groups by a part of the name.
    ///
    /// # Errors
    /// Bad arguments, or what ZIA answered.
    pub async fn list_groups(&self, list: ListNames) -> Result<NamesFound, Failure> {
        check_limit(list.limit)?;
        let listing = self.directory.groups_with(new_text(&list), self.interactive()).await?;
        self.page_of("list_groups", listing.items, listing.as_of, &list)
    }

    /// Lists departments by a part of the name.
    ///
    /// # Errors
    /// Bad arguments, or what ZIA answered.
    pub async fn list_departments(&self, list: ListNames) -> Result<NamesFound, Failure> {
        check_limit(list.limit)?;
        let listing = self.directory.departments_with(new_text(&list), self.interactive()).await?;
        self.page_of("list_departments", listing.items, listing.as_of, &list)
    }

    fn page_of(
        &self,
        tool: &str,
        items: Vec<Named>,
        as_of: Timestamp,
        list: &ListNames,
    ) -> Result<NamesFound, Failure> {
        let text = list.query.as_deref().unwrap_or_default().trim().to_lowercase();
        if text.chars().count() > MAX_QUERY {
            return Err(Failure::argument("query", format!("a query has at most {MAX_QUERY} characters")));
        }
        let digest = Digest::of_json(&json!([tool, text]));
        let after = self.opened(&digest, list.cursor.as_deref())?;
        let limit = usize::try_from(list.limit).unwrap_or(usize::MAX);
        let matches = |n: &Named| n.id > after && n.name.to_lowercase().contains(&text);
        let mut items: Vec<_> = items.into_iter().filter(matches).collect();
        items.sort_by_key(|n| n.id);
        let next_cursor = self.cut(&digest, &mut items, limit, |n| n.id);
        Ok(NamesFound { items, next_cursor, as_of })
    }

    fn opened(&self, query: &Digest, cursor: Option<&str>) -> Result<i64, Failure> {
        cursor.map_or(Ok(0), |c| cursor::open(&self.shared.cursor_key, query, c))
    }

    /// Keeps `limit` items and seals where the next page begins, if there is one.
    fn cut<T>(
        &self,
        query: &Digest,
        items: &mut Vec<T>,
        limit: usize,
        id: impl Fn(&T) -> i64,
    ) -> Option<String> {
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more)?;
        Some(cursor::seal(&self.shared.cursor_key, query, id(last)))
    }
}

fn found(users: Vec<User>, as_of: Timestamp, source: Source, complete: bool) -> FoundUsers {
    let matched = if users.is_empty() { Match::None } else { Match::Exact };
    FoundUsers { matched, users, next_cursor: None, as_of, source, complete }
}

pub(crate) fn check_limit(limit: u32) -> Result<(), Failure> {
    let in_range = (1..=100).contains(&limit);
    in_range.then_some(()).ok_or_else(|| Failure::argument("limit", "the limit is 1 to 100"))
}

/// A group or department that does not resolve, as a refusal of an argument.
pub(crate) fn name_failure(field: &str, error: NameError) -> Failure {
    let candidates =
        |names: &[Named]| names.iter().map(|n| Candidate { id: n.id, name: shown(&n.name) }).collect();
    match error {
        NameError::Unknown { asked, similar, proven, as_of } => {
            let sure = if proven {
                "the tenant has no such entry"
            } else {
                "the tenant's list could not be read to its end"
            };
            let when = as_of.map(|at| format!(", as read at {at:.0}")).unwrap_or_default();
            let message =
                format!("no {} is called or has the id {:?}: {sure}{when}", singular(field), shown(&asked));
            Failure::new(Code::NotFound, message, format!("pick one with list_{}", plural(field)))
                .at(field)
                .among(candidates(&similar))
        }
        NameError::Ambiguous { asked, candidates: all } => {
            let message = format!("{} {}s are called {:?}", all.len(), singular(field), shown(&asked));
            Failure::new(Code::Ambiguous, message, "name the one you mean by its id")
                .at(field)
                .among(candidates(&all))
        }
    }
}

/// What a first page of names is searched for: later pages stay with the list that they began with.
fn new_text(list: &ListNames) -> &str {
    list.query.as_deref().filter(|_| list.cursor.is_none()).unwrap_or_default()
}

fn singular(field: &str) -> &str {
    field.strip_suffix('s').unwrap_or(field)
}

fn plural(field: &str) -> String {
    format!("{}s", singular(field))
}

/// Users as candidates of a refusal.
pub(crate) fn user_candidates(users: &[User]) -> Vec<Candidate> {
    users.iter().map(|u| Candidate { id: UserId::get(u.id), name: shown(&u.name) }).collect()
}
