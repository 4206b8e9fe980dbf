//! Sign-in as a OneAPI client.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use http::{StatusCode, header};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::{
    Deadline,
    endpoints::{Endpoint, Proof, Token, TokenRequest, Unreadable},
    error::{Phase, SignInProblem},
    fault::{Again, Fault},
    gate::{Credential, Life},
    line::Line,
    send::{Body, Broken, Prepared, Reply},
    session::{harmless, not_signed_in},
    settings,
};

/// The longest time before its end at which a token is no longer sent.
const MARGIN: Duration = Duration::from_secs(60);

/// What a client's sign-in needs.
pub(super) struct ClientSignOn {
    pub(super) token_url: Url,
    pub(super) client_id: String,
    pub(super) credential: settings::Credential,
    pub(super) audience: Option<String>,
    /// Some tenants answer 400 to any audience (zia-facts §2); then it is left out for good.
    pub(super) without_audience: AtomicBool,
}

impl ClientSignOn {
    /// Asks for a token once, and once more without the audience where that may be what is refused.
    pub(super) async fn sign_on(&self, line: &Line, until: Deadline) -> Result<Credential, Fault> {
        let audience = self.audience.as_deref().filter(|_| !self.without_audience.load(Ordering::Relaxed));
        let asked = Instant::now();
        let reply = self.ask(line, audience, until).await?;
        if audience.is_none() || !may_be_the_audience(&reply) {
            return credential(&reply, asked);
        }
        let asked = Instant::now();
        let bare = credential(&self.ask(line, None, until).await?, asked)?;
        self.without_audience.store(true, Ordering::Relaxed);
        Ok(bare)
    }

    async fn ask(&self, line: &Line, audience: Option<&str>, until: Deadline) -> Result<Reply, Fault> {
        let proof = match &self.credential {
            settings::Credential::Secret(secret) => Proof::Secret(secret),
            settings::Credential::Key(signer) => Proof::Assertion(
                signer
                    .assertion(&self.client_id, line.clock.now())
                    .ok_or_else(|| Fault::sign_in(SignInProblem::Refused))?,
            ),
        };
        let request = TokenRequest { client_id: &self.client_id, proof, audience };
        let body = Body { content_type: "application/x-www-form-urlencoded", bytes: request.body() };
        let prepared = Prepared {
            endpoint: Endpoint::Token,
            url: self.token_url.clone(),
            credential: None,
            body: Some(body),
        };
        line.exchange(prepared, None, until).await.map_err(harmless)
    }
}

/// A 400 that does not blame the client itself (zia-facts §2).
fn may_be_the_audience(reply: &Reply) -> bool {
    let fields = serde_json::from_slice::<Value>(&reply.body).unwrap_or_default();
    let error = fields.get("error").and_then(Value::as_str).unwrap_or_default();
    reply.status == StatusCode::BAD_REQUEST && !matches!(error, "invalid_client" | "unauthorized_client")
}

/// The token of a reply, to be used until shortly before it ends.
fn credential(reply: &Reply, asked: Instant) -> Result<Credential, Fault> {
    if !reply.status.is_success() {
        return Err(not_signed_in(reply));
    }
    let again = match (reply.broken, Token::read(&reply.body)) {
        (None, Ok(token)) => {
            let life = Life::Until(asked + token.lasts - MARGIN.min(token.lasts / 10));
            return Ok(Credential { header: (header::AUTHORIZATION, token.header), life });
        }
        (Some(Broken::Cut | Broken::Stalled), _) | (None, Err(Unreadable::Cut)) => Again::Soon,
        _ => Again::Never,
    };
    let phase = (again == Again::Soon).then_some(Phase::Body);
    Err(Fault { again, phase, request_id: reply.request_id(), ..Fault::garbled() })
}
