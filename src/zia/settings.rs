//! Where the tenant is and how to sign in to it.

use std::{fmt, sync::Arc, time::Duration};

use reqwest::Certificate;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{api_key::ApiKey, assertion::Signer, clouds, limits::Limits, place};
use crate::model::CallAccount;

/// A setting that cannot be used; never holds its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct SettingsError {
    /// The setting's name, as operators write it.
    pub setting: &'static str,
    /// What was expected.
    pub problem: String,
}

impl SettingsError {
    pub(super) fn new(setting: &'static str, problem: impl Into<String>) -> Self {
        Self { setting, problem: problem.into() }
    }
}

/// How a OneAPI client proves itself.
#[derive(Clone)]
pub enum ClientCredential {
    /// A client secret.
    Secret(SecretString),
    /// An RSA private key of at least 2048 bits, PKCS#8 or PKCS#1 in PEM.
    PrivateKey(SecretString),
}

impl fmt::Debug for ClientCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret(_) => "Secret(…)",
            Self::PrivateKey(_) => "PrivateKey(…)",
        })
    }
}

/// How long each part of a call may take, and the pauses before a repeat.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// Name lookup, connection and TLS; 5 s.
    pub connect: Duration,
    /// Until the answer to a read begins; 30 s.
    pub read_header: Duration,
    /// Until the answer to a write begins; 60 s, since an edit lock is held for 30 s (zia-facts §4).
    pub write_header: Duration,
    /// Between two pieces of an answer; 15 s.
    pub idle: Duration,
    /// A whole exchange; 60 s.
    pub total: Duration,
    /// Before the first repeat of a failed read, doubled for the next; 200 ms.
    pub read_pause: Duration,
    /// Before the first repeat after an edit lock, and the longest such pause; 5 s and 60 s.
    pub lock_pause: (Duration, Duration),
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read_header: Duration::from_secs(30),
            write_header: Duration::from_secs(60),
            idle: Duration::from_secs(15),
            total: Duration::from_secs(60),
            read_pause: Duration::from_millis(200),
            lock_pause: (Duration::from_secs(5), Duration::from_secs(60)),
        }
    }
}

/// Random numbers from 0 to 1, as an argument.
pub(super) type Jitter = Arc<dyn Fn() -> f64 + Send + Sync>;

/// Everything the client is told; checked when made.
#[derive(Clone)]
pub struct Settings {
    /// Endpoint paths go after it; no slash at the end.
    pub(super) base: Url,
    pub(super) tenant: String,
    pub(super) cloud: String,
    pub(super) sign_in: SignInSettings,
    pub(super) timeouts: Timeouts,
    pub(super) limits: Limits,
    pub(super) jitter: Jitter,
    /// Trusted besides the system's root certificates.
    pub(super) extra_ca: Vec<Certificate>,
    /// Counts the calls of all who send to the tenant.
    pub(super) account: Option<Arc<dyn CallAccount>>,
}

/// What each way to sign in needs.
#[derive(Clone)]
pub(super) enum SignInSettings {
    ApiKey { username: String, password: SecretString, key: ApiKey },
    OneApi { token_url: Url, client_id: String, credential: Credential, audience: Option<String> },
}

/// A client credential that was checked.
#[derive(Clone)]
pub(super) enum Credential {
    Secret(SecretString),
    Key(Arc<Signer>),
}

impl Settings {
    /// Sign-in with user name, password and API key.
    ///
    /// `cloud` is a name of zia-facts §1.2; `base_url` overrides its host: `https`, or `http` on
    /// loopback, without user, query or fragment; `/api/v1` is appended where it has no path.
    ///
    /// # Errors
    /// Names the setting, its environment name, that is missing or unusable.
    pub fn api_key(
        cloud: Option<&str>,
        base_url: Option<&str>,
        username: &str,
        password: SecretString,
        api_key: SecretString,
    ) -> Result<Self, SettingsError> {
        let known = cloud.map(|name| clouds::api_key(name).ok_or_else(unknown_cloud)).transpose()?;
        let base = match (base_url, known) {
            (Some(text), _) => place::base("ZIA_BASE_URL", text, "/api/v1")?,
            (None, Some((_, host))) => place::base("ZIA_CLOUD", &format!("https://{host}"), "/api/v1")?,
            (None, None) => return Err(unknown_cloud()),
        };
        let username = plain("ZIA_USERNAME", username)?;
        if password.expose_secret().is_empty() {
            return Err(SettingsError::new("ZIA_PASSWORD", "expected a password"));
        }
        let key = ApiKey::new(api_key)
            .map_err(|expected| SettingsError::new("ZIA_API_KEY", format!("expected {expected}")))?;
        let domain = username.rsplit('@').next().unwrap_or_default().to_lowercase();
        let cloud = known.filter(|_| base_url.is_none()).map(|(name, _)| name);
        Ok(Self::assemble(base, cloud, &domain, SignInSettings::ApiKey { username, password, key }))
    }

    /// Sign-in as a OneAPI client.
    ///
    /// `vanity` and `cloud` give both hosts (zia-facts §2); `base_url` and `token_url` override one
    /// each, under the rules of [`Settings::api_key`]. `audience` is left out of the token request
    /// when `None`; most tenants expect `https://api.zscaler.com`.
    ///
    /// # Errors
    /// Names the setting, its environment name, that is missing or unusable.
    pub fn oneapi(
        vanity: Option<&str>,
        cloud: Option<&str>,
        base_url: Option<&str>,
        token_url: Option<&str>,
        client_id: &str,
        credential: ClientCredential,
        audience: Option<&str>,
    ) -> Result<Self, SettingsError> {
        let known = clouds::oneapi(cloud).ok_or_else(|| {
            SettingsError::new("ZSCALER_CLOUD", format!("expected one of {}", clouds::oneapi_names()))
        })?;
        let vanity = vanity.map(label).transpose()?;
        let base = match base_url {
            Some(text) => place::base("ZIA_BASE_URL", text, "/zia/api/v1")?,
            None => place::base("ZSCALER_CLOUD", &format!("https://{}", known.api), "/zia/api/v1")?,
        };
        let token_url = match (token_url, &vanity) {
            (Some(text), _) => place::base("ZSCALER_TOKEN_URL", text, "/oauth2/v1/token")?,
            (None, Some(vanity)) => {
                let host = format!("https://{vanity}.{}", known.token_domain);
                place::base("ZSCALER_VANITY_DOMAIN", &host, "/oauth2/v1/token")?
            }
            (None, None) => return Err(bad_vanity()),
        };
        let client_id = plain("ZSCALER_CLIENT_ID", client_id)?;
        let credential = Credential::check(credential)?;
        let audience = audience.map(str::to_owned);
        let owner = vanity.unwrap_or_else(|| client_id.to_lowercase());
        let cloud = base_url.is_none().then_some(known.name);
        let sign_in = SignInSettings::OneApi { token_url, client_id, credential, audience };
        Ok(Self::assemble(base, cloud, &owner, sign_in))
    }

    fn assemble(base: Url, cloud: Option<&str>, owner: &str, sign_in: SignInSettings) -> Self {
        let host = place::host_and_port(&base);
        Self {
            tenant: format!("{host}/{owner}"),
            cloud: cloud.map_or(host, str::to_owned),
            base,
            sign_in,
            timeouts: Timeouts::default(),
            limits: Limits::documented(),
            jitter: Arc::new(rand::random::<f64>),
            extra_ca: Vec::new(),
            account: None,
        }
    }

    /// Replaces the time limits and pauses.
    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// Replaces the limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Counts every call on an account that others share, too.
    #[must_use]
    pub fn with_account(self, account: Arc<dyn CallAccount>) -> Self {
        Self { account: Some(account), ..self }
    }

    /// Trusts these root certificates too, PEM, such as the one of a proxy that inspects TLS.
    ///
    /// # Errors
    /// The text holds no certificate.
    pub fn with_extra_ca(self, pem: &str) -> Result<Self, SettingsError> {
        let extra_ca = Certificate::from_pem_bundle(pem.as_bytes()).unwrap_or_default();
        if extra_ca.is_empty() {
            return Err(SettingsError::new("[tenant] extra_ca_file", "expected certificates in PEM"));
        }
        Ok(Self { extra_ca, ..self })
    }

    /// Replaces the randomness of the pauses; it must give numbers from 0 to 1.
    #[must_use]
    pub fn with_jitter(self, jitter: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        Self { jitter: Arc::new(jitter), ..self }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let auth = self.sign_in.name();
        f.debug_struct("Settings")
            .field("base", &self.base.as_str())
            .field("auth", &auth)
            .finish_non_exhaustive()
    }
}

impl SignInSettings {
    /// `api_key` or `oneapi`.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::ApiKey { .. } => "api_key",
            Self::OneApi { .. } => "oneapi",
        }
    }
}

impl Credential {
    fn check(given: ClientCredential) -> Result<Self, SettingsError> {
        match given {
            ClientCredential::Secret(secret) if secret.expose_secret().is_empty() => {
                Err(SettingsError::new("ZSCALER_CLIENT_SECRET", "expected a client secret"))
            }
            ClientCredential::Secret(secret) => Ok(Self::Secret(secret)),
            ClientCredential::PrivateKey(pem) => {
                Signer::new(&pem).map(|signer| Self::Key(Arc::new(signer))).map_err(|expected| {
                    SettingsError::new("ZSCALER_PRIVATE_KEY", format!("expected {expected}"))
                })
            }
        }
    }
}

fn unknown_cloud() -> SettingsError {
    let problem = format!("expected one of {}; or set ZIA_BASE_URL", clouds::api_key_names());
    SettingsError::new("ZIA_CLOUD", problem)
}

fn bad_vanity() -> SettingsError {
    let problem =
        "expected the name before .zslogin.net: letters, digits and hyphens; or set ZSCALER_TOKEN_URL";
    SettingsError::new("ZSCALER_VANITY_DOMAIN", problem)
}

/// A host label in lower case.
fn label(text: &str) -> Result<String, SettingsError> {
    let fits = (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    fits.then(|| text.to_ascii_lowercase()).ok_or_else(bad_vanity)
}

/// A name without blanks or control characters.
fn plain(setting: &'static str, text: &str) -> Result<String, SettingsError> {
    let fits = !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    fits.then(|| text.to_owned())
        .ok_or_else(|| SettingsError::new(setting, "expected a name without blanks or control characters"))
}

#[cfg(test)]
mod tests;
