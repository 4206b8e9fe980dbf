//! One user as the sandbox tenant keeps and shows it.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::org::{NamedId, Org};

/// A user, kept small: a tenant may have 200,000 of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UserRow {
    pub(super) id: u64,
    pub(super) name: Box<str>,
    pub(super) email: Arc<str>,
    pub(super) department: Option<u64>,
    pub(super) groups: Box<[u64]>,
    pub(super) comments: Option<Box<str>>,
    pub(super) temp_auth_email: Option<Box<str>>,
    pub(super) admin: bool,
    pub(super) non_editable: bool,
    pub(super) disabled: bool,
}

/// A user of the sandbox tenant, for a test to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SandboxUser {
    /// The ZIA id, nine digits.
    pub id: u64,
    /// The display name.
    pub name: String,
    /// The login name, unique whatever its case.
    pub email: String,
    /// The department's id and name.
    pub department: Option<NamedId>,
    /// The groups' ids and names.
    pub groups: Vec<NamedId>,
    /// Free text.
    pub comments: Option<String>,
    /// Whether the user is also an administrator, whom the users API refuses to change.
    pub admin_user: bool,
    /// Whether the user is synced from a directory, and refused too.
    pub non_editable: bool,
    /// Whether the user is disabled.
    pub disabled: bool,
}

impl SandboxUser {
    pub(super) fn new(row: &UserRow, org: &Org) -> Self {
        Self {
            id: row.id,
            name: row.name.to_string(),
            email: row.email.to_string(),
            department: row.department.and_then(|id| org.departments.named(id)),
            groups: row.groups.iter().filter_map(|id| org.groups.named(*id)).collect(),
            comments: row.comments.as_deref().map(str::to_owned),
            admin_user: row.admin,
            non_editable: row.non_editable,
            disabled: row.disabled,
        }
    }
}

/// How a user is written into an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// In a list and after a write: with `isNonEditable` (zia-facts §3.1).
    Row,
    /// By id: without it.
    ById,
    /// By id on a tenant moved to ZIdentity: name and e-mail encoded (zia-facts §3.2).
    Encoded,
    /// Id and name only.
    Reference,
}

/// A user as the vendor writes it; what is absent there is absent here (zia-facts §3.1).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserBody<'a> {
    id: u64,
    name: std::borrow::Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<std::borrow::Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<IdName<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    department: Option<IdName<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comments: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temp_auth_email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_user: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_non_editable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pwd_last_modified_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pilot_user: Option<bool>,
}

#[derive(Serialize)]
struct IdName<'a> {
    id: u64,
    name: &'a str,
}

impl<'a> UserBody<'a> {
    pub(super) fn new(row: &'a UserRow, org: &'a Org, shape: Shape) -> Self {
        let full = shape != Shape::Reference;
        let text = |plain: &'a str| match shape {
            Shape::Encoded => encoded(plain).into(),
            _ => plain.into(),
        };
        let group = |id: &u64| Some(IdName { id: *id, name: org.groups.name(*id)? });
        let department = |id| Some(IdName { id, name: org.departments.name(id)? });
        Self {
            id: row.id,
            name: text(&row.name),
            email: full.then(|| text(&row.email)),
            groups: full.then(|| row.groups.iter().filter_map(group).collect()),
            department: row.department.filter(|_| full).and_then(department),
            comments: row.comments.as_deref().filter(|_| full),
            temp_auth_email: row.temp_auth_email.as_deref().filter(|_| full),
            admin_user: full.then_some(row.admin),
            is_non_editable: (shape == Shape::Row).then_some(row.non_editable),
            disabled: (full && row.disabled).then_some(true),
            pwd_last_modified_time: full.then_some(0),
            deleted: full.then_some(false),
            pilot_user: full.then_some(false),
        }
    }
}

/// 43 base64 characters and `=`, the shape of an encoded name or e-mail (zia-facts §3.2).
pub(super) fn encoded(plain: &str) -> String {
    BASE64_STANDARD.encode(Sha256::digest(plain.as_bytes()))
}
