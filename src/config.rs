//! The settings: environment, configuration file, flags.
//!
//! The only reader of the environment. A flag wins over the environment, the environment over the
//! file. Everything wrong is collected and told at once: which setting, what was expected, where it
//! was looked for, and never its value.

mod callers;
mod env;
mod error;
mod file;
mod http;
mod index;
mod limits;
mod policy;
mod reader;
mod sign_in;
mod tenant;
mod traces;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use callers::CallerRule;
pub use env::Env;
pub use error::ConfigError;
pub use http::{Http, check_token_name};
pub use index::Index;
pub use policy::{Approval, ApprovalSettings, InitialPassword, Policy, Raises};
pub use tenant::{Credential, Tenant};

use crate::{
    http::Provider,
    store::DatabaseUrl,
    telemetry::{Level, TraceSettings},
    zia::Limits,
};
use reader::Reader;

/// What the command line says, as far as settings go.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--config FILE`.
    pub config: Option<PathBuf>,
    /// `--state-dir DIR`.
    pub state_dir: Option<PathBuf>,
    /// `--log LEVEL`.
    pub log: Option<String>,
    /// `--sandbox`: the tenant is embedded, so no sign-in is looked for.
    pub sandbox: bool,
    /// `--tls-cert FILE`.
    pub tls_cert: Option<PathBuf>,
    /// `--tls-key FILE`.
    pub tls_key: Option<PathBuf>,
    /// `--behind-proxy`.
    pub behind_proxy: bool,
}

/// Every setting, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// How to sign in to the tenant; `None` with `--sandbox`.
    pub tenant: Option<Tenant>,
    /// The tenant's call limits, as documented or as the operator knows them.
    pub limits: Limits,
    /// Root certificates to trust besides the system's, PEM.
    pub extra_ca: Option<String>,
    /// Where the store and its key live.
    pub state_dir: PathBuf,
    /// The key that wraps stored secrets, where it is not in the state directory.
    pub key_file: Option<PathBuf>,
    /// A PostgreSQL database in the place of the embedded one.
    pub database: Option<DatabaseUrl>,
    /// Where the audit trail's checkpoints are written too.
    pub checkpoint_file: Option<PathBuf>,
    /// Days from which on captures of ended operations are purged; kept for ever if `None`.
    pub capture_days: Option<u32>,
    /// How much is logged.
    pub log: Level,
    /// Where spans are exported to, if anywhere.
    pub traces: Option<TraceSettings>,
    /// Who has to approve what, and for how long.
    pub approval: ApprovalSettings,
    /// Where approvers sign in, if it is at an identity provider.
    pub sign_in: Option<Provider>,
    /// What is never touched, and how much at once.
    pub policy: Policy,
    /// What becomes of a new user's password.
    pub initial_password: InitialPassword,
    /// The HTTP server.
    pub http: Http,
    /// The index of users.
    pub index: Index,
}

impl Config {
    /// Gathers and checks all settings.
    ///
    /// Reads the configuration file and the files that `NAME_FILE` settings point to.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] with everything that is wrong; the process should end with exit code 78.
    pub fn load(env: &Env, flags: &Flags) -> Result<Self, ConfigError> {
        let mut reader = Reader::open(env, flags.config.as_deref());
        reader.refuse_unknown();
        let extra_ca = reader.file_text(("tenant", "extra_ca_file"));
        let config = Self {
            tenant: if flags.sandbox { None } else { tenant::read(&mut reader) },
            limits: limits::limits(&mut reader),
            state_dir: state_dir(&mut reader, flags),
            key_file: reader.path(Some("ZIA_MCP_KEY_FILE"), Some(("store", "key_file"))),
            database: reader.database(),
            checkpoint_file: reader.path(None, Some(("store", "checkpoint_file"))),
            capture_days: reader.number_if_set(("store", "capture_days"), 1..=3650),
            log: log(&mut reader, flags),
            traces: traces::traces(&mut reader, extra_ca.as_ref()),
            approval: policy::approval(&mut reader),
            sign_in: sign_in::provider(&mut reader, extra_ca.as_ref()),
            policy: policy::policy(&mut reader),
            initial_password: policy::initial_password(&mut reader),
            http: http::http(&mut reader, flags, extra_ca.as_ref()),
            index: index::index(&mut reader),
            extra_ca,
        };
        reader.finish(config)
    }
}

fn state_dir(reader: &mut Reader<'_>, flags: &Flags) -> PathBuf {
    let named = reader.path(Some("ZIA_MCP_STATE_DIR"), Some(("store", "state_dir")));
    if let Some(dir) = flags.state_dir.clone().or(named) {
        return dir;
    }
    default_state_dir().unwrap_or_else(|| {
        reader.problem("ZIA_MCP_STATE_DIR", "needed, because there is no home directory to derive it from");
        PathBuf::new()
    })
}

/// The platform's state directory, such as `~/.local/state/zia-mcp`.
fn default_state_dir() -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    let base = etcetera::choose_base_strategy().ok()?;
    Some(base.state_dir().unwrap_or_else(|| base.data_dir()).join("zia-mcp"))
}

fn log(reader: &mut Reader<'_>, flags: &Flags) -> Level {
    let Some(text) = &flags.log else { return Level::default() };
    text.parse().unwrap_or_else(|()| {
        reader.problem("--log", "expected error, warn, info, debug or trace");
        Level::default()
    })
}
