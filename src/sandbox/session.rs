//! Sign-in with API key and password, and the sessions it opens.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{Call, Door};
use super::clock::millis;
use super::faults::Fault;
use super::replies::{Answer, Refusal, Reply};
use super::tenant::Tenant;

/// How far a login's timestamp may be from the tenant's clock (zia-facts §1.2).
const TIMESTAMP_TOLERANCE_MS: u64 = 2 * 60 * 60 * 1000;

/// The open sessions by their `JSESSIONID`.
#[derive(Default)]
pub(super) struct Sessions {
    open: HashMap<String, Session>,
}

struct Session {
    admin: Arc<str>,
    last_call_ms: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SignIn {
    api_key: String,
    username: String,
    password: String,
    timestamp: Timestamp,
}

/// Documented as a string, sent as a number by some (zia-facts §1.2).
#[derive(Deserialize)]
#[serde(untagged)]
enum Timestamp {
    Text(String),
    Number(i64),
}

impl Tenant {
    /// Ends what has been idle too long; its administrator's staged changes go live with it
    /// (zia-facts §4).
    pub(super) fn let_time_pass(&mut self) {
        let idle_since = self.now_ms().saturating_sub(millis(self.options.session_idle));
        let mut ended = self.sessions.take(|session| session.last_call_ms <= idle_since);
        ended.extend(self.tokens.newly_idle(idle_since));
        self.publish_for(&ended);
        self.tokens.forget_expired(self.options.clock.now_ms());
    }

    /// Ends every session and token at once.
    pub(super) fn end_all_sessions(&mut self) {
        let mut ended = self.sessions.take(|_| true);
        ended.extend(self.tokens.take_all());
        self.publish_for(&ended);
    }

    /// Ends the session or token that a call came with.
    pub(super) fn end_session_of(&mut self, call: &Call) {
        let ended = match call.door {
            Door::Legacy => {
                call.session().and_then(|id| self.sessions.open.remove(id)).map(|session| session.admin)
            }
            _ => call.bearer().and_then(|token| self.tokens.take(token)),
        };
        self.publish_for(&Vec::from_iter(ended));
    }

    pub(super) fn session_count(&self) -> usize {
        self.sessions.open.len()
    }

    /// The administrator whose session the cookie names; the call keeps it alive.
    pub(super) fn session_admin(&mut self, call: &Call) -> Option<Arc<str>> {
        let now = self.now_ms();
        let session = self.sessions.open.get_mut(call.session()?)?;
        session.last_call_ms = now;
        Some(Arc::clone(&session.admin))
    }

    /// 401 for an unknown or expired session (zia-facts §1.4).
    pub(super) fn session_refused(&mut self, call: &Call) -> Reply {
        match self.faults.strike(call.endpoint, |fault| matches!(fault, Fault::SessionText { .. })) {
            Some(Fault::SessionText { text }) => Reply::text(401, "text/plain;charset=utf-8", text),
            _ => Refusal::new(401, "SESSION_NOT_VALID", "Session is not valid.").into(),
        }
    }

    pub(super) fn sign_in(&mut self, call: &Call) -> Answer {
        let sign_in: SignIn = serde_json::from_slice(&call.body).map_err(|_| Refusal::invalid_body())?;
        if let Err(reason) = self.check(&sign_in) {
            return Err(self.sign_in_refused(call).because(reason));
        }
        let id = session_id();
        let session = Session { admin: sign_in.username.into(), last_call_ms: self.now_ms() };
        self.sessions.open.insert(id.clone(), session);
        let secure = if self.options.secure_cookie { " Secure;" } else { "" };
        let cookie = format!("JSESSIONID={id}; Path=/;{secure} HttpOnly");
        Ok(Reply::json(self.signed_in_body(call)).header("set-cookie", cookie))
    }

    /// Why the tenant refuses; the caller is not told which of these it is.
    fn check(&self, sign_in: &SignIn) -> Result<(), &'static str> {
        let timestamp = match &sign_in.timestamp {
            Timestamp::Text(text) => text.parse().map_err(|_| "the timestamp is not a number")?,
            Timestamp::Number(number) => *number,
        };
        if timestamp.abs_diff(self.told_ms()) > TIMESTAMP_TOLERANCE_MS {
            return Err("the timestamp is more than two hours from the tenant's clock");
        }
        if obfuscated(&self.credentials.api_key, timestamp).as_ref() != Some(&sign_in.api_key) {
            return Err("the obfuscated API key does not fit the timestamp");
        }
        if sign_in.username != self.credentials.username {
            return Err("no such administrator");
        }
        if sign_in.password != self.credentials.password {
            return Err("the password is wrong");
        }
        Ok(())
    }

    /// 400, not 401, and the code that was seen in the field (zia-facts §1.4).
    fn sign_in_refused(&mut self, call: &Call) -> Refusal {
        if self.faults.strikes(call.endpoint, &Fault::DocumentedLoginError) {
            return Refusal::new(400, "INVALID_USERNAME_OR_PASSWORD", "Invalid email or password");
        }
        Refusal::new(400, "AUTHENTICATION_FAILED", "AUTHENTICATION_FAILED")
    }

    fn signed_in_body(&mut self, call: &Call) -> Value {
        let mut body = json!({"authType": "ADMIN_LOGIN", "obfuscateApiKey": false});
        let without_expiry = self.faults.strikes(call.endpoint, &Fault::NoPasswordExpiry);
        if let (false, Some(fields)) = (without_expiry, body.as_object_mut()) {
            fields.insert("passwordExpiryTime".to_owned(), 0.into());
            fields.insert("passwordExpiryDays".to_owned(), 0.into());
        }
        body
    }

    /// 200 with or without a session; only `authType` tells them apart (zia-facts §1.3).
    pub(super) fn check_session(&mut self, call: &Call) -> Reply {
        if call.door == Door::OneApi || self.session_admin(call).is_some() {
            return Reply::json(self.signed_in_body(call));
        }
        Reply::json(json!({"obfuscateApiKey": false}))
    }

    /// Ends the session and publishes its administrator's staged changes (zia-facts §1.3).
    pub(super) fn sign_out(&mut self, call: &Call, admin: &Arc<str>) -> Reply {
        if let Some(id) = call.session() {
            self.sessions.open.remove(id);
        }
        let published = self.publish_for(std::slice::from_ref(admin));
        Reply { applied: published, ..Reply::json(json!({"status": self.status_word()})) }
    }
}

impl Sessions {
    fn take(&mut self, ends: impl Fn(&Session) -> bool) -> Vec<Arc<str>> {
        self.open.extract_if(|_, session| ends(session)).map(|(_, session)| session.admin).collect()
    }
}

/// 32 upper-case hexadecimal digits (zia-facts §1.2).
fn session_id() -> String {
    format!("{:032X}", rand::random::<u128>())
}

/// The API key as the tenant expects it for this timestamp (zia-facts §1.1).
///
/// Six digits of the timestamp pick from the key as they are, then those of half their number,
/// each plus two.
fn obfuscated(key: &str, timestamp: i64) -> Option<String> {
    let low = timestamp.rem_euclid(1_000_000);
    let (plain, halved) = (format!("{low:06}"), format!("{:06}", low / 2));
    let picks = plain.bytes().map(|digit| digit - b'0').chain(halved.bytes().map(|digit| digit - b'0' + 2));
    picks.map(|at| key.as_bytes().get(usize::from(at)).copied().map(char::from)).collect()
}
