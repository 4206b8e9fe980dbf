//! From the user as read and what is asked to the user as written; no I/O.

use serde_json::{Map, Value, json, value::RawValue};

use super::{Wanted, listed};
use crate::{
    lifecycle::{
        details::{Details, Replacement},
        failure::Failure,
        provision::check_count,
        reconcile::same_groups,
        report::Change,
    },
    model::{Named, User, shown},
};

/// Groups that are asked to be added and taken away.
#[derive(Default)]
pub(super) struct Groups {
    pub(super) add: Vec<Named>,
    pub(super) remove: Vec<Named>,
    /// Names that several groups have, none of them the user's.
    pub(super) absent: Vec<String>,
    /// Names to tell of: the user is not in them, or in them already.
    idle: Vec<String>,
}

impl Groups {
    /// Notes on what changes nothing.
    pub(super) fn notes(&self, details: &mut Details) {
        for name in &self.absent {
            details.note(format!("the user is not in a group called {}", shown(name)));
        }
        for note in &self.idle {
            details.note(note.clone());
        }
    }

    /// Tells apart what changes nothing for a user with these groups.
    pub(super) fn against(mut self, held: &[Named]) -> Self {
        let is_held = |g: &&Named| held.iter().any(|h| h.id == g.id);
        let already = self.add.iter().filter(is_held);
        self.idle.extend(already.map(|g| format!("the user is in the group {} already", shown(&g.name))));
        let never = self.remove.iter().filter(|g| !is_held(g));
        self.idle.extend(never.map(|g| format!("the user is not in the group {}", shown(&g.name))));
        self
    }

    fn applied(&self, held: &[Named]) -> Result<Vec<Named>, Failure> {
        let has = |groups: &[Named], id: i64| groups.iter().any(|g| g.id == id);
        let both: Vec<_> = self.add.iter().filter(|g| has(&self.remove, g.id)).cloned().collect();
        if !both.is_empty() {
            let message = format!("to be added and to be taken away: {}", listed(&both));
            return Err(Failure::argument("remove_groups", message));
        }
        let (lost, mut kept): (Vec<_>, Vec<_>) = held.iter().cloned().partition(|g| has(&self.remove, g.id));
        for group in &self.add {
            if !has(&kept, group.id) {
                kept.push(group.clone());
            }
        }
        if kept.is_empty() && !lost.is_empty() {
            let message = format!("ZIA needs at least one group, and {} is all that is left", listed(&lost));
            return Err(Failure::argument("remove_groups", message));
        }
        check_count("add_groups", kept.len())?;
        Ok(kept)
    }
}

/// Every writable field as the change leaves it; what is not asked for stays as it was read.
///
/// # Errors
/// `INVALID_ARGUMENT` or `LIMIT_EXCEEDED` for groups that cannot be so.
pub(super) fn replacement(
    user: &User,
    temp_auth_email: Option<String>,
    wanted: &Wanted,
) -> Result<Replacement, Failure> {
    let comments = match &wanted.comments {
        None => user.comments.clone(),
        Some(text) => Some(text.clone()).filter(|t| !t.is_empty()),
    };
    Ok(Replacement {
        name: wanted.name.clone().unwrap_or_else(|| user.name.clone()),
        email: user.email.clone(),
        department: wanted.department.clone().or_else(|| user.department.clone()),
        groups: wanted.groups.applied(&user.groups)?,
        comments,
        temp_auth_email,
    })
}

/// What the write changes, field by field.
pub(super) fn changes(user: &User, target: &Replacement) -> Vec<Change> {
    let id = |d: &Option<Named>| d.as_ref().map(|d| d.id);
    let change = |field: &str, from: Value, to: Value| Change { field: field.into(), from, to };
    let mut all = Vec::new();
    if user.name != target.name {
        all.push(change("name", json!(user.name), json!(target.name)));
    }
    if id(&user.department) != id(&target.department) {
        all.push(change("department", json!(user.department), json!(target.department)));
    }
    if !same_groups(&user.groups, &target.groups) {
        all.push(change("groups", json!(user.groups), json!(target.groups)));
    }
    if user.comments != target.comments {
        all.push(change("comments", json!(user.comments), json!(target.comments)));
    }
    all
}

/// Whether every writable field of a user came in its documented form.
///
/// Reading is lenient and takes what it does not understand for absent; a full replacement would
/// then empty it.
pub(super) fn is_read_whole(raw: &RawValue) -> bool {
    let Ok(user) = serde_json::from_str::<Map<String, Value>>(raw.get()) else { return false };
    let field = |name: &str| user.get(name).filter(|v| !v.is_null());
    // A character that could not be decoded was replaced.
    let text = |v: &Value| v.as_str().is_some_and(|t| !t.contains('\u{FFFD}'));
    let named = |v: &Value| v.get("id").is_some_and(|id| id.as_i64().is_some_and(|id| id > 0));
    let list = |v: &Value| v.as_array().is_some_and(|all| all.iter().all(named));
    ["name", "email", "comments", "tempAuthEmail"].into_iter().all(|name| field(name).is_none_or(text))
        && field("department").is_none_or(named)
        && field("groups").is_none_or(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{lifecycle::failure::Code, model::UserId};

    fn group(id: i64) -> Named {
        Named { id, name: format!("g{id}") }
    }

    fn user(groups: &[i64]) -> User {
        User {
            id: UserId::new(7).unwrap(),
            name: "Jane".into(),
            email: "jane@example.com".into(),
            department: Some(group(50)),
            groups: groups.iter().map(|&id| group(id)).collect(),
            comments: Some("c".into()),
            admin_user: false,
            editable: true,
            disabled: false,
        }
    }

    fn wanted(add: &[i64], remove: &[i64]) -> Wanted {
        let all = |ids: &[i64]| ids.iter().map(|&id| group(id)).collect();
        let groups = Groups { add: all(add), remove: all(remove), ..Groups::default() };
        Wanted { name: None, department: None, groups, comments: None }
    }

    fn groups_after(held: &[i64], add: &[i64], remove: &[i64]) -> Result<Vec<i64>, Code> {
        let target = replacement(&user(held), None, &wanted(add, remove)).map_err(|f| f.code)?;
        Ok(target.groups.iter().map(|g| g.id).collect())
    }

    #[test]
    fn groups_are_added_and_taken_away_and_the_rest_stays() {
        assert_eq!(groups_after(&[1, 2], &[3], &[1]), Ok(vec![2, 3]));
        assert_eq!(groups_after(&[1, 2], &[2, 3, 3], &[9]), Ok(vec![1, 2, 3]));
        assert_eq!(groups_after(&[], &[], &[9]), Ok(vec![]));
        assert_eq!(groups_after(&[1], &[2], &[1]), Ok(vec![2]));
    }

    #[test]
    fn no_user_is_left_without_a_group_or_with_too_many() {
        assert_eq!(groups_after(&[1], &[], &[1]), Err(Code::InvalidArgument));
        assert_eq!(groups_after(&[1], &[2], &[2]), Err(Code::InvalidArgument));
        let (held, more): (Vec<_>, Vec<_>) = ((1..=100).collect(), (101..=128).collect());
        assert_eq!(groups_after(&held, &more, &[]), Err(Code::LimitExceeded));
        assert_eq!(groups_after(&held, &more, &[1]).map(|g| g.len()), Ok(127));
    }

    #[test]
    fn what_is_not_named_is_written_as_it_was_read() {
        let before = user(&[2, 1]);
        let target = replacement(&before, Some("t@example.com".into()), &wanted(&[], &[])).unwrap();
        assert!(changes(&before, &target).is_empty());
        assert_eq!((target.name, target.email), (before.name, before.email));
        assert_eq!((target.department, target.groups), (before.department, before.groups));
        assert_eq!(
            (target.comments, target.temp_auth_email),
            (before.comments, Some("t@example.com".into()))
        );
    }

    #[test]
    fn changes_tell_from_what_to_what() {
        let before = user(&[1]);
        let asked = Wanted {
            name: Some("Jane Roe".into()),
            department: Some(group(51)),
            comments: Some(String::new()),
            ..wanted(&[2], &[])
        };
        let all = changes(&before, &replacement(&before, None, &asked).unwrap());
        let told: Vec<_> = all.iter().map(|c| (c.field.as_str(), &c.from, &c.to)).collect();
        assert_eq!(
            told,
            [
                ("name", &json!("Jane"), &json!("Jane Roe")),
                ("department", &json!(group(50)), &json!(group(51))),
                ("groups", &json!([group(1)]), &json!([group(1), group(2)])),
                ("comments", &json!("c"), &Value::Null),
            ]
        );
    }

    #[test]
    fn a_field_in_another_form_is_not_taken_for_absent() {
        let whole = |json: &str| is_read_whole(&RawValue::from_string(json.to_owned()).unwrap());
        assert!(whole(
            r#"{"id":7,"name":"J","groups":[{"id":1,"name":"g"}],"department":null,"new":{"x":[]}}"#
        ));
        for bad in [
            r#"{"name":5}"#,
            r#"{"name":"a\ud800b"}"#,
            r#"{"name":"a�b"}"#,
            r#"{"comments":["c"]}"#,
            r#"{"groups":{"id":1}}"#,
            r#"{"groups":[{"id":1},{"name":"no id"}]}"#,
            r#"{"groups":[{"id":"1"}]}"#,
            r#"{"department":"IT"}"#,
            r#"{"department":{"name":"IT"}}"#,
            r#"{"tempAuthEmail":true}"#,
        ] {
            assert!(!whole(bad), "{bad}");
        }
    }
}
