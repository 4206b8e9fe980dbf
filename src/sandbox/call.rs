//! One call of the API as it arrived.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, header};
use percent_encoding::percent_decode_str;

use super::Endpoint;
use super::journal::{JournalEntry, kept_body};

/// The largest body taken, in bytes: 500 ids and a full comment fit many times.
const LARGEST_BODY: usize = 1024 * 1024;

/// Which of the vendor's front doors a call came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// `/api/v1` with a session cookie (zia-facts §1).
    Legacy,
    /// `/zia/api/v1` with a bearer token, behind the gateway (zia-facts §2).
    OneApi,
    /// Anything else, the token endpoint included.
    Outside,
}

/// A call, taken apart.
pub(super) struct Call {
    pub(super) door: Door,
    pub(super) endpoint: Endpoint,
    /// The id in the path.
    pub(super) id: Option<u64>,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Its number in the journal.
    pub(super) seq: u64,
}

impl Call {
    /// Reads a request to its end; the error is a body that is too large or broken off.
    pub(super) async fn read(request: Request<Body>) -> Result<Self, axum::Error> {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, LARGEST_BODY).await?;
        let path = head.uri.path().to_owned();
        let method = head.method.as_str().to_owned();
        let (door, below) = door(&path);
        let (endpoint, id) = match (door, Endpoint::find(&method, below)) {
            (Door::Outside, (Endpoint::Token, id)) => (Endpoint::Token, id),
            (Door::Outside, _) | (_, (Endpoint::Token, _)) => (Endpoint::Other, None),
            (_, found) => found,
        };
        let query = head.uri.query().unwrap_or_default().to_owned();
        Ok(Self { door, endpoint, id, method, path, query, headers: head.headers, body, seq: 0 })
    }

    /// A query parameter, decoded; `+` is a space only on the legacy host (zia-facts §8, tf#386).
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        let pairs = self.query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let value = pairs.filter(|(key, _)| self.decoded(key) == name).map(|(_, value)| value).next_back()?;
        Some(self.decoded(value))
    }

    fn decoded(&self, text: &str) -> String {
        match self.door {
            Door::Legacy => percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned(),
            _ => percent_decode_str(text).decode_utf8_lossy().into_owned(),
        }
    }

    pub(super) fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The session in the cookie.
    pub(super) fn session(&self) -> Option<&str> {
        let mut cookies = self.header(header::COOKIE)?.split(';');
        cookies.find_map(|cookie| cookie.trim().strip_prefix("JSESSIONID="))
    }

    /// The token after `Bearer`.
    pub(super) fn bearer(&self) -> Option<&str> {
        self.header(header::AUTHORIZATION)?.strip_prefix("Bearer ")
    }

    /// Whether there is a body that does not say it is JSON.
    pub(super) fn is_foreign_media(&self) -> bool {
        let json = |kind: &str| kind.trim().to_ascii_lowercase().starts_with("application/json");
        !self.body.is_empty() && !self.header(header::CONTENT_TYPE).is_some_and(json)
    }

    /// How the journal first tells of it.
    pub(super) fn entry(&self, at_ms: i64) -> JournalEntry {
        JournalEntry {
            seq: 0,
            at_ms,
            method: self.method.clone(),
            path: self.path.clone(),
            query: self.query.clone(),
            endpoint: self.endpoint,
            status: None,
            applied: false,
            admin: None,
            fault: None,
            note: None,
            body: kept_body(&self.body),
        }
    }
}

fn door(path: &str) -> (Door, &str) {
    let below = |prefix| path.strip_prefix(prefix).filter(|rest: &&str| rest.starts_with('/'));
    match (below("/zia/api/v1"), below("/api/v1")) {
        (Some(rest), _) => (Door::OneApi, rest),
        (_, Some(rest)) => (Door::Legacy, rest),
        _ => (Door::Outside, path),
    }
}
