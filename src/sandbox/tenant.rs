//! The tenant's state, and the way a call takes through it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::call::Call;
use super::directory_pages::Kind;
use super::faults::{Fault, FaultBook};
use super::journal::Journal;
use super::lag::Lag;
use super::limits::Limits;
use super::org::Org;
use super::replies::{Answer, Reply};
use super::session::Sessions;
use super::staging::Staging;
use super::status::Activation;
use super::table::UserTable;
use super::user::{SandboxUser, UserRow};
use super::{Endpoint, SandboxCredentials, SandboxOptions, oneapi::Tokens, seed};

/// A handle on the one tenant; clones are cheap.
#[derive(Clone)]
pub(super) struct Shared {
    /// A plain mutex: it is held for computing only, never across an await.
    state: Arc<Mutex<Tenant>>,
    /// Cancelled when the tenant is shut down.
    pub(super) closing: CancellationToken,
    /// Notified of each call that has come into the journal.
    pub(super) arrival: Arc<Notify>,
}

impl Shared {
    pub(super) fn new(tenant: Tenant) -> Self {
        Self {
            state: Arc::new(Mutex::new(tenant)),
            closing: CancellationToken::new(),
            arrival: Arc::default(),
        }
    }

    /// The state, with everything done that time alone does.
    pub(super) fn lock(&self) -> MutexGuard<'_, Tenant> {
        let mut tenant = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        tenant.let_time_pass();
        tenant
    }
}

/// Everything that a tenant knows.
pub(super) struct Tenant {
    pub(super) options: SandboxOptions,
    pub(super) credentials: SandboxCredentials,
    pub(super) users: UserTable,
    pub(super) org: Arc<Org>,
    pub(super) next_id: u64,
    pub(super) staging: Staging,
    pub(super) activation: Activation,
    pub(super) lag: Lag,
    pub(super) sessions: Sessions,
    pub(super) tokens: Tokens,
    pub(super) limits: Limits,
    pub(super) faults: FaultBook,
    pub(super) journal: Journal,
    /// What those who were created here sign in with, by id; of the deleted, too.
    pub(super) passwords: HashMap<u64, String>,
    /// Until when another administrator holds the edit lock, in Unix milliseconds.
    pub(super) edit_lock_until: Option<i64>,
}

impl Tenant {
    pub(super) fn new(options: SandboxOptions, credentials: SandboxCredentials) -> Self {
        Self {
            users: UserTable::new(seed::users(options.users, options.seed)),
            org: Arc::new(seed::org()),
            next_id: seed::FIRST_NEW_ID,
            staging: Staging::default(),
            activation: Activation::default(),
            lag: Lag::default(),
            sessions: Sessions::default(),
            tokens: Tokens::default(),
            limits: Limits::default(),
            faults: FaultBook::default(),
            journal: Journal::default(),
            passwords: HashMap::new(),
            edit_lock_until: None,
            options,
            credentials,
        }
    }

    /// Now, by the clock that sessions and limits run on.
    pub(super) fn now_ms(&self) -> i64 {
        self.options.clock.now_ms()
    }

    /// The time that the tenant believes and tells.
    pub(super) fn told_ms(&self) -> i64 {
        let skew = self.faults.peek(|fault| match fault {
            Fault::ClockSkew { ms } => Some(*ms),
            _ => None,
        });
        self.now_ms().saturating_add(skew.unwrap_or_default())
    }

    /// Whether an edit has to wait for another administrator.
    pub(super) fn edit_lock_is_held(&mut self) -> bool {
        let held = self.edit_lock_until.is_some_and(|until| self.now_ms() < until);
        if !held {
            self.edit_lock_until = None;
        }
        held
    }

    /// Carries a call out; `admin` is who calls.
    pub(super) fn dispatch(&mut self, call: &Call, admin: &Arc<str>) -> Reply {
        self.carry_out(call, admin).unwrap_or_else(Reply::from)
    }

    fn carry_out(&mut self, call: &Call, admin: &Arc<str>) -> Answer {
        match call.endpoint {
            Endpoint::Login => self.sign_in(call),
            Endpoint::CheckSession => Ok(self.check_session(call)),
            Endpoint::Logout => Ok(self.sign_out(call, admin)),
            Endpoint::ListUsers => self.list_users(call),
            Endpoint::References => self.list_references(call),
            Endpoint::Auditors => Ok(Reply::json(serde_json::json!([]))),
            Endpoint::GetUser => self.get_user(call),
            Endpoint::CreateUser => self.create_user(call, admin),
            Endpoint::ReplaceUser => self.replace_user(call, admin),
            Endpoint::DeleteUser => self.delete_user(call, admin),
            Endpoint::BulkDelete => self.bulk_delete(call, admin),
            Endpoint::ListGroups | Endpoint::GroupsLite => self.list_units(call, Kind::Groups),
            Endpoint::GetGroup => self.get_unit(call, Kind::Groups),
            Endpoint::GroupLite => self.get_unit_lite(call, Kind::Groups),
            Endpoint::ListDepartments | Endpoint::DepartmentsLite => self.list_units(call, Kind::Departments),
            Endpoint::GetDepartment => self.get_unit(call, Kind::Departments),
            Endpoint::DepartmentLite => self.get_unit_lite(call, Kind::Departments),
            Endpoint::Status => Ok(self.status()),
            Endpoint::Activate => self.activate(call),
            Endpoint::LatestEusa => Ok(self.latest_eusa()),
            Endpoint::AcceptEusa => Ok(self.accept_eusa()),
            Endpoint::Token | Endpoint::Other => Ok(Reply::empty(404)),
        }
    }

    /// A user as a test sees it.
    pub(super) fn shown(&self, row: &UserRow) -> SandboxUser {
        SandboxUser::new(row, &self.org)
    }

    /// A user as it is live.
    pub(super) fn live_user(&self, id: u64) -> Option<Arc<UserRow>> {
        self.staging.live(id, self.users.get(id))
    }

    /// All users as they are live, in no order.
    pub(super) fn live_users(&self) -> Vec<Arc<UserRow>> {
        let differing: HashMap<_, _> = self.staging.differing().collect();
        let same = self.users.iter().filter(|row| !differing.contains_key(&row.id)).cloned();
        same.chain(differing.values().filter_map(|row| (*row).clone())).collect()
    }
}
