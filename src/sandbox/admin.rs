//! Another administrator, working behind the caller's back.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Endpoint;
use super::call::Call;
use super::clock::millis;
use super::faults::Fault;
use super::replies::{Refusal, Reply};
use super::tenant::{Shared, Tenant};
use super::user::{SandboxUser, UserRow};
use super::user_input::UserInput;

/// The other administrator's name in the list of staged changes.
pub(super) const OTHER_ADMIN: &str = "other.admin@example.com";

/// Another administrator of the sandbox tenant.
///
/// They work in the portal: no session, no limits, no faults. What they change is live at once,
/// unless the method says that it is staged.
#[derive(Clone)]
pub struct OtherAdmin(pub(super) Shared);

/// The other administrator's change could not be made: a sentence that says why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OtherAdminError(String);

impl OtherAdmin {
    /// Stages a change that has nothing to do with users: the tenant is `PENDING`.
    pub fn stage_foreign_change(&self) {
        self.0.lock().stage_foreign_change();
    }

    /// Publishes everything that is staged, whoever staged it.
    pub fn activate(&self) {
        self.0.lock().publish_all();
    }

    /// Holds the edit lock for a time, or until it is released.
    pub fn hold_edit_lock(&self, time: Option<Duration>) {
        self.0.lock().hold_edit_lock(time);
    }

    /// Releases the edit lock.
    pub fn release_edit_lock(&self) {
        self.0.lock().edit_lock_until = None;
    }

    /// Creates a user from a body as `POST /users` takes it; password and groups may be missing.
    ///
    /// # Errors
    /// The body is refused.
    pub fn create_user(&self, body: &Value, staged: bool) -> Result<SandboxUser, OtherAdminError> {
        self.0.lock().foreign_create(body, staged)
    }

    /// Changes the given fields of a user, whoever the user is; `null` empties one.
    ///
    /// # Errors
    /// No such user, or the body is refused.
    pub fn change_user(&self, id: u64, fields: &Value, staged: bool) -> Result<SandboxUser, OtherAdminError> {
        self.0.lock().foreign_change(id, fields, staged)
    }

    /// Deletes a user, whoever the user is.
    ///
    /// # Errors
    /// No such user.
    pub fn delete_user(&self, id: u64, staged: bool) -> Result<(), OtherAdminError> {
        self.0.lock().foreign_delete(id, staged)
    }

    /// Creates a group; gives its id.
    pub fn create_group(&self, name: &str) -> u64 {
        Arc::make_mut(&mut self.0.lock().org).groups.insert(name)
    }

    /// Creates a department; gives its id.
    pub fn create_department(&self, name: &str) -> u64 {
        Arc::make_mut(&mut self.0.lock().org).departments.insert(name)
    }

    /// Gives a group or a department another name.
    ///
    /// # Errors
    /// No such group or department.
    pub fn rename(&self, id: u64, name: &str) -> Result<(), OtherAdminError> {
        self.0.lock().foreign_rename(id, &json!({"name": name}))
    }

    /// Deletes a group or a department; no user shows it any more.
    ///
    /// # Errors
    /// No such group or department.
    pub fn delete_unit(&self, id: u64) -> Result<(), OtherAdminError> {
        let mut tenant = self.0.lock();
        let org = Arc::make_mut(&mut tenant.org);
        let gone = org.groups.remove(id) || org.departments.remove(id);
        gone.then_some(()).ok_or_else(|| no_unit(id))
    }
}

impl Tenant {
    pub(super) fn stage_foreign_change(&mut self) {
        self.staging.other(&OTHER_ADMIN.into(), "change url category", None);
    }

    pub(super) fn hold_edit_lock(&mut self, time: Option<Duration>) {
        let until = |time| self.now_ms().saturating_add(millis(time));
        self.edit_lock_until = Some(time.map_or(i64::MAX, until));
    }

    pub(super) fn foreign_create(
        &mut self,
        body: &Value,
        staged: bool,
    ) -> Result<SandboxUser, OtherAdminError> {
        let row = self.new_row(&read(body)?)?;
        let id = row.id;
        self.put_user(row, &OTHER_ADMIN.into(), "create user", Endpoint::Other);
        self.settle(id, staged)
    }

    pub(super) fn foreign_change(
        &mut self,
        id: u64,
        fields: &Value,
        staged: bool,
    ) -> Result<SandboxUser, OtherAdminError> {
        let old = self.users.get(id).ok_or_else(|| no_user(id))?;
        let mut body = Map::from_iter([
            ("name".to_owned(), json!(old.name)),
            ("groups".to_owned(), old.groups.iter().map(|id| json!({"id": id})).collect()),
            ("department".to_owned(), old.department.map_or(Value::Null, |id| json!({"id": id}))),
            ("comments".to_owned(), json!(old.comments)),
            ("tempAuthEmail".to_owned(), json!(old.temp_auth_email)),
        ]);
        body.extend(fields.as_object().cloned().unwrap_or_default());
        let mut row = self.replaced(&old, &read(&Value::Object(body))?)?;
        if let Some(email) = fields.get("email").and_then(Value::as_str) {
            if self.users.by_email(email).is_some_and(|other| other.id != id) {
                return Err(OtherAdminError(format!("another user has the address of user {id}")));
            }
            row.email = email.into();
        }
        self.put_user(row, &OTHER_ADMIN.into(), "update user", Endpoint::Other);
        self.settle(id, staged)
    }

    pub(super) fn foreign_delete(&mut self, id: u64, staged: bool) -> Result<(), OtherAdminError> {
        self.users.get(id).ok_or_else(|| no_user(id))?;
        self.remove_user(id, &OTHER_ADMIN.into(), Endpoint::Other);
        self.publish_foreign(id, staged);
        Ok(())
    }

    /// Gives a group or a department another name, at once.
    pub(super) fn foreign_rename(&mut self, id: u64, fields: &Value) -> Result<(), OtherAdminError> {
        let name = fields.get("name").and_then(Value::as_str);
        let name = name.ok_or_else(|| OtherAdminError("a name is needed".into()))?;
        let org = Arc::make_mut(&mut self.org);
        if org.groups.rename(id, name) || org.departments.rename(id, name) {
            return Ok(());
        }
        Err(no_unit(id))
    }

    fn settle(&mut self, id: u64, staged: bool) -> Result<SandboxUser, OtherAdminError> {
        self.publish_foreign(id, staged);
        self.users.get(id).map(|row| self.shown(&row)).ok_or_else(|| no_user(id))
    }

    fn publish_foreign(&mut self, id: u64, staged: bool) {
        if !staged {
            self.staging.publish_one(OTHER_ADMIN, id);
        }
    }
}

impl Tenant {
    /// Lets the other administrator act at the moment of a call, if a fault says so.
    pub(super) fn meddle(&mut self, call: &Call, now_after: bool) {
        let wanted = |fault: &Fault| match fault {
            Fault::OtherAdminChanges { after, .. } | Fault::OtherAdminDeletes { after, .. } => {
                *after == now_after
            }
            _ => false,
        };
        let Some(fault) = self.faults.strike(call.endpoint, wanted) else { return };
        // A user who is not there any more cannot be changed, which is as good.
        let _ = match fault {
            Fault::OtherAdminChanges { user, .. } => {
                let id = user.or(call.id).unwrap_or_default();
                let fields =
                    json!({"comments": format!("changed by another administrator at {}", self.now_ms())});
                self.foreign_change(id, &fields, false).map(drop)
            }
            Fault::OtherAdminDeletes { user, .. } => {
                self.foreign_delete(user.or(call.id).unwrap_or_default(), false)
            }
            _ => Ok(()),
        };
    }

    /// Makes a user who was just deleted anew, if a fault says so.
    pub(super) fn recreate(&mut self, call: &Call, deleted: Option<Arc<UserRow>>) {
        let Some(row) = deleted.filter(|_| call.endpoint == Endpoint::DeleteUser) else { return };
        if self.faults.strikes(call.endpoint, &Fault::RecreatedAfterDelete) {
            let id = self.next_id;
            self.next_id += 7;
            self.put_user(
                UserRow { id, ..(*row).clone() },
                &OTHER_ADMIN.into(),
                "create user",
                Endpoint::Other,
            );
            self.publish_foreign(id, false);
        }
    }
}

fn read(body: &Value) -> Result<UserInput, OtherAdminError> {
    Ok(UserInput::read(body.to_string().as_bytes(), false)?)
}

fn no_user(id: u64) -> OtherAdminError {
    OtherAdminError(format!("no user with the id {id}"))
}

fn no_unit(id: u64) -> OtherAdminError {
    OtherAdminError(format!("no group or department {id}"))
}

impl From<Refusal> for OtherAdminError {
    fn from(refusal: Refusal) -> Self {
        let (_, body) = Reply::from(refusal).content.render();
        Self(String::from_utf8_lossy(&body).into_owned())
    }
}
