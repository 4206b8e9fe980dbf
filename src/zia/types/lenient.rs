//! Reading fields of any shape without failing.

use serde_json::{Map, Value, value::RawValue};

use crate::{model::mend_surrogates, zia::endpoints::Unreadable};

/// Reads one object, with lone surrogates replaced.
pub(super) fn object(raw: &RawValue) -> Result<Map<String, Value>, Unreadable> {
    serde_json::from_str(&mend_surrogates(raw.get())).map_err(|_| Unreadable::Shape)
}

/// Takes a text field; `None` when absent or of another type.
pub(super) fn text(fields: &mut Map<String, Value>, name: &str) -> Option<String> {
    match fields.shift_remove(name)? {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// Takes a flag; `None` when absent, null or of another type.
pub(super) fn flag(fields: &mut Map<String, Value>, name: &str) -> Option<bool> {
    fields.shift_remove(name)?.as_bool()
}

/// Takes a flag that protects: whatever is neither absent, null nor `false` counts as set.
pub(super) fn guard(fields: &mut Map<String, Value>, name: &str) -> Option<bool> {
    match fields.shift_remove(name)? {
        Value::Null => None,
        Value::Bool(set) => Some(set),
        _ => Some(true),
    }
}

/// Takes a whole number.
pub(super) fn number(fields: &mut Map<String, Value>, name: &str) -> Option<i64> {
    fields.shift_remove(name)?.as_i64()
}
