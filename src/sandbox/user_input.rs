//! The body of a create or an update, read and checked.

use serde::Deserialize;
use serde_json::Value;

use super::org::{Org, Units};
use super::replies::Refusal;
use super::seed::DOMAINS;

/// What a caller may write of a user, and the id, which some send (zia-facts §3.1).
const FIELDS: [&str; 8] =
    ["id", "name", "email", "groups", "department", "comments", "tempAuthEmail", "password"];

/// Characters of a name and of an e-mail address (zia-facts §3.1).
const LONGEST_NAME: usize = 127;
/// Characters of the comments (zia-facts §3.1).
const LONGEST_COMMENTS: usize = 10_240;
/// Characters of a password (zia-facts §3.1).
const LONGEST_PASSWORD: usize = 255;
/// Groups per user (zia-facts §3.1).
const MOST_GROUPS: usize = 127;

/// The body of a create or an update.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct UserInput {
    #[serde(rename = "id")]
    _id: Option<u64>,
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
    groups: Option<Vec<Reference>>,
    department: Option<Reference>,
    pub(super) comments: Option<String>,
    pub(super) temp_auth_email: Option<String>,
    pub(super) password: Option<String>,
}

/// A group or a department; the id decides.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Reference {
    id: u64,
    #[serde(rename = "name")]
    _name: Option<String>,
    #[serde(rename = "idpId")]
    _idp_id: Option<u64>,
    #[serde(rename = "comments")]
    _comments: Option<String>,
}

impl UserInput {
    /// Reads a body; fields that are not the caller's to write are refused, or dropped if `lenient`.
    pub(super) fn read(body: &[u8], lenient: bool) -> Result<Self, Refusal> {
        let read = if lenient {
            serde_json::from_slice(body).and_then(|mut value: Value| {
                if let Value::Object(fields) = &mut value {
                    fields.retain(|key, _| FIELDS.contains(&key.as_str()));
                }
                serde_json::from_value(value)
            })
        } else {
            serde_json::from_slice(body)
        };
        read.map_err(|_| Refusal::invalid_body())
    }

    /// The name, which every write must give.
    pub(super) fn checked_name(&self) -> Result<&str, Refusal> {
        let name = self.name.as_deref().filter(|name| !name.trim().is_empty());
        let name = name.ok_or_else(|| Refusal::invalid("name is mandatory"))?;
        within(name, LONGEST_NAME, "name")?;
        Ok(name)
    }

    /// The e-mail address, whose domain must be the tenant's.
    pub(super) fn checked_email(&self) -> Result<&str, Refusal> {
        let email = self.email.as_deref().filter(|email| !email.is_empty());
        let email = email.ok_or_else(|| Refusal::invalid("email is mandatory"))?;
        within(email, LONGEST_NAME, "email")?;
        let parts =
            email.split_once('@').filter(|(local, domain)| !local.is_empty() && !domain.contains('@'));
        let blank = email.contains(|c: char| c.is_whitespace() || c.is_control());
        let (_, domain) = parts.filter(|_| !blank).ok_or_else(|| Refusal::invalid("email is not valid"))?;
        if !DOMAINS.iter().any(|own| own.eq_ignore_ascii_case(domain)) {
            return Err(Refusal::invalid("email domain does not belong to the organization"));
        }
        Ok(email)
    }

    /// The groups' ids, all of which must exist.
    pub(super) fn checked_groups(&self, org: &Org) -> Result<Vec<u64>, Refusal> {
        let mut ids: Vec<u64> = self.groups.iter().flatten().map(|group| group.id).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() > MOST_GROUPS {
            return Err(Refusal::invalid(format!("at most {MOST_GROUPS} groups per user")));
        }
        ids.iter().try_for_each(|id| known(&org.groups, *id, "group"))?;
        Ok(ids)
    }

    /// The department's id, which must exist.
    pub(super) fn checked_department(&self, org: &Org) -> Result<Option<u64>, Refusal> {
        let Some(department) = &self.department else { return Ok(None) };
        known(&org.departments, department.id, "department")?;
        Ok(Some(department.id))
    }

    pub(super) fn checked_comments(&self) -> Result<Option<Box<str>>, Refusal> {
        let Some(comments) = self.comments.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        within(comments, LONGEST_COMMENTS, "comments")?;
        Ok(Some(comments.into()))
    }

    /// The password if there is one, by the strong rule (zia-facts §3.1).
    pub(super) fn check_password(&self) -> Result<(), Refusal> {
        let Some(password) = &self.password else { return Ok(()) };
        within(password, LONGEST_PASSWORD, "password")?;
        let any = |is: fn(char) -> bool| password.chars().any(is);
        let strong = password.is_ascii()
            && password.len() >= 8
            && any(|c| c.is_ascii_digit())
            && any(|c| c.is_ascii_uppercase())
            && any(|c| c.is_ascii_punctuation());
        strong
            .then_some(())
            .ok_or_else(|| Refusal::invalid("password does not meet the strength requirements"))
    }
}

fn known(units: &Units, id: u64, what: &str) -> Result<(), Refusal> {
    units.get(id).map(|_| ()).ok_or_else(|| Refusal::invalid(format!("{what} {id} does not exist")))
}

fn within(text: &str, most: usize, what: &str) -> Result<(), Refusal> {
    let fits = text.chars().count() <= most;
    fits.then_some(()).ok_or_else(|| Refusal::invalid(format!("{what} is longer than {most} characters")))
}
