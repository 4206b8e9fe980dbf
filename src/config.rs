//! The settings: environment, configuration file, flags.
//!
//! The only reader of the environment. A flag wins over the environment, the environment over the
//! file. Everything wrong is collected and told at once: which setting, what was expected, where it
//! was looked for, and never its value.

mod callers;
mod env;
mod error;
mod file;
mod policy;
mod reader;
mod tenant;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use secrecy::SecretString;

pub use callers::CallerRule;
pub use env::Env;
pub use error::ConfigError;
pub use policy::{Approval, ApprovalSettings, InitialPassword, Policy, Raises};
pub use tenant::{Credential, Tenant};

use crate::{http::TlsFiles, telemetry::Level};
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
    /// Root certificates to trust besides the system's, PEM.
    pub extra_ca: Option<String>,
    /// Where the store and its key live.
    pub state_dir: PathBuf,
    /// The key that wraps stored secrets, where it is not in the state directory.
    pub key_file: Option<PathBuf>,
    /// Where the audit trail's checkpoints are written too.
    pub checkpoint_file: Option<PathBuf>,
    /// Days from which on captures of ended operations are purged; kept for ever if `None`.
    pub capture_days: Option<u32>,
    /// How much is logged.
    pub log: Level,
    /// Who has to approve what, and for how long.
    pub approval: ApprovalSettings,
    /// What is never touched, and how much at once.
    pub policy: Policy,
    /// What becomes of a new user's password.
    pub initial_password: InitialPassword,
    /// The HTTP server.
    pub http: Http,
}

/// Settings of the HTTP server.
#[derive(Clone, Debug, Default)]
pub struct Http {
    /// The bearer token, where the operator gave one.
    pub token: Option<SecretString>,
    /// `Host` values to accept besides the server's own.
    pub allowed_hosts: Vec<String>,
    /// `Origin` values to accept besides the server's own.
    pub allowed_origins: Vec<String>,
    /// The URL that clients use, where it is not the bound one.
    pub public_url: Option<String>,
    /// Certificate and key, to serve TLS.
    pub tls: Option<TlsFiles>,
    /// A proxy in front ends TLS.
    pub behind_proxy: bool,
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
        reader.refuse_database();
        let config = Self {
            tenant: if flags.sandbox { None } else { tenant::read(&mut reader) },
            extra_ca: reader.file_text(("tenant", "extra_ca_file")),
            state_dir: state_dir(&mut reader, flags),
            key_file: reader.path(Some("ZIA_MCP_KEY_FILE"), Some(("store", "key_file"))),
            checkpoint_file: reader.path(None, Some(("store", "checkpoint_file"))),
            capture_days: reader.number_if_set(("store", "capture_days"), 1..=3650),
            log: log(&mut reader, flags),
            approval: policy::approval(&mut reader),
            policy: policy::policy(&mut reader),
            initial_password: policy::initial_password(&mut reader),
            http: http(&mut reader, flags),
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

fn http(reader: &mut Reader<'_>, flags: &Flags) -> Http {
    let cert = reader.path(None, Some(("http", "tls_cert")));
    let key = reader.path(None, Some(("http", "tls_key")));
    let tls = match (flags.tls_cert.clone().or(cert), flags.tls_key.clone().or(key)) {
        (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
        (None, None) => None,
        (Some(_), None) => {
            reader.problem("--tls-key", "missing; a certificate needs its key (or [http] tls_key)");
            None
        }
        (None, Some(_)) => {
            reader.problem("--tls-cert", "missing; a key needs its certificate (or [http] tls_cert)");
            None
        }
    };
    Http {
        token: reader.secret("ZIA_MCP_HTTP_TOKEN").map(SecretString::from),
        allowed_hosts: reader.texts("http", "allowed_hosts"),
        allowed_origins: reader.texts("http", "allowed_origins"),
        public_url: reader.url(None, Some(("http", "public_url"))),
        tls,
        behind_proxy: reader.boolean("http", "behind_proxy").unwrap_or(false) || flags.behind_proxy,
    }
}
