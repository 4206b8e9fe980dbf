//! What a person is shown before they decide, made from the stored operation alone (guardrails T7).

use serde_json::Value;

use super::{
    deprovision::quoted_reason,
    details::Details,
    report::{Change, Subject},
};
use crate::model::{Action, Named, Operation, State, User, looks_like_another, reads_like_another, shown};

/// What a person types to publish other administrators' changes.
pub(crate) const PUBLISH: &str = "activate";

/// Said of an address that may be taken for another one (guardrails T36).
const LOOK_ALIKE: &str = "Flag: the address holds letters that look like others";

/// Said of a name that may be taken for another one.
const LOOK_ALIKE_NAME: &str = "Flag: the name mixes letters of scripts that look like each other";

/// What a delete is.
pub(crate) const UNDONE: &str = "ZIA cannot undo a delete.";

/// What a restore can do.
pub(crate) const NOT_BACK: &str = "restore_user can bring back name, address, department, groups and comments from the before-image; not \
     the id, the password, or what referred to the id.";

/// What becomes of a write, and of what others staged.
pub(crate) const PUBLISHED: &str = "The change is activated for the whole tenant afterwards. If other administrators' changes are staged by \
     then, it stays staged with them, until a person publishes them all.";

/// Whose work an activation publishes, too.
pub(crate) const OTHERS_WAIT: &str =
    "Changes that this server did not make wait too: other administrators' work goes live with it.";

/// What an activation is.
pub(crate) const WHOLE_TENANT: &str = "An activation covers the whole tenant and cannot be undone.";

/// What will happen, in lines; and what the person types to have it happen.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    /// One thing each.
    pub lines: Vec<String>,
    /// In words: the user's address, a number, a word.
    pub expected: String,
}

/// What an operation will do in a cloud.
pub(crate) fn statement(operation: &Operation, cloud: &str) -> Statement {
    let (details, cloud) = (Details::of(operation), shown(cloud));
    match operation.action {
        Action::Activate => publication(operation, &cloud),
        Action::DeprovisionUser => deletion(operation, &details, &cloud),
        Action::ProvisionUser | Action::RestoreUser => creation(operation, &details, &cloud),
        Action::UpdateUser => change(operation, &details, &cloud),
        Action::DeprovisionUsers => deletions(operation, &details, &cloud),
    }
}

fn of_address(lines: Vec<String>) -> Statement {
    Statement { lines, expected: "the user's e-mail address".into() }
}

fn deletion(operation: &Operation, details: &Details, cloud: &str) -> Statement {
    let mut lines = Vec::new();
    if let Some(Subject::User(user)) = &details.user {
        lines.push(format!("Delete this user from ZIA ({cloud}) for good?"));
        lines.extend(whole(user));
    }
    lines.extend(before_image(details));
    lines.push(asked_by(operation));
    lines.extend(reason(details));
    lines.push(format!("{UNDONE} {PUBLISHED}"));
    of_address(lines)
}

fn deletions(operation: &Operation, details: &Details, cloud: &str) -> Statement {
    let users: Vec<_> = details.asked.iter().filter(|a| a.state == State::Approved).collect();
    let mut lines = vec![format!("Delete these {} users from ZIA ({cloud}) for good?", users.len())];
    lines.extend(users.iter().filter_map(|a| a.user.as_ref()).map(in_one_line));
    lines.push(format!("Each was read from ZIA and captured about {:.0}.", operation.created_at));
    let left = details.asked.len() - users.len();
    lines.extend((left > 0).then(|| format!("{left} more were named and will not be touched.")));
    lines.extend(details.plan.as_ref().map(|plan| format!("Plan: {plan}.")));
    lines.push(asked_by(operation));
    lines.extend(reason(details));
    lines.push(format!("{UNDONE} {PUBLISHED}"));
    Statement { lines, expected: "the number of users".into() }
}

fn creation(operation: &Operation, details: &Details, cloud: &str) -> Statement {
    let mut lines = vec![match &details.capture {
        Some(capture) => format!("Create this user in ZIA ({cloud}) again, from the capture {}?", capture.id),
        None => format!("Create this user in ZIA ({cloud})?"),
    }];
    if let Some(Subject::Draft(draft)) = &details.user {
        lines.extend(portrait(&draft.name, &draft.email, draft.department.as_ref(), &draft.groups));
    }
    lines.push(asked_by(operation));
    lines.push(PUBLISHED.into());
    of_address(lines)
}

fn change(operation: &Operation, details: &Details, cloud: &str) -> Statement {
    let mut lines = vec![format!("Change this user in ZIA ({cloud})?")];
    if let Some(Subject::User(user)) = &details.user {
        lines.push(format!("ZIA id: {}", user.id));
        lines.extend(portrait(&user.name, &user.email, user.department.as_ref(), &user.groups));
    }
    lines.extend(details.changes.iter().flatten().flat_map(told));
    lines.extend(before_image(details));
    lines.push(asked_by(operation));
    lines.push(PUBLISHED.into());
    of_address(lines)
}

fn publication(operation: &Operation, cloud: &str) -> Statement {
    let lines = vec![
        format!("Publish all staged changes of ZIA ({cloud}) now?"),
        OTHERS_WAIT.into(),
        WHOLE_TENANT.into(),
        asked_by(operation),
    ];
    Statement { lines, expected: format!("the word {PUBLISH}") }
}

fn whole(user: &User) -> Vec<String> {
    let mut lines = vec![format!("ZIA id: {}", user.id)];
    lines.extend(portrait(&user.name, &user.email, user.department.as_ref(), &user.groups));
    lines.extend(user.admin_user.then(|| "Linked to an administrator account.".into()));
    lines.extend((!user.editable).then(|| "Not editable: it looks synchronised from a directory.".into()));
    lines.extend(user.disabled.then(|| "Disabled in ZIA.".into()));
    lines
}

fn in_one_line(user: &User) -> String {
    let department = user.department.as_ref().map_or("none".into(), |d| shown(&d.name));
    let groups: Vec<_> = user.groups.iter().map(|g| shown(&g.name)).collect();
    let mut line = format!("{}: {}, {}", user.id, shown(&user.name), shown(&user.email));
    line.push_str(&format!(", department {department}, groups [{}]", groups.join(", ")));
    line.push_str(if user.disabled { ", disabled" } else { "" });
    look_alikes(&user.name, &user.email).iter().for_each(|flag| line.push_str(&format!(", {flag}")));
    line
}

/// Flags of a user who may be taken for another one, short (guardrails T36).
pub(crate) fn look_alikes(name: &str, email: &str) -> Vec<String> {
    let address = looks_like_another(email).then(|| format!("LOOKS LIKE ANOTHER ADDRESS: {}", spelt(email)));
    let name = reads_like_another(name).then(|| "LOOKS LIKE ANOTHER NAME".into());
    address.into_iter().chain(name).collect()
}

fn before_image(details: &Details) -> Option<String> {
    let capture = details.capture.as_ref()?;
    Some(format!("Before-image: {}, read {:.0}", capture.id, capture.taken_at))
}

fn reason(details: &Details) -> Option<String> {
    details.reason.as_deref().map(|reason| format!("Reason: {}", quoted_reason(reason)))
}

/// What a person has to know of a user before deciding.
fn portrait(name: &str, email: &str, department: Option<&Named>, groups: &[Named]) -> Vec<String> {
    let groups: Vec<_> = groups.iter().map(|g| shown(&g.name)).collect();
    let mut lines = vec![
        format!("Name: {}", shown(name)),
        format!("E-mail: {}", shown(email)),
        format!("Department: {}", department.map_or("none".into(), |d| shown(&d.name))),
        format!("Groups: {}", groups.join(", ")),
    ];
    lines.extend(looks_like_another(email).then(|| format!("{LOOK_ALIKE}: it is {}", spelt(email))));
    lines.extend(reads_like_another(name).then(|| LOOK_ALIKE_NAME.into()));
    lines
}

/// An address with what is not ASCII as code points, since letters that look alike do not tell.
fn spelt(address: &str) -> String {
    address
        .chars()
        .map(|c| if c.is_ascii_graphic() { c.to_string() } else { format!("<U+{:04X}>", u32::from(c)) })
        .collect()
}

/// One change in words; of groups, only those that come or go.
pub(crate) fn told(change: &Change) -> Vec<String> {
    let (from, to) = (named(&change.from), named(&change.to));
    let without = |all: &[String], others: &[String]| {
        let left: Vec<_> = all.iter().filter(|n| !others.contains(n)).cloned().collect();
        left.join(", ")
    };
    if change.field != "groups" {
        let one = |names: &[String]| names.first().cloned().unwrap_or_else(|| "none".into());
        return vec![format!("Change {}: from {} to {}", change.field, one(&from), one(&to))];
    }
    let (added, taken) = (without(&to, &from), without(&from, &to));
    let line = |what: &str, names: String| (!names.is_empty()).then(|| format!("{what}: {names}"));
    [line("Add to groups", added), line("Take out of groups", taken)].into_iter().flatten().collect()
}

/// The texts of a changed value, as a person may see them; groups and departments with their ids.
fn named(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![format!("\u{201C}{}\u{201D}", shown(text))],
        Value::Array(items) => items.iter().flat_map(named).collect(),
        Value::Object(fields) => {
            let name = fields.get("name").and_then(Value::as_str).unwrap_or_default();
            let id = fields.get("id").and_then(Value::as_i64).unwrap_or_default();
            vec![format!("\u{201C}{}\u{201D} (id {id})", shown(name))]
        }
        _ => Vec::new(),
    }
}

fn asked_by(operation: &Operation) -> String {
    format!("Asked by: {} through {}", shown(&operation.actor.caller), shown(&operation.actor.client))
}
