//! Who may come in: the one static token, named tokens, access tokens of an identity provider.

use std::collections::BTreeSet;

use axum::http::{HeaderMap, header::AUTHORIZATION};

use super::{HttpError, HttpOptions, jwt::Verifier, token::Token};
use crate::model::{Caller, Rights, Scopes, Source};

/// A static token of the settings, known by its digest alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedToken {
    /// The caller's name.
    pub name: String,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
    /// What it grants.
    pub scopes: Scopes,
    /// A program holds it, not a person.
    pub workload: bool,
}

/// Why a request is let in no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// It shows no credentials.
    Nothing,
    /// What it shows is nothing that counts.
    Wrong,
    /// The provider's keys cannot be had, so that nothing can be told.
    Later,
}

/// Everything that lets somebody in.
pub(super) struct Access {
    tokens: Vec<(Token, Caller)>,
    verifier: Option<Verifier>,
    revoked: BTreeSet<String>,
}

impl Access {
    /// What the options let in; `resource` is the URL of `/mcp` as clients know it.
    pub(super) fn new(options: &HttpOptions, resource: &str) -> Result<Self, HttpError> {
        let own = options.token.iter().map(|token| {
            let caller = Caller { name: options.caller.clone(), rights: Rights::default() };
            (Token::new(token), caller)
        });
        let named = options.tokens.iter().map(|named| {
            let rights = Rights { scopes: named.scopes, source: Source::Named, workload: named.workload };
            (Token::of_digest(named.sha256), Caller { name: named.name.clone(), rights })
        });
        let tokens: Vec<_> = own.chain(named).collect();
        let issuer = options.issuer.as_ref();
        let verifier = issuer.map(|issuer| Verifier::new(issuer, resource)).transpose()?;
        Ok(Self { tokens, verifier, revoked: options.revoked.clone() })
    }

    /// The caller behind a request.
    pub(super) async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Denied> {
        let shown = shown(headers)?;
        let caller = match self.known(shown) {
            Some(caller) => caller,
            None => self.proven(shown).await?,
        };
        if self.revoked.contains(&caller.name) {
            tracing::info!(http.refused = "revoked", "refused a caller whose rights were taken away");
            return Err(Denied::Wrong);
        }
        Ok(caller)
    }

    /// The holder of a static token; each one is compared, so that the time tells nothing.
    fn known(&self, shown: &str) -> Option<Caller> {
        let digest = Token::digest(shown);
        let all = self.tokens.iter();
        let found = all.fold(None, |found, (token, own)| if token.is(&digest) { Some(own) } else { found });
        found.cloned()
    }

    async fn proven(&self, shown: &str) -> Result<Caller, Denied> {
        let verifier = self.verifier.as_ref().ok_or(Denied::Wrong)?;
        let caller = verifier.caller(shown).await?;
        // A provider's subject must not pass for a caller that the settings or the server name.
        let taken = caller.name == "local"
            || caller.name == "http"
            || self.tokens.iter().any(|(_, own)| own.name == caller.name);
        if taken { Err(Denied::Wrong) } else { Ok(caller) }
    }
}

/// The one bearer token of a request.
fn shown(headers: &HeaderMap) -> Result<&str, Denied> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => value,
        (None, _) => return Err(Denied::Nothing),
        (Some(_), Some(_)) => return Err(Denied::Wrong),
    };
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(Denied::Wrong)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim_start_matches(' ')) } else { Err(Denied::Wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Scope;

    async fn check(options: &HttpOptions, values: &[&str]) -> Result<Caller, Denied> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        Access::new(options, "http://127.0.0.1:1/mcp").unwrap().caller(&headers).await
    }

    fn named(name: &str, token: &str) -> NamedToken {
        let scopes = [Scope::UsersRead].into_iter().collect();
        NamedToken { name: name.into(), sha256: Token::digest(token), scopes, workload: true }
    }

    #[tokio::test]
    async fn only_the_one_token_passes() {
        let options = HttpOptions::new("s3cret".into(), "http");
        for good in ["Bearer s3cret", "bearer s3cret", "BEARER  s3cret"] {
            assert_eq!(check(&options, &[good]).await.map(|c| c.name), Ok("http".into()), "{good}");
        }
        for bad in
            ["Bearer s3cre", "Bearer s3crett", "Bearer S3cret", "Bearer", "Basic s3cret", "s3cret", "Bearer "]
        {
            assert_eq!(check(&options, &[bad]).await, Err(Denied::Wrong), "{bad}");
        }
        assert_eq!(check(&options, &["Bearer s3cret", "Bearer s3cret"]).await, Err(Denied::Wrong));
        assert_eq!(check(&options, &[]).await, Err(Denied::Nothing));
    }

    #[tokio::test]
    async fn a_named_token_is_its_own_caller_with_its_own_scopes() {
        let mut options = HttpOptions::new("s3cret".into(), "http");
        options.tokens = vec![named("chatops", "first"), named("reports", "second")];
        let caller = check(&options, &["Bearer second"]).await.unwrap();
        assert_eq!((caller.name.as_str(), caller.rights.source), ("reports", Source::Named));
        assert!(caller.rights.workload && caller.rights.scopes.to_string() == "zia.users.read");
        options.token = None;
        assert_eq!(check(&options, &["Bearer s3cret"]).await, Err(Denied::Wrong));
        options.revoked = ["chatops".to_owned()].into();
        assert_eq!(check(&options, &["Bearer first"]).await, Err(Denied::Wrong));
        assert!(check(&options, &["Bearer second"]).await.is_ok());
    }
}
