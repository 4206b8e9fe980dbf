//! Access tokens of an identity provider: JWTs as RFC 9068 has them.
//!
//! Signature, times, issuer and audience are `jsonwebtoken`'s to check; here is what it leaves open.
//! Nothing in a token decides where anything is fetched, or which algorithm counts.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Validation, decode};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::{
    HttpError,
    access::Denied,
    keys::{Keys, Miss},
    strict,
};
use crate::model::{Caller, Rights, Scope, Scopes, Source, unwritable};

/// A JSON object.
type Object = Map<String, Value>;

/// Largest token, in bytes.
const MAX: usize = 16 * 1024;

/// Longest subject, in characters (OpenID Connect Core §2).
const MAX_SUBJECT: usize = 255;

/// What clocks may differ, in seconds (guardrails T12).
const LEEWAY: u64 = 60;

/// Header fields by which a token would bring or name its own key.
const OWN_KEY: [&str; 4] = ["jku", "jwk", "x5c", "x5u"];

/// Claims of ID tokens, which are for the client and not for us.
const OF_ID_TOKENS: [&str; 4] = ["nonce", "at_hash", "c_hash", "s_hash"];

/// An identity provider whose access tokens let callers in.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its name, a URL, exactly as its tokens have it.
    pub url: String,
    /// What a token's audience has to be; the URL of `/mcp` by default.
    pub audience: Option<String>,
    /// Where its keys are; by default as its own document says.
    pub jwks_url: Option<String>,
    /// Signatures that count.
    pub algorithms: Vec<Algorithm>,
    /// Tokens of type `JWT`, or of none, count too.
    pub relaxed_type: bool,
    /// Root certificates to trust besides the system's, PEM.
    pub extra_ca: Option<String>,
    /// The least pause between two readings of its keys for the sake of an unknown one.
    pub refresh: Duration,
}

impl Issuer {
    /// Signatures that count where nothing else is set.
    pub const ALGORITHMS: [Algorithm; 4] =
        [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA];

    /// An issuer with the defaults.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            audience: None,
            jwks_url: None,
            algorithms: Self::ALGORITHMS.to_vec(),
            relaxed_type: false,
            extra_ca: None,
            refresh: Duration::from_secs(60),
        }
    }
}

/// An algorithm by its name, if it signs with a key pair.
pub fn algorithm(name: &str) -> Option<Algorithm> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let found: Algorithm = name.parse().ok()?;
    [ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512].contains(&found).then_some(found)
}

/// Checks access tokens of one issuer.
pub(super) struct Verifier {
    issuer: String,
    audience: String,
    algorithms: Vec<Algorithm>,
    relaxed: bool,
    keys: Arc<Keys>,
}

impl Verifier {
    pub(super) fn new(options: &Issuer, resource: &str) -> Result<Self, HttpError> {
        Ok(Self {
            issuer: options.url.clone(),
            audience: options.audience.clone().unwrap_or_else(|| resource.to_owned()),
            algorithms: options.algorithms.clone(),
            relaxed: options.relaxed_type,
            keys: Arc::new(Keys::new(options)?),
        })
    }

    /// The caller whom a token names.
    pub(super) async fn caller(&self, token: &str) -> Result<Caller, Denied> {
        let wrong = |why: &'static str| {
            tracing::debug!(http.refused = "token", why, "refused a request");
            Denied::Wrong
        };
        let (header, claims) = parts(token).map_err(wrong)?;
        let (alg, kid) = self.key_of(&header).map_err(wrong)?;
        // Before any key is looked for: what is not for us is no reason to ask anybody.
        let caller = self.read(&claims).map_err(wrong)?;
        let key = self.keys.find(kid, alg).await.map_err(|miss| match miss {
            Miss::Unknown => wrong("unknown key"),
            Miss::Unavailable => Denied::Later,
        })?;
        match decode::<IgnoredAny>(token, &key, &self.validation(alg)) {
            Ok(_) => Ok(caller),
            Err(error) => {
                tracing::debug!(http.refused = "token", %error, "refused a request");
                Err(Denied::Wrong)
            }
        }
    }

    fn validation(&self, alg: Algorithm) -> Validation {
        let mut validation = Validation::new(alg);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation
    }

    /// The algorithm and the name of the key, of a header that asks for nothing else.
    fn key_of<'a>(&self, header: &'a Object) -> Result<(Algorithm, &'a str), &'static str> {
        if OWN_KEY.iter().any(|name| header.contains_key(*name)) {
            return Err("the header brings a key of its own");
        }
        if header.contains_key("crit") {
            return Err("the header has critical parts");
        }
        let typ = header.get("typ").map(|typ| typ.as_str().unwrap_or("?").to_ascii_lowercase());
        match typ.as_deref() {
            Some("at+jwt" | "application/at+jwt") => {}
            None | Some("jwt") if self.relaxed => {}
            _ => return Err("not of the type at+jwt"),
        }
        let alg = header.get("alg").and_then(Value::as_str).and_then(algorithm);
        let alg =
            alg.filter(|alg| self.algorithms.contains(alg)).ok_or("an algorithm that does not count")?;
        let kid = header.get("kid").and_then(Value::as_str).ok_or("no key is named")?;
        Ok((alg, kid))
    }

    /// The caller of claims that are for us.
    fn read(&self, claims: &Object) -> Result<Caller, &'static str> {
        // A list of issuers would pass the library's check.
        if text(claims, "iss") != Some(&self.issuer) {
            return Err("another issuer");
        }
        let aud = claims.get("aud").ok_or("no audience")?;
        let ours = |aud: &Value| aud.as_str() == Some(&self.audience);
        if !ours(aud) && !aud.as_array().is_some_and(|all| all.iter().any(ours)) {
            return Err("another audience");
        }
        if OF_ID_TOKENS.iter().any(|name| claims.contains_key(*name)) {
            return Err("an ID token");
        }
        if claims.contains_key("cnf") {
            return Err("bound to a proof that is not checked here");
        }
        let client = ["client_id", "azp", "appid", "cid"].into_iter().find_map(|name| text(claims, name));
        if self.relaxed && aud.as_str().is_some_and(|aud| client == Some(aud)) {
            return Err("for the client itself, as an ID token is");
        }
        // Entra ID's ID tokens bear no other mark than that they name no client and grant no scope.
        if self.relaxed && client.is_none() && !grants(claims) {
            return Err("neither a client nor a scope, as in an ID token");
        }
        let name = text(claims, "sub").ok_or("no subject")?;
        let usable = (1..=MAX_SUBJECT).contains(&name.chars().count()) && unwritable(name).is_none();
        if !usable || name.trim() != name {
            return Err("a subject that cannot be shown");
        }
        let workload = is_workload(claims, name, client);
        let granted = scopes(claims);
        // A program approves nothing, whatever its token says (guardrails T22).
        let scopes = if workload { granted.without(Scope::Approve) } else { granted };
        let source = Source::Issuer(self.issuer.clone());
        Ok(Caller { name: name.to_owned(), rights: Rights { scopes, source, workload } })
    }
}

/// Header and claims of a token, not proven by anything yet.
fn parts(token: &str) -> Result<(Object, Object), &'static str> {
    if token.len() > MAX {
        return Err("above 16 KiB");
    }
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("no signed JWT");
    };
    let read = |part: &str| URL_SAFE_NO_PAD.decode(part).ok().and_then(|bytes| strict::object(&bytes));
    Ok((read(header).ok_or("unreadable header")?, read(claims).ok_or("unreadable claims")?))
}

fn text<'a>(claims: &'a Object, name: &str) -> Option<&'a str> {
    claims.get(name)?.as_str()
}

/// The words of a text or of a list.
fn words(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => text.split(' ').collect(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// What a token grants: `scope` of RFC 9068, `scp` of Entra ID and Okta, `roles` of Entra ID.
fn scopes(claims: &Object) -> Scopes {
    let all = ["scope", "scp", "roles"].into_iter().filter_map(|name| claims.get(name)).flat_map(words);
    all.filter_map(|word| word.parse::<Scope>().ok()).collect()
}

/// Whether a token says what a person lets its client do.
fn grants(claims: &Object) -> bool {
    ["scope", "scp"].iter().any(|name| claims.contains_key(*name))
}

/// Whether a token names a program: it stands for its own client, in the ways that providers say so.
fn is_workload(claims: &Object, subject: &str, client: Option<&str>) -> bool {
    // Keycloak writes names in lower case, whatever the client's.
    let service_account = client.map(|client| format!("service-account-{client}").to_lowercase());
    let user = text(claims, "preferred_username").map(str::to_lowercase);
    // Entra ID's optional `idtyp` aside, this is how it tells applications: roles, and nobody to delegate.
    let application = text(claims, "oid") == Some(subject) && claims.contains_key("roles") && !grants(claims);
    client == Some(subject)
        || text(claims, "idtyp") == Some("app")
        || text(claims, "gty") == Some("client-credentials")
        || application
        || (service_account.is_some() && service_account == user)
}
