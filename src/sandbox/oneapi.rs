//! OneAPI: the token endpoint, bearer tokens and the gateway.

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::header;
use base64::{Engine, prelude::BASE64_STANDARD};
use percent_encoding::percent_decode_str;
use rand::rngs::StdRng;
use serde_json::json;

use super::assertion::{self, AUDIENCE};
use super::call::{Call, Door};
use super::clock::millis;
use super::faults::Fault;
use super::replies::{Content, Reply};
use super::tenant::Tenant;
use super::{Endpoint, credentials};

/// What the gateway lets through per minute and tenant (zia-facts §2).
const GATEWAY_LIMIT: u64 = 5_000;

/// The kind of `client_assertion` that the token endpoint takes (zia-facts §2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The tokens that were issued, and the gateway's count.
#[derive(Default)]
pub(super) struct Tokens {
    issued: HashMap<String, Token>,
    minute: i64,
    calls_this_minute: u64,
}

struct Token {
    client: Arc<str>,
    expires_ms: i64,
    last_call_ms: i64,
    /// Its staged changes went live for idleness already.
    idle: bool,
}

impl Tokens {
    pub(super) fn take(&mut self, token: &str) -> Option<Arc<str>> {
        self.issued.remove(token).map(|token| token.client)
    }

    pub(super) fn take_all(&mut self) -> Vec<Arc<str>> {
        self.issued.drain().map(|(_, token)| token.client).collect()
    }

    /// The clients that have become idle since this was last asked.
    pub(super) fn newly_idle(&mut self, idle_since: i64) -> Vec<Arc<str>> {
        let newly = self.issued.values_mut().filter(|token| !token.idle && token.last_call_ms <= idle_since);
        let publish = |token: &mut Token| {
            token.idle = true;
            Arc::clone(&token.client)
        };
        newly.map(publish).collect()
    }

    pub(super) fn forget_expired(&mut self, now: i64) {
        self.issued.retain(|_, token| token.expires_ms > now);
    }

    pub(super) fn len(&self) -> usize {
        self.issued.len()
    }
}

impl Tenant {
    /// The client whose token the call bears.
    pub(super) fn token_client(&mut self, call: &Call) -> Option<Arc<str>> {
        let now = self.now_ms();
        let token = self.tokens.issued.get_mut(call.bearer()?)?;
        (token.last_call_ms, token.idle) = (now, false);
        Some(Arc::clone(&token.client))
    }

    /// Answers `POST /oauth2/v1/token` (zia-facts §2).
    pub(super) fn issue_token(&mut self, call: &Call) -> Reply {
        let form = Form::read(&call.body);
        let reply = match self.check_client(call, &form) {
            Ok(()) => self.token_reply(),
            Err((error, note)) => {
                let body =
                    json!({"error": error, "error_description": "the client could not be authenticated"});
                Reply { status: 400, note: Some(note), ..Reply::json(body) }
            }
        };
        reply
            .header("cache-control", "no-cache, no-store, max-age=0, must-revalidate")
            .header("pragma", "no-cache")
            .header("x-ratelimit-limit", "500, 500;w=1, 100000;w=60")
            .header("x-ratelimit-remaining", "499")
            .header("x-ratelimit-reset", "1")
    }

    fn check_client(&mut self, call: &Call, form: &Form) -> Result<(), (&'static str, &'static str)> {
        if form.get("grant_type") != Some("client_credentials") {
            return Err(("unsupported_grant_type", "grant_type is not client_credentials"));
        }
        match form.get("audience") {
            Some(_) if self.faults.strikes(Endpoint::Token, &Fault::AudienceRefused) => {
                return Err(("invalid_request", "this tenant takes no audience"));
            }
            Some(audience) if audience != AUDIENCE => {
                return Err(("invalid_request", "the audience is another"));
            }
            _ => {}
        }
        self.prove_client(call, form).map_err(|note| ("invalid_client", note))
    }

    /// The client shows its secret in the form or as HTTP Basic, or signs an assertion.
    fn prove_client(&self, call: &Call, form: &Form) -> Result<(), &'static str> {
        let known = &self.credentials;
        if let Some(assertion) = form.get("client_assertion") {
            if form.get("client_assertion_type") != Some(JWT_BEARER) {
                return Err("client_assertion_type is another");
            }
            let key =
                self.options.client_key.as_deref().ok_or("the tenant knows no public key of the client")?;
            return assertion::verify(assertion, key, &known.client_id, self.told_ms() / 1000);
        }
        let basic = call.header(header::AUTHORIZATION).and_then(basic);
        let shown =
            basic.or_else(|| Some((form.get("client_id")?.into(), form.get("client_secret")?.into())));
        let (id, secret) = shown.ok_or("neither a secret nor an assertion")?;
        match (id == known.client_id, secret == known.client_secret) {
            (true, true) => Ok(()),
            (false, _) => Err("no such client"),
            (true, false) => Err("the client secret is wrong"),
        }
    }

    fn token_reply(&mut self) -> Reply {
        let token = credentials::text(&mut rand::make_rng::<StdRng>(), 64);
        let now = self.now_ms();
        let issued = Token {
            client: self.credentials.client_id.as_str().into(),
            expires_ms: now.saturating_add(millis(self.options.token_lifetime)),
            last_call_ms: now,
            idle: false,
        };
        self.tokens.issued.insert(token.clone(), issued);
        let lifetime = self.options.token_lifetime.as_secs();
        Reply::json(json!({"access_token": token, "token_type": "Bearer", "expires_in": lifetime}))
    }

    /// The gateway's own refusal of a token it does not know, as recorded (zia-facts §2).
    pub(super) fn gateway_refused() -> Reply {
        let body = json!({"detail": "unauthorized", "type": "", "title": "", "status": ""});
        Reply { from_gateway: true, ..Reply::new(401, Content::Json(body)) }
    }

    /// Adds what the vendor puts into the head of every reply (zia-facts §2).
    pub(super) fn add_vendor_headers(&mut self, call: &Call, reply: Reply) -> Reply {
        let mode = if self.is_read_only() { "read-only" } else { "read-write" };
        let reply = match call.door {
            Door::Outside => return reply,
            Door::OneApi => self.add_gateway_headers(reply),
            Door::Legacy => reply,
        };
        if reply.from_gateway {
            return reply;
        }
        reply
            .header("x-zscaler-mode", mode)
            .header("server", "Zscaler")
            .header("cache-control", "no-store, no-cache")
            .header("content-disposition", "attachment; filename=\"api.json\"")
            .header("x-content-type-options", "nosniff")
            .header("x-frame-options", "SAMEORIGIN")
            .header("x-xss-protection", "1; mode=block")
            .header("strict-transport-security", "max-age=31536000; includeSubDomains; preload")
    }

    fn add_gateway_headers(&mut self, reply: Reply) -> Reply {
        let now = self.now_ms();
        if self.tokens.minute != now / 60_000 {
            (self.tokens.minute, self.tokens.calls_this_minute) = (now / 60_000, 0);
        }
        self.tokens.calls_this_minute += 1;
        let remaining = GATEWAY_LIMIT.saturating_sub(self.tokens.calls_this_minute);
        let reply = reply
            .header("x-oneapi-request-id", uuid::Uuid::new_v4().to_string())
            .header("x-oneapi-version", "109.1.146")
            .header("x-oneapi-host", self.credentials.base_url.clone());
        if reply.from_gateway {
            return reply.header("server", "Zscaler").header("x-oneapi-api-category", "public");
        }
        reply
            .header("x-ratelimit-limit", format!("{GATEWAY_LIMIT}, {GATEWAY_LIMIT};w=60"))
            .header("x-ratelimit-remaining", remaining.to_string())
            .header("x-ratelimit-reset", (60 - now / 1_000 % 60).to_string())
            .header("x-transaction-id", uuid::Uuid::new_v4().to_string())
            .header("x-envoy-upstream-service-time", "1")
    }
}

/// A form-encoded body.
struct Form(Vec<(String, String)>);

impl Form {
    fn read(body: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(body).into_owned().collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Id and secret, each form-encoded within the pair (RFC 6749 §2.3.1).
fn basic(header: &str) -> Option<(String, String)> {
    let pair = BASE64_STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
    let (id, secret) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    let decoded = |text| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
    Some((decoded(id)?, decoded(secret)?))
}
