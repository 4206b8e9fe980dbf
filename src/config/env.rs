//! The environment, as a value.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt,
};

/// Names that belong to this server; any other `ZIA_MCP_*` is a mistake.
pub(super) const OURS: [&str; 9] = [
    "ZIA_MCP_APPROVAL_CLIENT_SECRET",
    "ZIA_MCP_APPROVAL_CLIENT_SECRET_FILE",
    "ZIA_MCP_CONFIG",
    "ZIA_MCP_DATABASE_URL",
    "ZIA_MCP_DATABASE_URL_FILE",
    "ZIA_MCP_HTTP_TOKEN",
    "ZIA_MCP_HTTP_TOKEN_FILE",
    "ZIA_MCP_KEY_FILE",
    "ZIA_MCP_STATE_DIR",
];

/// What the environment holds, or what a test says it holds.
#[derive(Clone, Default)]
pub struct Env(BTreeMap<OsString, OsString>);

impl Env {
    /// The environment of this process.
    // The one place that reads it: everything else takes an `Env`.
    #[allow(clippy::disallowed_methods)]
    pub fn from_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// Names that start like ours and are none of ours.
    pub(super) fn unknown(&self) -> impl Iterator<Item = &str> {
        self.0
            .keys()
            .filter_map(|name| name.to_str())
            .filter(|name| name.starts_with("ZIA_MCP_") && !OURS.contains(name))
    }
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl fmt::Debug for Env {
    /// Shows the names alone: some values are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
