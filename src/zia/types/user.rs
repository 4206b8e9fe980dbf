//! A user, as ZIA gives it.

use serde_json::{Map, Value, value::RawValue};

use super::{ZiaNamed, lenient};
use crate::{model::UserId, zia::endpoints::Unreadable};

/// A value and the vendor's own text of it.
#[derive(Clone, Debug)]
pub struct Raw<T> {
    /// What was read.
    pub value: T,
    /// The object as it came, byte for byte; invalid UTF-8 alone is replaced.
    pub raw: Box<RawValue>,
}

/// Which user a row is about: what a long list is told apart by, in little memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whose {
    /// ZIA id.
    pub id: UserId,
    /// Login address, if it is a text.
    pub email: Option<String>,
}

/// A user (zia-facts §3.1).
///
/// A field of an unexpected type reads as absent, but `admin_user` and `is_non_editable` then read
/// as set, since they protect.
#[derive(Clone, Debug, PartialEq)]
pub struct ZiaUser {
    /// Its id.
    pub id: UserId,
    /// Display name; tenant text, may be encoded when read by id.
    pub name: Option<String>,
    /// Login address; may be encoded when read by id.
    pub email: Option<String>,
    /// Groups; those without an id are left out.
    pub groups: Vec<ZiaNamed>,
    /// Department, if any.
    pub department: Option<ZiaNamed>,
    /// Comments; tenant text.
    pub comments: Option<String>,
    /// Temporary authentication address.
    pub temp_auth_email: Option<String>,
    /// Linked to an administrator; lists say it always.
    pub admin_user: Option<bool>,
    /// May not be changed through the API; absent when read by id.
    pub is_non_editable: Option<bool>,
    /// Disabled; absent unless true.
    pub disabled: Option<bool>,
    /// The vendor's `type`.
    pub kind: Option<String>,
    /// Every other field.
    pub other: Map<String, Value>,
}

impl Raw<ZiaUser> {
    /// A user from text that ZIA sent earlier; `None` if that shows none.
    pub fn read(raw: Box<RawValue>) -> Option<Self> {
        Self::user(raw).ok()
    }

    pub(in crate::zia) fn user(raw: Box<RawValue>) -> Result<Self, Unreadable> {
        let value = ZiaUser::of(lenient::object(&raw)?).ok_or(Unreadable::Shape)?;
        Ok(Self { value, raw })
    }
}

impl Raw<Whose> {
    pub(in crate::zia) fn row(raw: Box<RawValue>) -> Result<Self, Unreadable> {
        let ZiaUser { id, email, .. } = ZiaUser::of(lenient::object(&raw)?).ok_or(Unreadable::Shape)?;
        Ok(Self { value: Whose { id, email }, raw })
    }
}

impl ZiaUser {
    /// `None` without a positive whole number as id.
    fn of(mut fields: Map<String, Value>) -> Option<Self> {
        let fields = &mut fields;
        Some(Self {
            id: UserId::new(lenient::number(fields, "id")?)?,
            name: lenient::text(fields, "name"),
            email: lenient::text(fields, "email"),
            groups: groups(fields.shift_remove("groups")),
            department: fields.shift_remove("department").and_then(named),
            comments: lenient::text(fields, "comments"),
            temp_auth_email: lenient::text(fields, "tempAuthEmail"),
            admin_user: lenient::guard(fields, "adminUser"),
            is_non_editable: lenient::guard(fields, "isNonEditable"),
            disabled: lenient::flag(fields, "disabled"),
            kind: lenient::text(fields, "type"),
            other: std::mem::take(fields),
        })
    }
}

fn named(value: Value) -> Option<ZiaNamed> {
    match value {
        Value::Object(fields) => ZiaNamed::of(fields),
        _ => None,
    }
}

fn groups(value: Option<Value>) -> Vec<ZiaNamed> {
    match value {
        Some(Value::Array(items)) => items.into_iter().filter_map(named).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Raw<ZiaUser>, Unreadable> {
        Raw::user(RawValue::from_string(json.to_owned()).unwrap())
    }

    #[test]
    fn f37_unknown_fields_and_the_vendors_own_text_are_kept() {
        let json = r#"{"id": 7,"pilotUser":true , "name":"Zo\u00eb","x":{"y":[1e400]},"big":123456789012345678901234567890}"#;
        let json = json.replace("1e400", "1.50");
        let user = read(&json).unwrap();
        assert_eq!(user.raw.get(), json);
        assert_eq!(user.value.name.as_deref(), Some("Zoë"));
        assert_eq!(user.value.other["pilotUser"], true);
        assert!(user.value.other.contains_key("big"));
    }

    #[test]
    fn f37_fields_of_another_type_read_as_absent() {
        let user = read(
            r#"{"id":7,"name":5,"email":null,"groups":{"id":1},"department":"IT","comments":[],"disabled":"yes","type":1}"#,
        )
        .unwrap()
        .value;
        assert_eq!((user.name, user.email, user.department), (None, None, None));
        assert_eq!((user.groups.len(), user.disabled, user.kind), (0, None, None));
    }

    #[test]
    fn a_protecting_flag_of_another_type_protects() {
        let user = |json| read(json).unwrap().value;
        assert_eq!(user(r#"{"id":7,"adminUser":"false"}"#).admin_user, Some(true));
        assert_eq!(user(r#"{"id":7,"isNonEditable":1}"#).is_non_editable, Some(true));
        assert_eq!(user(r#"{"id":7,"adminUser":null}"#).admin_user, None);
        assert_eq!(user(r#"{"id":7,"adminUser":false}"#).admin_user, Some(false));
    }

    #[test]
    fn f38_ids_are_positive_whole_numbers_of_64_bits() {
        assert_eq!(read(r#"{"id":9223372036854775807}"#).unwrap().value.id.get(), i64::MAX);
        assert_eq!(read(r#"{"id":9007199254740993}"#).unwrap().value.id.get(), 9_007_199_254_740_993);
        for bad in ["0", "-1", "1.0", "1e3", "\"7\"", "null", "true", "9223372036854775808", "[7]"] {
            assert!(read(&format!(r#"{{"id":{bad}}}"#)).is_err(), "{bad}");
        }
        assert!(read("{}").is_err());
    }

    #[test]
    fn f36_a_lone_surrogate_is_replaced_in_what_is_read_and_kept_in_the_raw_text() {
        let json = r#"{"id":7,"name":"a\ud800b","groups":[{"id":1,"name":"\udc00"},{"name":"no id"}]}"#;
        let user = read(json).unwrap();
        assert_eq!(user.value.name.as_deref(), Some("a\u{FFFD}b"));
        assert_eq!(user.value.groups.len(), 1);
        assert_eq!(user.raw.get(), json);
    }

    #[test]
    fn nesting_without_end_is_refused_not_followed() {
        let deep = format!(r#"{{"id":7,"x":{}1{}}}"#, "[".repeat(5000), "]".repeat(5000));
        assert!(read(&deep).is_err());
    }
}
