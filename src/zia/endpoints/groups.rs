//! `/groups`.

use serde_json::value::RawValue;

use super::{Call, Endpoint, Query, Unreadable, json};
use crate::zia::types::ZiaNamed;

/// Which groups or departments to list, and which page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Part of a name or of the comments.
    pub search: Option<String>,
    /// From 1.
    pub page: u32,
    /// 1 to 1,000; others are brought into that range (zia-facts §3.3).
    pub page_size: u32,
}

impl Default for ListQuery {
    fn default() -> Self {
        Self { search: None, page: 1, page_size: 100 }
    }
}

impl ListQuery {
    pub(super) fn target(&self, path: &str) -> String {
        Query::of(path)
            .maybe("search", self.search.as_deref())
            .with("page", &self.page.max(1).to_string())
            .with("pageSize", &self.page_size.clamp(1, 1000).to_string())
            .end()
    }
}

pub(super) fn decode_list(body: &[u8]) -> Result<Vec<ZiaNamed>, Unreadable> {
    json::<Vec<Box<RawValue>>>(body)?.iter().map(|raw| ZiaNamed::read(raw)).collect()
}

/// One page of groups.
pub(in crate::zia) struct ListGroups<'a>(pub(in crate::zia) &'a ListQuery);

impl Call for ListGroups<'_> {
    type Output = Vec<ZiaNamed>;
    const ENDPOINT: Endpoint = Endpoint::ListGroups;

    fn target(&self) -> String {
        self.0.target("/groups")
    }

    fn decode(&self, body: &[u8]) -> Result<Self::Output, Unreadable> {
        decode_list(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_brought_into_range() {
        let query = ListQuery { search: Some("R & D".into()), page: 0, page_size: 5000 };
        assert_eq!(ListGroups(&query).target(), "/groups?search=R%20%26%20D&page=1&pageSize=1000");
    }

    #[test]
    fn a_group_keeps_what_tells_it_from_one_of_the_same_name() {
        let body = br#"[{"id": 5, "name": "Staff", "idpId": 77, "isSystemDefined": false, "rank": 3}]"#;
        let groups = ListGroups(&ListQuery::default()).decode(body).unwrap();
        assert_eq!((groups[0].id, groups[0].idp_id, groups[0].is_system_defined), (5, Some(77), Some(false)));
        assert_eq!(groups[0].other["rank"], 3);
    }
}
