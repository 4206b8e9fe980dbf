//! A before-image as the store keeps it: both forms in which ZIA shows a user, as it sent them.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::model::mend_surrogates;

/// The two forms of one user.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct BeforeImage<'a> {
    /// The row of the list.
    #[serde(borrow)]
    pub row: &'a RawValue,
    /// The answer by id.
    #[serde(borrow)]
    pub by_id: &'a RawValue,
}

impl<'a> BeforeImage<'a> {
    /// Reads what was kept; `None` if it is no before-image.
    pub(crate) fn read(kept: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(kept).ok()
    }

    /// The bytes to be kept.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        format!(r#"{{"format":1,"row":{},"by_id":{}}}"#, self.row.get(), self.by_id.get()).into_bytes()
    }

    /// Row and answer by id as values, read as leniently as ZIA's answers are (guardrails F36).
    pub(crate) fn values(self) -> Option<(Value, Value)> {
        let value = |raw: &RawValue| serde_json::from_str(&mend_surrogates(raw.get())).ok();
        Some((value(self.row)?, value(self.by_id)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f36_a_lone_surrogate_is_kept_as_it_came_and_read_as_replaced() {
        let row = RawValue::from_string(r#"{"id":7,"comments":"a\ud800b"}"#.into()).unwrap();
        let by_id = RawValue::from_string("[1.50]".into()).unwrap();
        let kept = BeforeImage { row: &row, by_id: &by_id }.to_bytes();
        let read = BeforeImage::read(&kept).unwrap();
        assert_eq!((read.row.get(), read.by_id.get()), (row.get(), by_id.get()));
        assert_eq!(read.values().unwrap().0["comments"], "a\u{FFFD}b");
    }

    #[test]
    fn what_nests_as_deep_as_zias_answers_may_is_read() {
        let deep = format!("{}1{}", "[".repeat(126), "]".repeat(126));
        let raw = RawValue::from_string(deep).unwrap();
        let kept = BeforeImage { row: &raw, by_id: &raw }.to_bytes();
        assert!(BeforeImage::read(&kept).unwrap().values().is_some());
    }

    #[test]
    fn anything_else_is_no_before_image() {
        for other in ["", "{}", "[]", r#"{"row":{}}"#, r#"{"row":{},"by_id":"#] {
            assert!(BeforeImage::read(other.as_bytes()).is_none(), "{other}");
        }
    }
}
