//! `/departments`.

use super::{Call, Endpoint, ListQuery, Unreadable, groups::decode_list};
use crate::zia::types::ZiaNamed;

/// One page of departments.
pub(in crate::zia) struct ListDepartments<'a>(pub(in crate::zia) &'a ListQuery);

impl Call for ListDepartments<'_> {
    type Output = Vec<ZiaNamed>;
    const ENDPOINT: Endpoint = Endpoint::ListDepartments;

    fn target(&self) -> String {
        self.0.target("/departments")
    }

    fn decode(&self, body: &[u8]) -> Result<Self::Output, Unreadable> {
        decode_list(body)
    }
}
