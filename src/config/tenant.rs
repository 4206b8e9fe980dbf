//! How to sign in to the tenant.

use secrecy::SecretString;

use super::reader::{Key, Reader};

/// The tenant and the credentials for it.
#[derive(Clone, Debug)]
pub enum Tenant {
    /// The tenant's API key and an administrator's password (zia-facts §1).
    ApiKey {
        /// The administrator's login name.
        username: String,
        /// Its password.
        password: SecretString,
        /// The tenant's API key, as the portal shows it.
        api_key: SecretString,
        /// The cloud's name, unchecked; given unless `base_url` is.
        cloud: Option<String>,
        /// Replaces the cloud's own URL.
        base_url: Option<String>,
    },
    /// OneAPI client credentials (zia-facts §2).
    OneApi {
        /// The tenant's vanity domain; given unless `token_url` is.
        vanity: Option<String>,
        /// The cloud's name, unchecked; the production cloud without one.
        cloud: Option<String>,
        /// Replaces the API's own URL.
        base_url: Option<String>,
        /// Replaces the token URL that follows from the vanity domain.
        token_url: Option<String>,
        /// The API client's id.
        client_id: String,
        /// What proves it.
        credential: Credential,
        /// The audience to ask for, where not the vendor's default.
        audience: Option<String>,
    },
}

/// What proves an API client.
#[derive(Clone, Debug)]
pub enum Credential {
    /// Its secret.
    Secret(SecretString),
    /// Its private key, PEM.
    PrivateKey(SecretString),
}

/// A setting's name in the environment, and in the file where it is no secret.
type Name = (&'static str, Option<Key>);

const USERNAME: Name = ("ZIA_USERNAME", Some(("tenant", "username")));
const PASSWORD: Name = ("ZIA_PASSWORD", None);
const API_KEY: Name = ("ZIA_API_KEY", None);
const CLIENT_ID: Name = ("ZSCALER_CLIENT_ID", Some(("tenant", "client_id")));
const CLIENT_SECRET: Name = ("ZSCALER_CLIENT_SECRET", None);
const PRIVATE_KEY: Name = ("ZSCALER_PRIVATE_KEY", None);
const VANITY: Name = ("ZSCALER_VANITY_DOMAIN", Some(("tenant", "vanity_domain")));
const TOKEN_URL: Name = ("ZSCALER_TOKEN_URL", Some(("tenant", "token_url")));
const CLOUD: Key = ("tenant", "cloud");
const BASE_URL: Name = ("ZIA_BASE_URL", Some(("tenant", "base_url")));

/// Reads the sign-in, of either kind; what is missing or contradictory is noted.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Tenant> {
    let any = |names: &[Name], reader: &Reader<'_>| names.iter().any(|(env, key)| reader.is_set(env, *key));
    let api_key = any(&[USERNAME, PASSWORD, API_KEY], reader);
    let one_api = any(&[CLIENT_ID, CLIENT_SECRET, PRIVATE_KEY, VANITY], reader);
    match (api_key, one_api) {
        (true, false) => read_api_key(reader),
        (false, true) => read_one_api(reader),
        (true, true) => {
            reader.problem(
                "ZIA_USERNAME, ZIA_PASSWORD, ZIA_API_KEY",
                "contradict ZSCALER_CLIENT_ID and its secret, key or vanity domain: \
                 set one kind of sign-in, not both",
            );
            None
        }
        (false, false) => {
            let places = reader.tenant_places();
            reader.problem(
                "sign-in",
                &format!(
                    "none is set; expected ZIA_USERNAME, ZIA_PASSWORD, ZIA_API_KEY and ZIA_CLOUD, or \
                     ZSCALER_CLIENT_ID, ZSCALER_CLIENT_SECRET (or ZSCALER_PRIVATE_KEY) and \
                     ZSCALER_VANITY_DOMAIN; looked in {places}. `--sandbox` needs none"
                ),
            );
            None
        }
    }
}

/// Collects what a sign-in lacks, to tell it in one message.
struct Missing<'r, 'a> {
    reader: &'r mut Reader<'a>,
    kind: &'static str,
    names: Vec<String>,
}

impl<'r, 'a> Missing<'r, 'a> {
    fn new(reader: &'r mut Reader<'a>, kind: &'static str) -> Self {
        Self { reader, kind, names: Vec::new() }
    }

    fn text(&mut self, (env, key): Name) -> Option<String> {
        self.need(env, key);
        self.reader.text(Some(env), key)
    }

    fn secret(&mut self, (env, _): Name) -> Option<SecretString> {
        self.need(env, None);
        self.reader.secret(env).map(SecretString::from)
    }

    fn need(&mut self, env: &str, key: Option<Key>) {
        if !self.reader.is_set(env, key) {
            let twin = match key {
                Some((section, key)) => format!("{env} (or [{section}] {key})"),
                None => format!("{env} (or {env}_FILE)"),
            };
            self.names.push(twin);
        }
    }

    fn note(self) {
        if !self.names.is_empty() {
            let places = self.reader.tenant_places();
            let what = format!("{} is incomplete; looked in {places}", self.kind);
            self.reader.problem(&format!("missing {}", self.names.join(", ")), &what);
        }
    }
}

fn read_api_key(reader: &mut Reader<'_>) -> Option<Tenant> {
    let cloud = reader.text(Some("ZIA_CLOUD"), Some(CLOUD));
    let base_url = reader.url(Some(BASE_URL.0), BASE_URL.1);
    let mut parts = Missing::new(reader, "the sign-in with an API key");
    let (username, password, api_key) = (parts.text(USERNAME), parts.secret(PASSWORD), parts.secret(API_KEY));
    if !parts.reader.is_set(BASE_URL.0, BASE_URL.1) && !parts.reader.is_set("ZIA_CLOUD", Some(CLOUD)) {
        parts.names.push("ZIA_CLOUD (or [tenant] cloud, or ZIA_BASE_URL)".into());
    }
    parts.note();
    Some(Tenant::ApiKey { username: username?, password: password?, api_key: api_key?, cloud, base_url })
}

fn read_one_api(reader: &mut Reader<'_>) -> Option<Tenant> {
    let cloud = reader.text(Some("ZSCALER_CLOUD"), Some(CLOUD));
    let base_url = reader.url(Some(BASE_URL.0), BASE_URL.1);
    let token_url = reader.url(Some(TOKEN_URL.0), TOKEN_URL.1);
    let vanity = reader.text(Some(VANITY.0), VANITY.1);
    let audience = reader.text(None, Some(("tenant", "audience")));
    let credential = credential(reader);
    let mut parts = Missing::new(reader, "the sign-in with OneAPI");
    let client_id = parts.text(CLIENT_ID);
    if !parts.reader.is_set(CLIENT_SECRET.0, None) && !parts.reader.is_set(PRIVATE_KEY.0, None) {
        parts.names.push("ZSCALER_CLIENT_SECRET or ZSCALER_PRIVATE_KEY (or either with _FILE)".into());
    }
    if !parts.reader.is_set(VANITY.0, VANITY.1) && !parts.reader.is_set(TOKEN_URL.0, TOKEN_URL.1) {
        parts.names.push("ZSCALER_VANITY_DOMAIN (or [tenant] vanity_domain, or ZSCALER_TOKEN_URL)".into());
    }
    parts.note();
    Some(Tenant::OneApi {
        vanity,
        cloud,
        base_url,
        token_url,
        client_id: client_id?,
        credential: credential?,
        audience,
    })
}

fn credential(reader: &mut Reader<'_>) -> Option<Credential> {
    let is_set = |reader: &Reader<'_>, (env, _): Name| reader.is_set(env, None);
    if is_set(reader, CLIENT_SECRET) && is_set(reader, PRIVATE_KEY) {
        reader.problem(CLIENT_SECRET.0, "contradicts ZSCALER_PRIVATE_KEY: set one of them, not both");
        return None;
    }
    if let Some(secret) = reader.secret(CLIENT_SECRET.0) {
        return Some(Credential::Secret(secret.into()));
    }
    reader.secret(PRIVATE_KEY.0).map(|key| Credential::PrivateKey(key.into()))
}
