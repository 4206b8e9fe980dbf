//! Creating, changing and deleting users.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use super::Endpoint;
use super::call::Call;
use super::faults::Fault;
use super::replies::{Answer, Content, Refusal, Reply};
use super::tenant::Tenant;
use super::user::{Shape, UserRow};
use super::user_input::UserInput;

/// Users in one bulk delete (zia-facts §3.2).
const LARGEST_BULK: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ids {
    ids: Vec<u64>,
}

impl Tenant {
    pub(super) fn create_user(&mut self, call: &Call, admin: &Arc<str>) -> Answer {
        let input = self.input(call)?;
        let Some(password) = input.password.clone() else {
            return Err(Refusal::invalid("password is mandatory"));
        };
        let row = self.new_row(&input)?;
        if row.groups.is_empty() {
            return Err(Refusal::invalid("groups is mandatory"));
        }
        self.passwords.insert(row.id, password);
        let row = self.put_user(row, admin, "create user", call.endpoint);
        Ok(self.written_user(row))
    }

    /// A user with the next id, if the input makes one.
    pub(super) fn new_row(&mut self, input: &UserInput) -> Result<UserRow, Refusal> {
        let email = input.checked_email()?;
        let row = UserRow {
            id: self.next_id,
            name: input.checked_name()?.into(),
            email: email.into(),
            department: input.checked_department(&self.org)?,
            groups: input.checked_groups(&self.org)?.into(),
            comments: input.checked_comments()?,
            temp_auth_email: input.temp_auth_email.as_deref().map(Into::into),
            admin: false,
            non_editable: false,
            disabled: false,
        };
        input.check_password()?;
        if self.users.by_email(email).is_some() {
            return Err(Refusal::new(409, "DUPLICATE_ITEM", "A user with this email already exists"));
        }
        self.next_id += 7;
        Ok(row)
    }

    /// The path names the user; what the body leaves out is emptied, the e-mail address stays.
    pub(super) fn replace_user(&mut self, call: &Call, admin: &Arc<str>) -> Answer {
        let old = self.writable_user(call.id.unwrap_or_default())?;
        let input = self.input(call)?;
        let other_email = input.email.as_ref().is_some_and(|email| **email != *old.email);
        if other_email && self.faults.strikes(call.endpoint, &Fault::EmailChangeRefused) {
            return Err(Refusal::invalid("email cannot be changed"));
        }
        let row = self.replaced(&old, &input)?;
        let row = self.put_user(row, admin, "update user", call.endpoint);
        Ok(self.written_user(row))
    }

    /// The user as a full replacement leaves them.
    pub(super) fn replaced(&self, old: &UserRow, input: &UserInput) -> Result<UserRow, Refusal> {
        input.check_password()?;
        Ok(UserRow {
            name: input.checked_name()?.into(),
            department: input.checked_department(&self.org)?,
            groups: input.checked_groups(&self.org)?.into(),
            comments: input.checked_comments()?,
            temp_auth_email: input.temp_auth_email.as_deref().map(Into::into),
            ..old.clone()
        })
    }

    pub(super) fn delete_user(&mut self, call: &Call, admin: &Arc<str>) -> Answer {
        let id = call.id.unwrap_or_default();
        self.writable_user(id)?;
        self.remove_user(id, admin, call.endpoint);
        let with_200 = self.faults.strikes(call.endpoint, &Fault::DeleteAnswers200);
        Ok(Reply::empty(if with_200 { 200 } else { 204 }).applied())
    }

    /// Ids that are unknown or refused are left out of the answer.
    pub(super) fn bulk_delete(&mut self, call: &Call, admin: &Arc<str>) -> Answer {
        let Ids { mut ids } = serde_json::from_slice(&call.body).map_err(|_| Refusal::invalid_body())?;
        if ids.len() > LARGEST_BULK {
            return Err(Refusal::invalid(format!("at most {LARGEST_BULK} ids")));
        }
        let mut seen = HashSet::new();
        ids.retain(|id| seen.insert(*id) && self.writable_user(*id).is_ok());
        if let Some(Fault::BulkDeleteDrops { users }) =
            self.faults.strike(call.endpoint, |fault| matches!(fault, Fault::BulkDeleteDrops { .. }))
        {
            ids.truncate(ids.len().saturating_sub(users));
        }
        for id in &ids {
            self.remove_user(*id, admin, call.endpoint);
        }
        let silent = self.faults.strikes(call.endpoint, &Fault::BulkDeleteAnswers204);
        let applied = !ids.is_empty();
        let reply = if silent { Reply::empty(204) } else { Reply::json(json!({"ids": ids})) };
        Ok(Reply { applied, ..reply })
    }

    fn input(&mut self, call: &Call) -> Result<UserInput, Refusal> {
        let lenient = self.faults.strikes(call.endpoint, &Fault::UnknownFieldsIgnored);
        UserInput::read(&call.body, lenient)
    }

    /// The user, unless synced from a directory or an administrator too (zia-facts §3.2, §9).
    fn writable_user(&self, id: u64) -> Result<Arc<UserRow>, Refusal> {
        let row = self.users.get(id).ok_or_else(|| Refusal::not_found("user", id))?;
        match (row.admin, row.non_editable) {
            (true, _) => Err(Refusal::new(403, "INVALID_OPERATION", "Not allowed for an admin user")),
            (_, true) => Err(Refusal::new(403, "INVALID_OPERATION", "Not allowed for a non-editable user")),
            _ => Ok(row),
        }
    }

    /// Stages a new or changed user.
    pub(super) fn put_user(
        &mut self,
        row: UserRow,
        admin: &Arc<str>,
        what: &'static str,
        at: Endpoint,
    ) -> Arc<UserRow> {
        let before = self.users.get(row.id);
        self.staging.user(admin, what, row.id, before.clone());
        self.lag_behind(row.id, before, at);
        self.users.put(row)
    }

    /// Stages a user's removal.
    pub(super) fn remove_user(&mut self, id: u64, admin: &Arc<str>, at: Endpoint) {
        let before = self.users.remove(id);
        self.staging.user(admin, "delete user", id, before.clone());
        self.lag_behind(id, before, at);
    }

    fn lag_behind(&mut self, id: u64, before: Option<Arc<UserRow>>, at: Endpoint) {
        let struck = self.faults.strike(at, |fault| matches!(fault, Fault::ReadAfterWriteLag { .. }));
        if let Some(Fault::ReadAfterWriteLag { reads: reads @ 1.. }) = struck {
            self.lag.hold(id, before, reads);
        }
    }

    fn written_user(&self, row: Arc<UserRow>) -> Reply {
        Reply::new(200, Content::User(row, Arc::clone(&self.org), Shape::Row)).applied()
    }
}
