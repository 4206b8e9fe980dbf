//! What callers are told who may not come in, or not so far (RFC 6750, RFC 9728).

use axum::{
    Json, Router,
    http::{StatusCode, header::WWW_AUTHENTICATE},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;

use super::{access::Denied, guard::busy};
use crate::{
    model::{Scope, Scopes},
    telemetry::meter,
};

/// Where the metadata of `/mcp` is; the second for clients that leave the path out.
const METADATA: &str = "/.well-known/oauth-protected-resource/mcp";
const METADATA_OF_HOST: &str = "/.well-known/oauth-protected-resource";

/// How this server asks for tokens.
#[derive(Clone, Debug)]
pub(super) struct Challenges {
    resource: String,
    metadata: String,
    /// Who gives tokens; without one there is nothing that a client could do by itself.
    issuer: Option<String>,
}

impl Challenges {
    /// `public` is the server's URL without a path.
    pub(super) fn new(public: &str, issuer: Option<String>) -> Self {
        Self { resource: format!("{public}/mcp"), metadata: format!("{public}{METADATA}"), issuer }
    }

    /// The metadata pages, where there is an issuer to name.
    pub(super) fn router(&self) -> Router {
        let Some(issuer) = &self.issuer else { return Router::new() };
        let names: Vec<_> = Scope::ALL.into_iter().map(Scope::as_str).collect();
        let metadata = json!({
            "resource": self.resource,
            "authorization_servers": [issuer],
            "scopes_supported": names,
            "bearer_methods_supported": ["header"],
            "resource_name": "zia-mcp",
        });
        let page = move || std::future::ready(Json(metadata.clone()));
        Router::new().route(METADATA, get(page.clone())).route(METADATA_OF_HOST, get(page))
    }

    /// The answer to somebody who is not let in.
    pub(super) fn denied(&self, denied: Denied) -> Response {
        let first = Scopes::default().with(Scope::UsersRead);
        match denied {
            Denied::Nothing => self.unauthorized(&self.parameters(None, self.issuer.as_ref().map(|_| first))),
            Denied::Wrong => {
                let scopes = self.issuer.as_ref().map(|_| first);
                self.unauthorized(&self.parameters(Some("invalid_token"), scopes))
            }
            Denied::Later => {
                busy("the identity provider's keys cannot be read at the moment", "provider_keys")
            }
        }
    }

    fn unauthorized(&self, parameters: &str) -> Response {
        meter::http_refused("token");
        let text = "a bearer token is needed";
        let challenge = [(WWW_AUTHENTICATE, format!("Bearer{parameters}"))];
        (StatusCode::UNAUTHORIZED, challenge, text).into_response()
    }

    /// The answer to a caller who would need all of these scopes.
    pub(super) fn insufficient(&self, needed: Scopes) -> Response {
        meter::http_refused("scope");
        let parameters = self.parameters(Some("insufficient_scope"), Some(needed));
        let challenge = [(WWW_AUTHENTICATE, format!("Bearer{parameters}"))];
        (StatusCode::FORBIDDEN, challenge, format!("this needs the scopes {needed}")).into_response()
    }

    fn parameters(&self, error: Option<&str>, scopes: Option<Scopes>) -> String {
        let metadata = self.issuer.as_ref().map(|_| format!("resource_metadata=\"{}\"", self.metadata));
        let error = error.map(|error| format!("error=\"{error}\""));
        let scope = scopes.map(|scopes| format!("scope=\"{scopes}\""));
        let all: Vec<_> = [error, scope, metadata].into_iter().flatten().collect();
        if all.is_empty() { String::new() } else { format!(" {}", all.join(", ")) }
    }
}
