//! What a capture says of a user, and what of it cannot be written again; no I/O.

use serde_json::Value;

use crate::{
    directory::is_encoded,
    model::{Named, UserId, shown},
};

/// Fields that are written again, or that every user has and ZIA sets by itself (zia-facts §3.1).
const KNOWN: [&str; 12] = [
    "id",
    "name",
    "email",
    "groups",
    "department",
    "comments",
    "adminUser",
    "isNonEditable",
    "disabled",
    "deleted",
    "pwdLastModifiedTime",
    "tempAuthEmail",
];

/// A captured user.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) name: String,
    pub(super) email: String,
    pub(super) department: Option<Named>,
    pub(super) groups: Vec<Named>,
    pub(super) comments: Option<String>,
    pub(super) temp_auth_email: Option<String>,
    disabled: bool,
    /// Fields that ZIA showed and takes from nobody.
    foreign: Vec<String>,
}

impl Image {
    /// Reads both parts of a capture: name and address from the list row, since by id they may be
    /// encoded (zia-facts §3.2), the rest by id, or from the row where that has it alone.
    ///
    /// `None` if a field is missing or has another form than ZIA documents.
    pub(super) fn of(row: &Value, by_id: &Value) -> Option<Self> {
        let field = |name: &str| [by_id, row].into_iter().find_map(|v| v.get(name).filter(|f| !f.is_null()));
        let plain = |name: &str| match (row.get(name), by_id.get(name)) {
            (Some(text), _) => text.as_str(),
            (None, other) => other?.as_str().filter(|t| !is_encoded(t)),
        };
        let text = |name: &str| field(name).map_or(Some(None), |v| v.as_str().map(|t| Some(t.to_owned())));
        let groups = field("groups").map_or(Some(vec![]), |v| v.as_array()?.iter().map(named).collect())?;
        let department = field("department").map_or(Some(None), |v| named(v).map(Some))?;
        let not_empty = |t: &String| !t.is_empty();
        Some(Self {
            name: plain("name").filter(|n| !n.is_empty())?.to_owned(),
            email: plain("email")?.to_owned(),
            department,
            groups,
            comments: text("comments")?.filter(not_empty),
            temp_auth_email: text("tempAuthEmail")?.filter(not_empty),
            disabled: field("disabled").is_some_and(|d| *d != Value::Bool(false)),
            foreign: foreign(row, by_id),
        })
    }

    /// What cannot come back, a sentence each.
    pub(super) fn losses(&self, old: UserId) -> Vec<String> {
        let mut notes = vec![
            format!("the id {old} does not come back: ZIA gives a new one"),
            format!(
                "whatever referred to the id {old}, such as rules and reports, does not find the user again"
            ),
            "the password does not come back".to_owned(),
        ];
        if self.disabled {
            notes.push(
                "the user was disabled, which ZIA's API cannot set: the restored user is enabled".into(),
            );
        }
        let texts = [Some(&self.name), self.comments.as_ref()];
        if texts.into_iter().flatten().any(|text| text.contains('\u{FFFD}')) {
            notes.push("a character of name or comments that no text can hold comes back as U+FFFD".into());
        }
        if !self.foreign.is_empty() {
            notes.push(format!("captured, and set by ZIA alone: {}", self.foreign.join(", ")));
        }
        notes
    }
}

fn named(value: &Value) -> Option<Named> {
    let id = value.get("id")?.as_i64().filter(|id| *id > 0)?;
    let name = value.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(Named { id, name })
}

/// Names of further fields that hold something.
fn foreign(row: &Value, by_id: &Value) -> Vec<String> {
    let holds = |v: &Value| match v {
        Value::Null => false,
        Value::Bool(set) => *set,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    };
    let mut names: Vec<_> = [row, by_id]
        .into_iter()
        .filter_map(Value::as_object)
        .flatten()
        .filter(|(name, value)| !KNOWN.contains(&name.as_str()) && holds(value))
        .map(|(name, _)| shown(name))
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn named_7() -> Value {
        json!({"id": 7, "name": "Ops"})
    }

    #[test]
    fn name_and_address_come_from_the_list_and_the_rest_from_the_answer_by_id() {
        let row = json!({"id": 1, "name": "Zoe\u{308}", "email": "Zoe@example.com", "groups": [], "comments": "old"});
        let by_id = json!({"id": 1, "name": "kiUDkh50JxDI7zyijrXwUB44JkIvK+nQeGDbhxHJmfo=", "email": "x",
                           "groups": [named_7()], "department": named_7(), "comments": "new"});
        let image = Image::of(&row, &by_id).unwrap();
        assert_eq!((image.name.as_str(), image.email.as_str()), ("Zoe\u{308}", "Zoe@example.com"));
        assert_eq!((image.groups.len(), image.department.map(|d| d.id)), (1, Some(7)));
        assert_eq!(image.comments.as_deref(), Some("new"));
    }

    #[test]
    fn an_encoded_name_alone_is_no_name() {
        let by_id = json!({"name": "kiUDkh50JxDI7zyijrXwUB44JkIvK+nQeGDbhxHJmfo=", "email": "a@example.com"});
        assert_eq!(Image::of(&json!({}), &by_id), None);
    }

    #[test]
    fn a_field_in_another_form_is_no_capture_to_restore_from() {
        let row = json!({"name": "A", "email": "a@example.com"});
        assert!(Image::of(&row, &json!({})).is_some());
        for bad in [
            json!({"groups": {}}),
            json!({"groups": [{"name": "x"}]}),
            json!({"department": "IT"}),
            json!({"comments": 5}),
        ] {
            assert_eq!(Image::of(&row, &bad), None, "{bad}");
        }
    }

    #[test]
    fn what_cannot_come_back_is_told_field_by_field() {
        let row = json!({"name": "A", "email": "a@example.com", "disabled": true, "pilotUser": true, "deleted": false});
        let by_id = json!({"newField": {"x": 1}, "empty": [], "pwdLastModifiedTime": 5});
        let notes = Image::of(&row, &by_id).unwrap().losses(UserId::new(42).unwrap());
        for said in ["id 42 does", "referred to the id 42", "password", "disabled", "newField, pilotUser"] {
            assert!(notes.iter().any(|n| n.contains(said)), "{said}: {notes:?}");
        }
        assert!(!notes.iter().any(|n| n.contains("empty")));
    }
}
