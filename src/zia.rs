//! The ZIA client: speaks the vendor's protocol and nothing else.
//!
//! A call goes `call` → `gate` (a session or token) → `line` → `turnstile` (limits) → `send`, and its
//! reply is read once, in `outcome`.

mod api_key;
mod assertion;
mod call;
mod clouds;
mod deadline;
mod endpoints;
mod error;
mod fault;
mod gate;
mod limits;
mod line;
mod oneapi;
mod outcome;
mod place;
#[cfg(test)]
mod recorded;
mod retry_after;
mod send;
mod session;
mod settings;
mod turnstile;
mod types;

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use jiff::Timestamp;

pub use assertion::AUDIENCE as DEFAULT_AUDIENCE;
pub use deadline::{Deadline, Planned};
pub use endpoints::{ActivationStatus, ListQuery, NewUser, UserQuery, UserReplacement};
pub use error::{Error, Kind, Landed, Phase, SignInProblem};
pub use limits::{BudgetLine, Limits, UnknownEndpoint};
pub use settings::{ClientCredential, Settings, SettingsError, Timeouts};
pub use turnstile::{Departure, Turnstile};
pub use types::{Raw, Whose, ZiaNamed, ZiaUser};

use call::{Caller, Effort};
use endpoints::{
    Activate, Call, CreateUser, DeleteUser, DeleteUsers, Endpoint, ListDepartments, ListGroups, ListRows,
    ListUsers, ReadEusa, ReadStatus, ReadUser, ReplaceUser, SignIn, SignOut,
};
use fault::Fault;
use gate::{Gate, SignOn};
use line::Line;
use oneapi::ClientSignOn;
use send::Wire;
use session::ApiKeySignOn;
use settings::SignInSettings;

use crate::{
    model::{Clock, Purpose, SendPermit, UserId, Write},
    telemetry::meter,
};

/// Users in one bulk delete (zia-facts §3.2).
pub const MAX_BULK: usize = 500;

/// The client of one tenant; a cheap handle.
#[derive(Clone)]
pub struct Zia(Arc<Inner>);

struct Inner {
    caller: Caller,
    tenant: String,
    cloud: String,
    auth: &'static str,
    own_login: Option<String>,
    sign_out_within: Duration,
}

impl Zia {
    /// Prepares a client; nothing is sent before the first call.
    ///
    /// # Errors
    /// When the system has no root certificates to check ZIA's with.
    pub fn new(settings: Settings, clock: Clock) -> Result<Self, SettingsError> {
        let Settings { base, tenant, cloud, sign_in, timeouts, limits, jitter, extra_ca, account } = settings;
        let mut places = vec![&base];
        if let SignInSettings::OneApi { token_url, .. } = &sign_in {
            places.push(token_url);
        }
        let wire = Wire::new(timeouts.clone(), clock.clone(), &places, extra_ca)?;
        let turnstile = Turnstile::new(&limits, tenant.as_str(), account, clock.clone());
        let line = Arc::new(Line { wire, turnstile, clock });
        let auth = sign_in.name();
        let own_login = match &sign_in {
            SignInSettings::ApiKey { username, .. } => Some(username.clone()),
            SignInSettings::OneApi { .. } => None,
        };
        meter::zia_endpoints(Endpoint::ALL.map(Endpoint::name));
        let gate = Arc::new(Gate::new(line.clone(), sign_on(&base, sign_in)));
        let sign_out_within = timeouts.total;
        let caller = Caller { base, line, gate, timeouts, jitter };
        Ok(Self(Arc::new(Inner { caller, tenant, cloud, auth, own_login, sign_out_within })))
    }

    /// The tenant's stable identity: host and login domain, vanity name or client id.
    pub fn tenant(&self) -> &str {
        &self.0.tenant
    }

    /// The cloud's name, or the host where that is overridden.
    pub fn cloud(&self) -> &str {
        &self.0.cloud
    }

    /// `api_key` or `oneapi`.
    pub fn auth(&self) -> &'static str {
        self.0.auth
    }

    /// The login of the signed-in administrator, where known: API-key mode.
    pub fn own_login(&self) -> Option<&str> {
        self.0.own_login.as_deref()
    }

    /// Seconds this machine's clock is ahead of ZIA's, as of the last reply that told the time.
    pub fn clock_ahead_seconds(&self) -> Option<i64> {
        self.0.caller.line.wire.skew()
    }

    /// What is left of every limit, in sum over all who share the account; empty without pacing.
    pub async fn budget(&self) -> Vec<BudgetLine> {
        self.0.caller.line.turnstile.budget(None).await
    }

    /// The same of the calls of one kind alone.
    pub async fn budget_of(&self, call: Planned) -> Vec<BudgetLine> {
        self.0.caller.line.turnstile.budget(Some(call.endpoint())).await
    }

    /// When all calls that finish a write could leave, as things are; ZIA is not asked.
    ///
    /// # Errors
    /// [`Kind::Unaccounted`].
    pub async fn turn_of(&self, calls: &[Planned]) -> Result<Timestamp, Error> {
        let endpoints: Vec<_> = calls.iter().map(|call| call.endpoint()).collect();
        let next = self.0.caller.line.turnstile.next(&endpoints, Purpose::Finish).await;
        next.map_err(|fault| Effort::new(Endpoint::Status).error(fault))
    }

    /// Signs in, unless signed in.
    ///
    /// # Errors
    /// See [`Kind::SignIn`]; refused credentials are not tried again for 15 minutes.
    pub async fn sign_in(&self, until: Deadline) -> Result<(), Error> {
        let endpoint = if self.0.auth == "api_key" { Endpoint::SignIn } else { Endpoint::Token };
        let effort = Effort::new(endpoint);
        self.0.caller.gate.pass(until).await.map(drop).map_err(|fault| effort.error(fault))
    }

    /// Whether a session or token is held that ZIA should accept.
    pub async fn is_signed_in(&self) -> bool {
        self.0.caller.gate.is_open().await
    }

    /// Whether ZIA's last reply said that the tenant is in read-only maintenance (zia-facts §4).
    pub fn is_read_only(&self) -> bool {
        self.0.caller.line.wire.is_read_only()
    }

    /// Signs out, if signed in, which publishes what this session staged (zia-facts §1.3).
    ///
    /// # Errors
    /// As any call; the session is given up in any case.
    pub async fn sign_out(&self) -> Result<(), Error> {
        let Some(pass) = self.0.caller.gate.close().await else { return Ok(()) };
        let until = Deadline::after(self.0.sign_out_within).finishing();
        match self.0.caller.once(&SignOut, pass, until).await {
            // It ended before we ended it.
            Err(Error { kind: Kind::SignIn(_), .. }) => Ok(()),
            result => result,
        }
    }

    /// One page of users; a page that is not full is the last (zia-facts §3.2).
    ///
    /// # Errors
    /// See [`Kind`].
    pub async fn users(&self, q: &UserQuery, until: Deadline) -> Result<Vec<Raw<ZiaUser>>, Error> {
        self.call(&ListUsers(q), until).await
    }

    /// The same page as rows: whom each is about, and its text.
    ///
    /// # Errors
    /// See [`Kind`].
    pub async fn user_rows(&self, q: &UserQuery, until: Deadline) -> Result<Vec<Raw<Whose>>, Error> {
        self.call(&ListRows(ListUsers(q)), until).await
    }

    /// One user by id; its name and address may come encoded (zia-facts §3.2).
    ///
    /// # Errors
    /// [`Kind::NotFound`] only when ZIA itself says so; see [`Kind`].
    pub async fn user(&self, id: UserId, until: Deadline) -> Result<Raw<ZiaUser>, Error> {
        self.call(&ReadUser(id), until).await
    }

    /// One page of groups.
    ///
    /// # Errors
    /// See [`Kind`].
    pub async fn groups(&self, q: &ListQuery, until: Deadline) -> Result<Vec<ZiaNamed>, Error> {
        self.call(&ListGroups(q), until).await
    }

    /// One page of departments.
    ///
    /// # Errors
    /// See [`Kind`].
    pub async fn departments(&self, q: &ListQuery, until: Deadline) -> Result<Vec<ZiaNamed>, Error> {
        self.call(&ListDepartments(q), until).await
    }

    /// Whether changes are staged.
    ///
    /// # Errors
    /// See [`Kind`].
    pub async fn status(&self, until: Deadline) -> Result<ActivationStatus, Error> {
        self.call(&ReadStatus, until).await
    }

    /// Whether the end user subscription agreement is accepted; if not, nothing activates.
    ///
    /// # Errors
    /// See [`Kind`].
    pub async fn eusa_accepted(&self, until: Deadline) -> Result<bool, Error> {
        self.call(&ReadEusa, until).await
    }

    /// Creates a user.
    ///
    /// # Errors
    /// [`Kind::Duplicate`] for a taken address; [`Kind::Refused`], with nothing sent, when the permit
    /// is for another write; see [`Landed`].
    pub async fn create_user(
        &self,
        permit: &impl SendPermit,
        new: &NewUser,
        until: Deadline,
    ) -> Result<Raw<ZiaUser>, Error> {
        match permit.write() {
            Write::CreateUser => self.write(permit, &CreateUser(new), until).await,
            _ => Err(not_permitted(Endpoint::CreateUser)),
        }
    }

    /// Replaces the fields of the user that the permit names.
    ///
    /// # Errors
    /// [`Kind::Refused`], with nothing sent, when the permit is for another write; see [`Landed`].
    pub async fn replace_user(
        &self,
        permit: &impl SendPermit,
        wanted: &UserReplacement,
        until: Deadline,
    ) -> Result<Raw<ZiaUser>, Error> {
        match permit.write() {
            Write::ReplaceUser(id) => self.write(permit, &ReplaceUser(id, wanted), until).await,
            _ => Err(not_permitted(Endpoint::ReplaceUser)),
        }
    }

    /// Deletes the users that the permit names, at most 500; gives those that ZIA says are gone.
    ///
    /// `None` where ZIA does not say. Either way each has to be read to be sure.
    ///
    /// # Errors
    /// [`Kind::Refused`], with nothing sent, when the permit is for another write or names none or
    /// too many; see [`Landed`].
    pub async fn delete_users(
        &self,
        permit: &impl SendPermit,
        until: Deadline,
    ) -> Result<Option<Vec<UserId>>, Error> {
        match (permit.write(), permit.users()) {
            (Write::DeleteUsers, users) if (1..=MAX_BULK).contains(&users.len()) => {
                self.write(permit, &DeleteUsers(users), until).await
            }
            _ => Err(not_permitted(Endpoint::DeleteUsers)),
        }
    }

    /// Deletes the user that the permit names.
    ///
    /// # Errors
    /// [`Kind::Refused`], with nothing sent, when the permit is for another write; see [`Landed`].
    pub async fn delete_user(&self, permit: &impl SendPermit, until: Deadline) -> Result<(), Error> {
        match permit.write() {
            Write::DeleteUser(id) => self.write(permit, &DeleteUser(id), until).await,
            _ => Err(not_permitted(Endpoint::DeleteUser)),
        }
    }

    /// Publishes staged changes, other administrators' too; may only be queued (zia-facts §4).
    ///
    /// # Errors
    /// [`Kind::Refused`], with nothing sent, when the permit is for another write; see [`Landed`].
    pub async fn activate(
        &self,
        permit: &impl SendPermit,
        until: Deadline,
    ) -> Result<ActivationStatus, Error> {
        match permit.write() {
            Write::Activate => self.write(permit, &Activate, until).await,
            _ => Err(not_permitted(Endpoint::Activate)),
        }
    }

    async fn call<C: Call>(&self, call: &C, until: Deadline) -> Result<C::Output, Error> {
        self.0.caller.call(call, None, until).await
    }

    async fn write<C: Call>(
        &self,
        permit: &impl SendPermit,
        call: &C,
        until: Deadline,
    ) -> Result<C::Output, Error> {
        self.0.caller.call(call, Some(permit), until.finishing()).await
    }
}

fn not_permitted(endpoint: Endpoint) -> Error {
    Effort::new(endpoint).error(Fault::refused())
}

fn sign_on(base: &url::Url, settings: SignInSettings) -> SignOn {
    match settings {
        SignInSettings::ApiKey { username, password, key } => {
            let mut url = base.clone();
            url.set_path(&format!("{}{}", base.path(), SignIn::TARGET));
            SignOn::ApiKey(ApiKeySignOn { url, username, password, key })
        }
        SignInSettings::OneApi { token_url, client_id, credential, audience } => {
            let without_audience = AtomicBool::new(false);
            SignOn::OneApi(ClientSignOn { token_url, client_id, credential, audience, without_audience })
        }
    }
}

impl fmt::Debug for Zia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = self.0.caller.base.as_str();
        f.debug_struct("Zia").field("base", &base).field("auth", &self.0.auth).finish_non_exhaustive()
    }
}
