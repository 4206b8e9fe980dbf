//! Sign-in with the API key.

use std::time::Duration;

use http::header;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{
    Deadline,
    api_key::ApiKey,
    endpoints::{Endpoint, SignIn, SignedIn},
    fault::{Again, Fault},
    gate::{Credential, Life},
    line::Line,
    outcome::{Meaning, sign_in_refusal},
    send::{Body, Prepared, Reply},
};

/// ZIA ends a session after 5 minutes without use (zia-facts §1.3).
const IDLE: Duration = Duration::from_secs(4 * 60 + 30);

/// What an API-key sign-in needs.
pub(super) struct ApiKeySignOn {
    pub(super) url: Url,
    pub(super) username: String,
    pub(super) password: SecretString,
    pub(super) key: ApiKey,
}

impl ApiKeySignOn {
    /// Signs in once; never repeats a refusal.
    pub(super) async fn sign_on(&self, line: &Line, until: Deadline) -> Result<Credential, Fault> {
        let sign_in = SignIn {
            username: &self.username,
            password: self.password.expose_secret(),
            key: self.key.obfuscate(line.clock.now()),
        };
        let bytes = sign_in.body().ok_or_else(Fault::refused)?;
        let body = Body { content_type: "application/json", bytes };
        let prepared = Prepared {
            endpoint: Endpoint::SignIn,
            url: self.url.clone(),
            credential: None,
            body: Some(body),
        };
        let reply = line.exchange(prepared, None, until).await.map_err(harmless)?;
        match SignIn::read(&reply.headers, &reply.body) {
            SignedIn::As(cookie) => {
                Ok(Credential { header: (header::COOKIE, cookie), life: Life::Idle(IDLE) })
            }
            SignedIn::WithoutCookie => Err(Fault { request_id: reply.request_id(), ..Fault::garbled() }),
            SignedIn::No => Err(not_signed_in(&reply)),
        }
    }
}

/// A sign-in changes nothing in the tenant, so a lost one may be repeated.
pub(super) fn harmless(fault: Fault) -> Fault {
    Fault { landed: super::error::Landed::No, ..fault }
}

/// What a reply that signed nobody in means; refused credentials are never tried again.
pub(super) fn not_signed_in(reply: &Reply) -> Fault {
    let refusal = sign_in_refusal(reply);
    let is_final = refusal.meaning == Meaning::SessionLost;
    let fault = refusal.fault(reply, false);
    if is_final { Fault { again: Again::Never, ..fault } } else { fault }
}
