//! A reply, and what it proves.
//!
//! The one place that reads refusals. It decides by code before status, since 409 is an edit lock
//! or a duplicate, and 401 a lost session or an overload (zia-facts §1.4, §3.6, §4).

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::{
    endpoints::{Call, Unreadable},
    error::{Kind, Landed, Phase, SignInProblem},
    fault::{Again, Fault},
    send::{Broken, Reply},
};

/// What a reply that is no success means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The session or token is not accepted (any more).
    SessionLost,
    /// Not processed: too busy.
    Overloaded,
    /// Not processed: another session edits.
    EditLocked,
    /// Not processed: maintenance.
    ReadOnly,
    NotFound,
    Duplicate,
    Forbidden,
    Refused,
    Server,
    /// Not ZIA's.
    Garbled,
    /// Of the right kind, but it ends too early.
    Cut,
    /// Of the right kind, but its end did not come in time.
    Stalled,
}

/// A reply that is no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) meaning: Meaning,
    pub(super) code: Option<String>,
}

/// What the reply to a call means.
pub(super) fn judge<C: Call>(call: &C, reply: &Reply) -> Result<C::Output, Refusal> {
    if !reply.status.is_success() {
        return Err(refusal(reply.status, &reply.headers, &reply.body));
    }
    let fail = |meaning| Err(Refusal { meaning, code: None });
    let said = Said::read(&reply.body);
    if said.shape == Shape::Page {
        return fail(Meaning::Garbled);
    }
    if !C::NEEDS_BODY {
        let body = if reply.broken.is_none() { reply.body.as_slice() } else { &[] };
        return call.decode(body).or_else(|_| fail(Meaning::Garbled));
    }
    if said.shape == Shape::Text && said.session_lost() {
        return fail(Meaning::SessionLost);
    }
    match (reply.broken, call.decode(&reply.body)) {
        (Some(Broken::TooLong), _) => fail(Meaning::Garbled),
        (Some(Broken::Cut), _) | (None, Err(Unreadable::Cut)) => fail(Meaning::Cut),
        (Some(Broken::Stalled), _) => fail(Meaning::Stalled),
        (None, Err(Unreadable::Shape)) => fail(Meaning::Garbled),
        (None, Ok(value)) => Ok(value),
    }
}

/// How an exchange ended, in one of a few words, for those who count.
pub(super) fn word(exchange: &Result<Reply, Fault>) -> &'static str {
    let reply = match exchange {
        Err(fault) if fault.kind == Kind::TimedOut => return "timed_out",
        Err(_) => return "unreachable",
        Ok(reply) => reply,
    };
    if reply.status.is_success() {
        return if reply.broken.is_none() { "ok" } else { "cut_off" };
    }
    if reply.status == StatusCode::TOO_MANY_REQUESTS {
        return "rate_limited";
    }
    match refusal(reply.status, &reply.headers, &reply.body).meaning {
        Meaning::SessionLost => "session_lost",
        Meaning::EditLocked => "edit_locked",
        Meaning::ReadOnly => "read_only",
        Meaning::NotFound | Meaning::Duplicate | Meaning::Forbidden | Meaning::Refused => "refused",
        Meaning::Overloaded | Meaning::Server => "failed",
        Meaning::Garbled | Meaning::Cut | Meaning::Stalled => "garbled",
    }
}

/// What a reply with another than a 2xx status means.
pub(super) fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Refusal {
    let said = Said::read(body);
    let meaning = by_code(&said)
        .or_else(|| status.is_client_error().then(|| by_words(status, &said)).flatten())
        .or_else(|| said.session_lost().then_some(Meaning::SessionLost))
        .unwrap_or_else(|| by_status(status, headers, &said));
    Refusal { meaning, code: said.code }
}

fn by_code(said: &Said) -> Option<Meaning> {
    Some(match said.code.as_deref()? {
        "SESSION_NOT_VALID" => Meaning::SessionLost,
        "EDIT_LOCK_NOT_AVAILABLE" => Meaning::EditLocked,
        "DUPLICATE_ITEM" => Meaning::Duplicate,
        "RESOURCE_NOT_FOUND" => Meaning::NotFound,
        "STATE_READONLY" => Meaning::ReadOnly,
        _ => return None,
    })
}

/// Reads the spellings that come with a general code or none (zia-facts §1.4, §4).
fn by_words(status: StatusCode, said: &Said) -> Option<Meaning> {
    if said.has("Failed during enter Org barrier") {
        return Some(Meaning::EditLocked);
    }
    if said.has("Resource Access Blocked") {
        let busy = status == StatusCode::UNAUTHORIZED;
        return Some(if busy { Meaning::Overloaded } else { Meaning::EditLocked });
    }
    let conflict = matches!(status, StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED);
    (conflict && said.has("expected precondition was not met")).then_some(Meaning::EditLocked)
}

fn by_status(status: StatusCode, headers: &HeaderMap, said: &Said) -> Meaning {
    if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
        return Meaning::Server;
    }
    if !status.is_client_error() || matches!(said.shape, Shape::Page | Shape::StrangeJson) {
        return Meaning::Garbled;
    }
    match status {
        StatusCode::BAD_REQUEST => Meaning::Refused,
        StatusCode::UNAUTHORIZED if said.code.is_some() || said.shape == Shape::Text => Meaning::Refused,
        StatusCode::UNAUTHORIZED => Meaning::SessionLost,
        // Only a reply in ZIA's own words proves absence.
        StatusCode::NOT_FOUND | StatusCode::PROXY_AUTHENTICATION_REQUIRED => Meaning::Garbled,
        _ if said.shape == Shape::Text && !said.has("only through zscaler oneapi") => Meaning::Garbled,
        StatusCode::FORBIDDEN if is_read_only(headers) => Meaning::ReadOnly,
        StatusCode::FORBIDDEN => match said.code.as_deref() {
            Some("INVALID_INPUT_ARGUMENT" | "LIMIT_EXCEEDED") => Meaning::Refused,
            _ => Meaning::Forbidden,
        },
        _ => Meaning::Refused,
    }
}

fn is_read_only(headers: &HeaderMap) -> bool {
    headers
        .get_all("x-zscaler-mode")
        .into_iter()
        .any(|mode| mode.as_bytes().eq_ignore_ascii_case(b"read-only"))
}

/// What a failed sign-in means, when nothing in the reply says that it succeeded.
pub(super) fn sign_in_refusal(reply: &Reply) -> Refusal {
    if reply.status.is_success() {
        let said = Said::read(&reply.body);
        let meaning = match said.shape {
            _ if reply.broken.is_some() => Meaning::Cut,
            Shape::Zia | Shape::StrangeJson => Meaning::SessionLost,
            _ => Meaning::Garbled,
        };
        return Refusal { meaning, code: said.code };
    }
    let refusal = refusal(reply.status, &reply.headers, &reply.body);
    let meaning = match refusal.meaning {
        Meaning::Refused | Meaning::Forbidden => Meaning::SessionLost,
        // Whatever its form: taking a refusal for something else would lock the account.
        Meaning::Garbled if is_plain_refusal(reply) => Meaning::SessionLost,
        // There is no such path: not a ZIA host.
        Meaning::NotFound | Meaning::Duplicate => Meaning::Garbled,
        other => other,
    };
    Refusal { meaning, ..refusal }
}

fn is_plain_refusal(reply: &Reply) -> bool {
    matches!(reply.status, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED)
        && Said::read(&reply.body).shape != Shape::Page
}

impl Refusal {
    /// What follows for the call.
    pub(super) fn fault(self, reply: &Reply, is_write: bool) -> Fault {
        let (kind, again) = match self.meaning {
            Meaning::SessionLost => (Kind::SignIn(SignInProblem::Refused), Again::SignedIn),
            Meaning::Overloaded => (Kind::Server, Again::Later),
            Meaning::EditLocked => (Kind::EditLocked, Again::Later),
            Meaning::ReadOnly => (Kind::ReadOnly, Again::Never),
            Meaning::NotFound => (Kind::NotFound, Again::Never),
            Meaning::Duplicate => (Kind::Duplicate, Again::Never),
            Meaning::Forbidden => (Kind::Forbidden, Again::Never),
            Meaning::Refused => (Kind::Refused, Again::Never),
            Meaning::Server => (Kind::Server, Again::Soon),
            Meaning::Garbled => (Kind::Garbled, Again::Never),
            Meaning::Cut => (Kind::Garbled, Again::Soon),
            Meaning::Stalled => (Kind::TimedOut, Again::Soon),
        };
        let landed =
            if is_write && !self.proves_nothing_done(reply.status) { Landed::Unknown } else { Landed::No };
        let phase = matches!(self.meaning, Meaning::Cut | Meaning::Stalled).then_some(Phase::Body);
        Fault { kind, again, landed, code: self.code, request_id: reply.request_id(), phase }
    }

    fn proves_nothing_done(&self, status: StatusCode) -> bool {
        match self.meaning {
            Meaning::SessionLost | Meaning::Overloaded => status == StatusCode::UNAUTHORIZED,
            Meaning::Server | Meaning::Garbled | Meaning::Cut | Meaning::Stalled => false,
            Meaning::EditLocked
            | Meaning::ReadOnly
            | Meaning::NotFound
            | Meaning::Duplicate
            | Meaning::Forbidden
            | Meaning::Refused => true,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Empty,
    /// JSON with a `code`, `message`, `detail` or `error`.
    Zia,
    /// Other JSON.
    StrangeJson,
    /// A web page.
    Page,
    Text,
}

/// The words of an error body.
struct Said {
    shape: Shape,
    code: Option<String>,
    words: String,
}

impl Said {
    /// No error text is longer, and no page needs reading to its end.
    const ENOUGH: usize = 64 << 10;

    fn read(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body.get(..Self::ENOUGH).unwrap_or(body));
        let text = text.trim_start_matches('\u{FEFF}').trim();
        let bare = |shape| Self { shape, code: None, words: String::new() };
        if text.is_empty() {
            return bare(Shape::Empty);
        }
        if text.starts_with('<') {
            return bare(Shape::Page);
        }
        if !text.starts_with(['{', '[', '"']) {
            return Self { shape: Shape::Text, code: None, words: text.to_owned() };
        }
        let Ok(Value::Object(fields)) = serde_json::from_str(text) else { return bare(Shape::StrangeJson) };
        let word = |name| fields.get(name).and_then(Value::as_str);
        let known = ["code", "message", "detail", "error"].into_iter().any(|name| word(name).is_some());
        Self {
            shape: if known { Shape::Zia } else { Shape::StrangeJson },
            code: word("code").filter(|code| is_code(code)).map(str::to_owned),
            words: word("message").unwrap_or_default().to_owned(),
        }
    }

    fn has(&self, words: &str) -> bool {
        self.words.to_ascii_lowercase().contains(&words.to_ascii_lowercase())
    }

    /// Both spellings without a code of their own (zia-facts §1.4).
    fn session_lost(&self) -> bool {
        let general = matches!(self.code.as_deref(), None | Some("UNEXPECTED_ERROR"));
        general && (self.words.starts_with("SESSION_NOT_VALID") || self.has("Session already invalidated"))
    }
}

/// Whether a text is a vendor code: nothing a tenant could have written.
fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests;
