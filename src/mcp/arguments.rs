//! Arguments of tools, refused by name and never echoed.

use rmcp::model::JsonObject;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

use crate::lifecycle::{Code, Failure};

/// Names by which models try to approve for themselves (guardrails T2).
const APPROVALS: [&str; 8] = [
    "confirm",
    "confirmed",
    "confirmation_token",
    "approve",
    "approved",
    "force",
    "yes",
    "skip_confirmation",
];

/// Names by which a caller would make an administrator (guardrails B21).
const PRIVILEGES: [&str; 4] = ["type", "adminUser", "admin_user", "role"];

/// Names by which a caller would delete whoever matches (guardrails B6).
const FILTERS: [&str; 9] =
    ["query", "filter", "search", "where", "name", "email", "department", "group", "groups"];

/// A name, an address or an id; ids may come as numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Value::deserialize(from)? {
            Value::String(text) => Ok(Self(text)),
            Value::Number(id) if id.is_i64() || id.is_u64() => Ok(Self(id.to_string())),
            _ => Err(serde::de::Error::custom("a string or an integer")),
        }
    }
}

impl JsonSchema for Text {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "string"}, {"type": "integer"}]})
    }
}

/// Reads arguments by their schema.
///
/// # Errors
/// `INVALID_ARGUMENT` naming every unknown or every missing field, or the first ill-typed one;
/// `PROTECTED` for a field that would make an administrator.
pub(super) fn read<T: DeserializeOwned>(
    schema: &JsonObject,
    arguments: Option<JsonObject>,
) -> Result<T, Failure> {
    let arguments = arguments.unwrap_or_default();
    let known = |name: &str| schema.get("properties").and_then(|p| p.get(name));
    let unknown: Vec<_> = arguments.keys().filter(|k| known(k).is_none()).map(String::as_str).collect();
    if let Some(first) = unknown.first() {
        return Err(unknown_fields(first, &unknown, schema));
    }
    let required =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let missing: Vec<_> = required.filter(|name| arguments.get(*name).is_none_or(Value::is_null)).collect();
    if let Some(first) = missing.first() {
        return Err(Failure::argument(first, format!("missing: {}", missing.join(", "))));
    }
    // A null stands for an argument that was left out.
    let given: JsonObject = arguments.into_iter().filter(|(_, v)| !v.is_null()).collect();
    serde_path_to_error::deserialize(Value::Object(given)).map_err(|error| {
        let path = error.path().to_string();
        let top = path.split(['.', '[']).next().unwrap_or_default();
        Failure::argument(top, format!("`{}` is not {}", crate::model::shown(&path), expected(known(top))))
    })
}

fn unknown_fields(first: &str, all: &[&str], schema: &JsonObject) -> Failure {
    let names: Vec<_> = all.iter().map(|n| crate::model::shown(n)).collect();
    let known: Vec<_> =
        schema.get("properties").and_then(Value::as_object).into_iter().flat_map(|p| p.keys()).collect();
    let has = |list: &[&str]| all.iter().any(|n| list.contains(n));
    let message = format!("unknown argument: {}", names.join(", "));
    let first = crate::model::shown(first);
    if has(&APPROVALS) {
        let next = "leave it out: approvals are given by a person, never by an argument";
        return Failure::new(Code::InvalidArgument, message, next).at(&first);
    }
    // Only where fields of a user are set; elsewhere such a name is unknown like any other.
    if has(&PRIVILEGES) && known.iter().any(|k| *k == "name") {
        let next = "this server makes no administrators; a ZIA administrator can, in the portal";
        return Failure::new(Code::Protected, message, next).at(&first);
    }
    if all.contains(&"password") {
        let next = "leave it out: a password is never an argument";
        return Failure::new(Code::InvalidArgument, message, next).at(&first);
    }
    if has(&FILTERS) && known.iter().any(|k| *k == "users") {
        let next = "look them up with find_user first, then pass their addresses or ids as `users`";
        return Failure::new(Code::InvalidArgument, message, next).at(&first);
    }
    let known = known.into_iter().cloned().collect::<Vec<_>>().join(", ");
    Failure::new(Code::InvalidArgument, message, format!("the arguments are: {known}")).at(&first)
}

/// What a property's schema asks for, in words.
fn expected(property: Option<&Value>) -> String {
    let Some(property) = property else { return "as expected".into() };
    let number = |key: &str| property.get(key).and_then(Value::as_i64);
    let kind = match property.get("type").and_then(Value::as_str) {
        Some("integer") => "an integer",
        Some("boolean") => "true or false",
        Some("array") => "an array of names or ids",
        Some("string") => "a string",
        _ => "a string or an id",
    };
    match (number("minimum"), number("maximum")) {
        (Some(least), Some(most)) => format!("{kind} from {least} to {most}"),
        _ => kind.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[allow(dead_code)]
    struct Args {
        user: Text,
        name: String,
        #[schemars(range(min = 1, max = 100))]
        limit: Option<u32>,
        groups: Option<Vec<Text>>,
    }

    fn refused(arguments: Value) -> Failure {
        let arguments = arguments.as_object().cloned();
        read::<Args>(&super::super::schema::input::<Args>(), arguments).unwrap_err()
    }

    #[test]
    fn every_missing_field_is_named_at_once() {
        assert_eq!(refused(json!({})).message, "missing: user, name");
    }

    #[test]
    fn attempts_to_approve_by_argument_are_told_who_approves() {
        for name in APPROVALS {
            let failure = refused(json!({"user": "1", "name": "x", name: true}));
            assert_eq!((failure.code, failure.field.as_deref()), (Code::InvalidArgument, Some(name)));
            assert!(failure.next.contains("a person"));
        }
    }

    #[test]
    fn an_ill_typed_value_is_named_and_not_echoed() {
        let failure = refused(json!({"user": "1", "name": "x", "limit": "s3cret"}));
        assert_eq!(failure.field.as_deref(), Some("limit"));
        assert_eq!(failure.message, "`limit` is not an integer from 1 to 100");
        assert_eq!(refused(json!({"user": "1", "name": 5})).field.as_deref(), Some("name"));
        assert_eq!(refused(json!({"user": {}, "name": "x"})).field.as_deref(), Some("user"));
        assert_eq!(refused(json!({"user": 1.5, "name": "x"})).field.as_deref(), Some("user"));
        assert_eq!(
            refused(json!({"user": 1, "name": "x", "groups": [true]})).field.as_deref(),
            Some("groups")
        );
    }

    #[test]
    fn privileges_cannot_be_asked_for() {
        assert_eq!(refused(json!({"user": 1, "name": "x", "adminUser": true})).code, Code::Protected);
        let other = JsonObject::from_iter([("properties".into(), json!({"user": {}}))]);
        let arguments = json!({"user": 1, "type": "SUPERADMIN"}).as_object().cloned();
        assert_eq!(read::<Args>(&other, arguments).unwrap_err().code, Code::InvalidArgument);
    }
}
