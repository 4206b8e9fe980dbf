//! The configuration file: TOML with a fixed set of sections and keys.

use std::{
    fs::File,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

/// Every section with its keys.
const SCHEMA: [(&str, &[&str]); 7] = [
    (
        "tenant",
        &[
            "audience",
            "base_url",
            "client_id",
            "cloud",
            "extra_ca_file",
            "token_url",
            "username",
            "vanity_domain",
        ],
    ),
    (
        "policy",
        &[
            "callers",
            "max_deletes_per_day",
            "max_open",
            "max_users_per_operation",
            "protected",
            "protected_departments",
            "protected_groups",
            "two_person_threshold",
        ],
    ),
    (
        "approval",
        &[
            "acr",
            "amr",
            "ask_seconds",
            "client_id",
            "deprovision_user",
            "deprovision_users",
            "expires_minutes",
            "group",
            "group_claim",
            "issuer",
            "max_age_seconds",
            "provision_user",
            "publish_others",
            "restore_user",
            "same_person",
            "scopes",
            "update_user",
        ],
    ),
    ("provision", &["initial_password"]),
    (
        "http",
        &[
            "algorithms",
            "allowed_hosts",
            "allowed_origins",
            "audience",
            "behind_proxy",
            "client_ca",
            "issuer",
            "jwks_url",
            "public_url",
            "revoked",
            "tls_cert",
            "tls_key",
            "token_type",
            "tokens",
        ],
    ),
    ("store", &["capture_days", "checkpoint_file", "key_file", "state_dir"]),
    ("index", &["changes_days", "enabled", "share", "sweep_hours"]),
];

/// Keys that someone may expect in the file, though secrets are never read from it.
const SECRETS: [(&str, &str, &str); 7] = [
    ("approval", "client_secret", "ZIA_MCP_APPROVAL_CLIENT_SECRET"),
    ("tenant", "password", "ZIA_PASSWORD"),
    ("tenant", "api_key", "ZIA_API_KEY"),
    ("tenant", "client_secret", "ZSCALER_CLIENT_SECRET"),
    ("tenant", "private_key", "ZSCALER_PRIVATE_KEY"),
    ("http", "token", "ZIA_MCP_HTTP_TOKEN"),
    ("store", "database_url", "ZIA_MCP_DATABASE_URL"),
];

/// Largest file read, in bytes.
const MAX: u64 = 1024 * 1024;

/// A configuration file, or none.
#[derive(Debug, Default)]
pub(super) struct ConfigFile {
    pub(super) path: Option<PathBuf>,
    table: Table,
}

impl ConfigFile {
    /// Reads a file; the error is what is wrong, without its content.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = text(path)?;
        let table = text.parse::<Table>().map_err(|error| {
            // The message alone: the error's own text quotes the line, which may hold anything.
            let line = error
                .span()
                .map_or(1, |span| 1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count());
            format!("not valid TOML in line {line}")
        })?;
        Ok(Self { path: Some(path.to_owned()), table })
    }

    pub(super) fn get(&self, section: &str, key: &str) -> Option<&Value> {
        self.table.get(section)?.get(key)
    }

    /// What is in the file and should not be: the setting, and what to do.
    pub(super) fn unknown(&self) -> Vec<(String, String)> {
        self.table.iter().flat_map(|(section, value)| unknown_in(section, value)).collect()
    }
}

/// A file that only we or root can change; the error is what is wrong.
pub(super) fn text(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {}", error.kind());
    let file = File::open(path).map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    if !meta.is_file() {
        return Err("is no regular file".into());
    }
    // It sets what has to be approved and whom to trust, so whoever writes it decides.
    let us = rustix::process::geteuid().as_raw();
    if meta.mode() & 0o022 != 0 || (meta.uid() != us && meta.uid() != 0) {
        return Err("can be changed by other users; make it yours alone to write (chmod go-w)".into());
    }
    let mut text = String::new();
    file.take(MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX { Err("is above 1 MiB".into()) } else { Ok(text) }
}

fn unknown_in(section: &str, value: &Value) -> Vec<(String, String)> {
    let Some((_, keys)) = SCHEMA.iter().find(|(name, _)| *name == section) else {
        let names: Vec<_> = SCHEMA.iter().map(|(name, _)| format!("[{name}]")).collect();
        let nearest = nearest(&format!("[{section}]"), names.iter().map(String::as_str));
        return vec![(shown(section), format!("unknown section; the nearest known one is {nearest}"))];
    };
    let Value::Table(table) = value else {
        return vec![(shown(section), format!("expected a section, [{section}]"))];
    };
    let unknown = table.keys().filter(|key| !keys.contains(&key.as_str()));
    unknown.map(|key| (format!("[{section}] {}", shown(key)), advice(section, key, keys))).collect()
}

fn advice(section: &str, key: &str, keys: &[&str]) -> String {
    if let Some((.., env)) = SECRETS.iter().find(|(s, k, _)| *s == section && *k == key) {
        return format!("secrets are not read from this file; set {env} or {env}_FILE in the environment");
    }
    format!("unknown setting; the nearest known one is {}", nearest(key, keys.iter().copied()))
}

/// A name of the file, fit for one line of a message.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(60).flat_map(char::escape_default).collect()
}

/// The known name that is most like another.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> &'a str {
    known.into_iter().min_by_key(|candidate| strsim::damerau_levenshtein(name, candidate)).unwrap_or_default()
}
