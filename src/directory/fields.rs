//! Rows of ZIA's list: read, put together, compared.

use serde_json::{json, value::RawValue};

use super::users::to_user;
use crate::{
    model::{Named, User},
    zia::{Raw, ZiaUser},
};

/// A row as it was kept.
pub(super) fn read(row: &str) -> Option<Raw<ZiaUser>> {
    Raw::read(RawValue::from_string(row.to_owned()).ok()?)
}

/// A user as our write left it, in the form of a list row.
pub(super) fn written(user: &User) -> String {
    let row = json!({
        "id": user.id, "name": user.name, "email": user.email, "groups": user.groups,
        "department": user.department, "comments": user.comments, "adminUser": user.admin_user,
        "isNonEditable": !user.editable, "disabled": user.disabled,
    });
    row.to_string()
}

/// The names of the fields in which two rows differ, as the tools call them.
///
/// What only ZIA's own rows show is compared only if both are such; what a group or a department is
/// called is no field of a user.
pub(super) fn differing(old: &str, new: &str, listed: bool) -> Vec<&'static str> {
    let (Some(old), Some(new)) = (read(old), read(new)) else { return Vec::new() };
    let (a, b) = (to_user(&old.value), to_user(&new.value));
    let fields = [
        ("name", a.name != b.name),
        ("email", a.email != b.email),
        ("department", id_of(a.department.as_ref()) != id_of(b.department.as_ref())),
        ("groups", ids_of(&a.groups) != ids_of(&b.groups)),
        ("comments", a.comments != b.comments),
        ("admin_user", a.admin_user != b.admin_user),
        ("editable", a.editable != b.editable),
        ("disabled", a.disabled != b.disabled),
        ("temp_auth_email", listed && old.value.temp_auth_email != new.value.temp_auth_email),
        ("type", listed && old.value.kind != new.value.kind),
    ];
    fields.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

fn id_of(named: Option<&Named>) -> Option<i64> {
    named.map(|n| n.id)
}

fn ids_of(groups: &[Named]) -> Vec<i64> {
    let mut ids: Vec<_> = groups.iter().map(|g| g.id).collect();
    ids.sort_unstable();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_differ_in_what_a_user_has_and_not_in_what_else_zia_says() {
        let old = r#"{"id":7,"name":"A","email":"a@x.example","groups":[{"id":1,"name":"G"},{"id":2,"name":"H"}],"pilotUser":false}"#;
        let same = r#"{"id":7,"name":"A","email":"a@x.example","groups":[{"id":2,"name":"H"},{"id":1,"name":"renamed"}],"pilotUser":true}"#;
        assert_eq!(differing(old, same, true), Vec::<&str>::new());
        let other = r#"{"id":7,"name":"B","email":"a@x.example","groups":[{"id":1,"name":"G"}],"department":{"id":4,"name":"D"},"disabled":true,"tempAuthEmail":"t@x.example"}"#;
        assert_eq!(
            differing(old, other, true),
            ["name", "department", "groups", "disabled", "temp_auth_email"]
        );
        assert_eq!(differing(old, other, false), ["name", "department", "groups", "disabled"]);
    }

    #[test]
    fn a_row_of_our_write_is_like_zias_own_row_of_the_same_user() {
        let listed = r#"{"id":7,"name":"A","email":"a@x.example","groups":[{"id":1,"name":"G"}],"adminUser":false,"isNonEditable":true}"#;
        let ours = written(&to_user(&read(listed).unwrap().value));
        assert_eq!(differing(listed, &ours, false), Vec::<&str>::new());
        assert_eq!(to_user(&read(&ours).unwrap().value), to_user(&read(listed).unwrap().value));
    }
}
