//! One of several names: by id or by exact name.

use jiff::Timestamp;

use crate::model::{Named, UserId};

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
        /// When the list was read, if it is the tenant's.
        as_of: Option<Timestamp>,
    },
    /// Several have that name.
    Ambiguous {
        /// What was asked for.
        asked: String,
        /// All that have it.
        candidates: Vec<Named>,
    },
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
        let id = asked.parse::<UserId>().map(|id| id.get());
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

pub(super) fn unknown(items: &[Named], asked: &str, proven: bool) -> NameError {
    let folded = asked.to_lowercase();
    let mut similar: Vec<_> = items
        .iter()
        .map(|n| (strsim::jaro_winkler(&n.name.to_lowercase(), &folded), n))
        .filter(|(score, n)| *score > 0.8 || (!folded.is_empty() && n.name.to_lowercase().contains(&folded)))
        .collect();
    similar.sort_by(|a, b| b.0.total_cmp(&a.0));
    let similar = similar.into_iter().take(10).map(|(_, n)| n.clone()).collect();
    NameError::Unknown { asked: asked.to_owned(), similar, proven, as_of: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(items: &[(i64, &str)], asked: &str) -> Result<Named, NameError> {
        let items: Vec<_> = items.iter().map(|&(id, name)| Named { id, name: name.into() }).collect();
        choose(&items, true, asked)
    }

    #[test]
    fn a_name_resolves_by_exact_text_then_id_then_any_case() {
        let list = [(1, "Sales"), (2, "sales"), (3, "42"), (42, "Ops")];
        assert_eq!(pick(&list, "sales").unwrap().id, 2);
        assert_eq!(pick(&list, "42").unwrap().id, 3);
        assert_eq!(pick(&list, "1").unwrap().id, 1);
        assert_eq!(pick(&list, " OPS ").unwrap().id, 42);
    }

    #[test]
    fn a_name_that_two_identity_providers_share_is_ambiguous() {
        let list = [(1, "Engineering"), (2, "Engineering")];
        let Err(NameError::Ambiguous { candidates, .. }) = pick(&list, "Engineering") else { panic!() };
        assert_eq!(candidates.iter().map(|c| c.id).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn an_unknown_name_lists_similar_ones() {
        let list = [(1, "Engineering"), (2, "Marketing")];
        let Err(NameError::Unknown { similar, .. }) = pick(&list, "Enginering") else { panic!() };
        assert_eq!(similar.first().map(|n| n.id), Some(1));
    }
}
