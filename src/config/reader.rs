//! Reads single settings and notes what is wrong with them.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use toml::Value;
use url::Url;

use super::{
    env::{self, Env},
    error::ConfigError,
    file::{self, ConfigFile, nearest},
};
use crate::{model::is_loopback, private_file, store::DatabaseUrl};

/// A key of the file: section and name.
pub(super) type Key = (&'static str, &'static str);

/// The sources of settings, and the problems so far.
pub(super) struct Reader<'a> {
    env: &'a Env,
    file: ConfigFile,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn open(env: &'a Env, config: Option<&Path>) -> Self {
        let mut reader = Self { env, file: ConfigFile::default(), problems: Vec::new() };
        let (name, path) = match config {
            Some(path) => ("--config", Some(path.to_owned())),
            None => ("ZIA_MCP_CONFIG", reader.path(Some("ZIA_MCP_CONFIG"), None)),
        };
        if let Some(path) = path {
            match ConfigFile::read(&path) {
                Ok(file) => reader.file = file,
                Err(what) => reader.problem(name, &format!("{} {what}", path.display())),
            }
        }
        reader
    }

    pub(super) fn problem(&mut self, setting: &str, what: &str) {
        self.problems.push(format!("{setting}: {what}"));
    }

    fn wrong(&mut self, (section, key): Key, expected: &str) {
        let place = self.file_name();
        self.problem(&format!("[{section}] {key}"), &format!("expected {expected}, in {place}"));
    }

    fn file_name(&self) -> String {
        self.file.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
    }

    /// Where the tenant's settings were looked for.
    pub(super) fn tenant_places(&self) -> String {
        match self.file.path {
            Some(_) => format!("the environment and [tenant] in {}", self.file_name()),
            None => "the environment (no configuration file was given)".into(),
        }
    }

    pub(super) fn refuse_unknown(&mut self) {
        let names: Vec<_> = self.env.unknown().map(str::to_owned).collect();
        for name in names {
            let nearest = nearest(&name, env::OURS);
            self.problem(
                &name,
                &format!("unknown setting in the environment; the nearest known one is {nearest}"),
            );
        }
        let place = self.file_name();
        for (setting, what) in self.file.unknown() {
            self.problem(&setting, &format!("{what} (in {place})"));
        }
    }

    /// The address of a database; a secret, since a password may be in it.
    pub(super) fn database(&mut self) -> Option<DatabaseUrl> {
        let text = self.secret("ZIA_MCP_DATABASE_URL")?;
        text.parse().map_err(|why| self.problem("ZIA_MCP_DATABASE_URL", why)).ok()
    }

    /// Whether a setting is there at all, as value or as file.
    pub(super) fn is_set(&self, env: &str, key: Option<Key>) -> bool {
        self.env.get(env).is_some()
            || self.env.get(&format!("{env}_FILE")).is_some()
            || key.is_some_and(|(section, key)| self.file.get(section, key).is_some())
    }

    fn env_text(&mut self, name: &str) -> Option<String> {
        let value = self.env.get(name)?;
        match value.to_str() {
            Some(text) if text.trim().is_empty() => {
                self.problem(name, "set but empty in the environment; give it a value or unset it");
                None
            }
            Some(text) => Some(text.to_owned()),
            None => {
                self.problem(name, "not UTF-8 text, in the environment");
                None
            }
        }
    }

    /// A text that is no secret.
    pub(super) fn text(&mut self, env: Option<&str>, key: Option<Key>) -> Option<String> {
        if let Some(name) = env
            && self.env.get(name).is_some()
        {
            return self.env_text(name);
        }
        let (section, name) = key?;
        match self.file.get(section, name)? {
            Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
            _ => {
                self.wrong((section, name), "a text that is not empty");
                None
            }
        }
    }

    pub(super) fn path(&mut self, env: Option<&str>, key: Option<Key>) -> Option<PathBuf> {
        self.text(env, key).map(PathBuf::from)
    }

    /// What the file that a key names holds; others must not be able to change it.
    pub(super) fn file_text(&mut self, key: Key) -> Option<String> {
        let path = self.path(None, Some(key))?;
        match file::text(&path) {
            Ok(text) => Some(text),
            Err(what) => {
                self.problem(&format!("[{}] {}", key.0, key.1), &format!("{} {what}", path.display()));
                None
            }
        }
    }

    /// A secret, from the environment or from the file that `NAME_FILE` names.
    pub(super) fn secret(&mut self, name: &str) -> Option<String> {
        let file_name = format!("{name}_FILE");
        match (self.env.get(name).is_some(), self.env.get(&file_name).is_some()) {
            (false, false) => None,
            (true, false) => self.env_text(name),
            (false, true) => self.secret_file(&file_name),
            (true, true) => {
                self.problem(name, &format!("contradicts {file_name}: set one of them, not both"));
                None
            }
        }
    }

    /// A setting of another standard than ours, where an empty text means that it is not set.
    pub(super) fn standard(&mut self, name: &str) -> Option<String> {
        let is_empty = |value: &std::ffi::OsStr| value.to_str().is_some_and(|text| text.trim().is_empty());
        if self.env.get(name).is_none_or(is_empty) {
            return None;
        }
        self.env_text(name).map(|text| text.trim().to_owned())
    }

    /// The same of a secret, which may be in the file that `NAME_FILE` names.
    pub(super) fn standard_secret(&mut self, name: &str) -> Option<String> {
        let file_name = format!("{name}_FILE");
        if self.env.get(&file_name).is_some() { self.secret(name) } else { self.standard(name) }
    }

    fn secret_file(&mut self, name: &str) -> Option<String> {
        let path = self.env_text(name)?;
        match private_file::read(Path::new(&path)) {
            Ok(text) => Some(text.as_str().to_owned()),
            Err(error) => {
                self.problem(name, &format!("{error} ({path})"));
                None
            }
        }
    }

    /// An `https://` URL, or `http://` on loopback.
    pub(super) fn url(&mut self, env: Option<&str>, key: Option<Key>) -> Option<String> {
        let text = self.text(env, key)?;
        let shown = match (env, key) {
            (Some(name), _) if self.env.get(name).is_some() => name.to_owned(),
            (_, Some((section, name))) => format!("[{section}] {name}"),
            (name, None) => name.unwrap_or_default().to_owned(),
        };
        if let Some(wrong) = url_fault(&text) {
            self.problem(&shown, wrong);
            return None;
        }
        Some(text)
    }

    pub(super) fn texts(&mut self, section: &'static str, key: &'static str) -> Vec<String> {
        let Some(value) = self.file.get(section, key) else { return Vec::new() };
        texts_of(value).unwrap_or_else(|| {
            self.wrong((section, key), "a list of texts that are not empty");
            Vec::new()
        })
    }

    /// What the file says, as it stands there.
    pub(super) fn value(&self, section: &str, key: &str) -> Option<&Value> {
        self.file.get(section, key)
    }

    pub(super) fn boolean(&mut self, section: &'static str, key: &'static str) -> Option<bool> {
        let value = self.file.get(section, key)?.as_bool();
        if value.is_none() {
            self.wrong((section, key), "true or false");
        }
        value
    }

    /// A whole number within a range, or the default.
    pub(super) fn number(&mut self, key: Key, range: RangeInclusive<u32>, default: u32) -> u32 {
        self.number_if_set(key, range).unwrap_or(default)
    }

    /// A whole number within a range, if there is one.
    pub(super) fn number_if_set(&mut self, key: Key, range: RangeInclusive<u32>) -> Option<u32> {
        let value = self.file.get(key.0, key.1)?;
        let number = value.as_integer().and_then(|n| u32::try_from(n).ok()).filter(|n| range.contains(n));
        if number.is_none() {
            self.wrong(key, &format!("a whole number from {} to {}", range.start(), range.end()));
        }
        number
    }

    /// A share from 0.01 to 0.9, in whole percent, or the default.
    pub(super) fn percent(&mut self, key: Key, default: u32) -> u32 {
        let Some(value) = self.file.get(key.0, key.1) else { return default };
        let percent =
            value.as_float().and_then(|share| (1..=90).find(|n| (share * 100.0 - f64::from(*n)).abs() < 0.5));
        percent.unwrap_or_else(|| {
            self.wrong(key, "a share from 0.01 to 0.9");
            default
        })
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, key: Key, words: &[(&str, T)]) -> Option<T> {
        let value = self.file.get(key.0, key.1)?.as_str();
        let found = value.and_then(|word| words.iter().find(|(known, _)| *known == word));
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            self.wrong(key, &known.join(" or "));
        }
        found.map(|(_, choice)| *choice)
    }

    pub(super) fn finish<T>(self, value: T) -> Result<T, ConfigError> {
        if self.problems.is_empty() { Ok(value) } else { Err(ConfigError::new(self.problems)) }
    }
}

/// A list of texts that are not empty, if a value is one.
pub(super) fn texts_of(value: &Value) -> Option<Vec<String>> {
    let texts = value.as_array()?.iter();
    texts.map(|item| item.as_str().filter(|t| !t.trim().is_empty()).map(str::to_owned)).collect()
}

fn url_fault(text: &str) -> Option<&'static str> {
    let Ok(url) = Url::parse(text) else { return Some("expected a URL such as https://host") };
    if !url.has_host() {
        Some("expected a URL with a host")
    } else if !url.username().is_empty() || url.password().is_some() {
        Some("a URL here holds no user name or password")
    } else if url.query().is_some() || url.fragment().is_some() {
        Some("a URL here has no query and no fragment")
    } else if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
        Some("expected an https:// URL; http:// is for loopback only")
    } else {
        None
    }
}
