//! The HTTP server, and who may call it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use secrecy::SecretString;
use toml::Value;

use super::{Flags, reader::Reader};
use crate::{
    http::{Issuer, NamedToken, TlsFiles, algorithm},
    model::{Scope, Scopes},
};

/// Settings of the HTTP server.
#[derive(Clone, Debug, Default)]
pub struct Http {
    /// The bearer token, where the operator gave one.
    pub token: Option<SecretString>,
    /// Static tokens with names and scopes of their own.
    pub tokens: Vec<NamedToken>,
    /// Whose access tokens let callers in.
    pub issuer: Option<Issuer>,
    /// Callers who are let in no more, by name.
    pub revoked: BTreeSet<String>,
    /// `Host` values to accept besides the server's own.
    pub allowed_hosts: Vec<String>,
    /// `Origin` values to accept besides the server's own.
    pub allowed_origins: Vec<String>,
    /// The URL that clients use, where it is not the bound one.
    pub public_url: Option<String>,
    /// Certificate and key, to serve TLS.
    pub tls: Option<TlsFiles>,
    /// Certificates of those who sign client certificates.
    pub client_ca: Option<PathBuf>,
    /// A proxy in front ends TLS.
    pub behind_proxy: bool,
}

const TOKENS: &str = "[http] tokens";

/// The longest name of a token, in characters.
const MAX_NAME: usize = 64;

/// Names that the server gives to callers itself.
const OWN_NAMES: [&str; 2] = ["http", "local"];

pub(super) fn http(reader: &mut Reader<'_>, flags: &Flags, extra_ca: Option<&String>) -> Http {
    Http {
        token: reader.secret("ZIA_MCP_HTTP_TOKEN").map(SecretString::from),
        tokens: tokens(reader),
        issuer: issuer(reader, extra_ca),
        revoked: reader.texts("http", "revoked").into_iter().collect(),
        allowed_hosts: reader.texts("http", "allowed_hosts"),
        allowed_origins: reader.texts("http", "allowed_origins"),
        public_url: reader.url(None, Some(("http", "public_url"))),
        tls: tls(reader, flags),
        client_ca: reader.path(None, Some(("http", "client_ca"))),
        behind_proxy: reader.boolean("http", "behind_proxy").unwrap_or(false) || flags.behind_proxy,
    }
}

fn tls(reader: &mut Reader<'_>, flags: &Flags) -> Option<TlsFiles> {
    let cert = reader.path(None, Some(("http", "tls_cert")));
    let key = reader.path(None, Some(("http", "tls_key")));
    match (flags.tls_cert.clone().or(cert), flags.tls_key.clone().or(key)) {
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
    }
}

fn issuer(reader: &mut Reader<'_>, extra_ca: Option<&String>) -> Option<Issuer> {
    let url = reader.url(None, Some(("http", "issuer")));
    let audience = reader.text(None, Some(("http", "audience")));
    let jwks_url = reader.url(None, Some(("http", "jwks_url")));
    let named = reader.texts("http", "algorithms");
    let words = [("at+jwt", false), ("relaxed", true)];
    let relaxed_type = reader.choice(("http", "token_type"), &words);
    let algorithms: Vec<_> = named.iter().filter_map(|name| algorithm(name)).collect();
    if algorithms.len() < named.len() {
        let known = "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA";
        reader.problem("[http] algorithms", &format!("expected signatures by a key pair: some of {known}"));
    }
    let Some(url) = url else {
        let set = [("audience", audience.is_some()), ("jwks_url", jwks_url.is_some())];
        for (name, _) in set.into_iter().filter(|(_, is_set)| *is_set) {
            reader.problem(&format!("[http] {name}"), "needs [http] issuer, whose tokens it is about");
        }
        return None;
    };
    let mut issuer = Issuer { audience, jwks_url, ..Issuer::new(url) };
    issuer.relaxed_type = relaxed_type.unwrap_or(false);
    issuer.extra_ca = extra_ca.cloned();
    if !named.is_empty() {
        issuer.algorithms = algorithms;
    }
    Some(issuer)
}

fn tokens(reader: &mut Reader<'_>) -> Vec<NamedToken> {
    let entries = match reader.value("http", "tokens") {
        None => return Vec::new(),
        Some(Value::Array(entries)) => entries.clone(),
        Some(_) => {
            reader.problem(TOKENS, "expected entries, [[http.tokens]] each");
            return Vec::new();
        }
    };
    let mut digests = BTreeMap::new();
    let mut tokens = Vec::<NamedToken>::new();
    for (n, entry) in entries.iter().enumerate() {
        match token(entry) {
            Ok(token) if tokens.iter().any(|other| other.name == token.name) => {
                reader.problem(&shown(&token.name), "two tokens have this name");
            }
            Ok(token) => {
                if let Some(other) = digests.insert(token.sha256, token.name.clone()) {
                    reader.problem(&shown(&token.name), &format!("the same token as {other:?}"));
                }
                tokens.push(token);
            }
            Err((Some(name), what)) => reader.problem(&shown(&name), &what),
            Err((None, what)) => reader.problem(&format!("{TOKENS}, entry {}", n + 1), &what),
        }
    }
    tokens
}

fn shown(name: &str) -> String {
    format!("{TOKENS}, {name:?}")
}

/// Refuses a name that no named token can have; the error says why.
///
/// # Errors
/// What is wrong with it.
pub fn check_token_name(name: &str) -> Result<(), &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    if !(1..=MAX_NAME).contains(&name.chars().count()) || !name.chars().all(plain) {
        return Err("a name has 1 to 64 letters, digits and -_.@");
    }
    if OWN_NAMES.contains(&name) {
        return Err("the server gives the names \"http\" and \"local\" to callers itself; choose another");
    }
    Ok(())
}

/// Reads an entry; the error is its name, if it has one, and what is wrong with it.
fn token(entry: &Value) -> Result<NamedToken, (Option<String>, String)> {
    let unnamed = |what: &str| (None, what.to_owned());
    let table = entry.as_table().ok_or_else(|| unnamed("expected name, sha256 and scopes"))?;
    let name = table.get("name").and_then(Value::as_str).ok_or_else(|| unnamed("has no name"))?;
    check_token_name(name).map_err(unnamed)?;
    let wrong = |what: String| (Some(name.to_owned()), what);
    let known = ["name", "scopes", "sha256", "workload"];
    if let Some(other) = table.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(wrong(format!(
            "no setting of a token: {:?}; there are {}",
            clip(other),
            known.join(", ")
        )));
    }
    let hex = table.get("sha256").and_then(Value::as_str).and_then(digest);
    let sha256 = hex.ok_or_else(|| wrong("sha256 is no SHA-256 in 64 hexadecimal digits".into()))?;
    let workload = match table.get("workload") {
        None => true,
        Some(value) => value.as_bool().ok_or_else(|| wrong("workload is neither true nor false".into()))?,
    };
    let scopes = scopes(table.get("scopes")).map_err(wrong)?;
    if workload && scopes.contains(Scope::Approve) {
        return Err(wrong("zia.approve is for people: a program approves nothing (workload = false)".into()));
    }
    Ok(NamedToken { name: name.to_owned(), sha256, scopes, workload })
}

fn scopes(value: Option<&Value>) -> Result<Scopes, String> {
    let known = || Scope::ALL.map(Scope::as_str).join(", ");
    let list = value.and_then(Value::as_array).filter(|list| !list.is_empty());
    let list = list.ok_or_else(|| format!("scopes is no list of some of {}", known()))?;
    list.iter()
        .map(|item| {
            let text = item.as_str().unwrap_or_default();
            text.parse::<Scope>()
                .map_err(|()| format!("no such scope: {:?}; there are {}", clip(text), known()))
        })
        .collect()
}

fn clip(text: &str) -> String {
    text.chars().take(60).collect()
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * n..2 * n + 2)?, 16).ok()?;
    }
    Some(bytes)
}
