//! The control paths under `/_sandbox`, whose list is in the docs of [`super`].

use std::time::Duration;

use axum::http::header;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::LimitPolicy;
use super::admin::OtherAdminError;
use super::assertion;
use super::call::Call;
use super::faults::FaultRule;
use super::replies::Reply;
use super::tenant::{Shared, Tenant};

/// What is done, or a sentence that says why not.
type Done = Result<Value, String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Foreign {
    #[serde(default)]
    id: u64,
    #[serde(default)]
    user: Value,
    #[serde(default)]
    staged: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lock {
    ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    policy: LimitPolicy,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    pem: String,
}

/// Answers a call to a control path; `None` for any other.
pub(super) fn answer(shared: &Shared, call: &Call) -> Option<Reply> {
    let below =
        call.path.strip_prefix("/_sandbox").filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
    if call.headers.contains_key(header::ORIGIN) {
        return Some(Reply::empty(403));
    }
    let path: Vec<&str> = below.split('/').filter(|part| !part.is_empty()).collect();
    let done = shared.lock().control(call, &path);
    Some(match done {
        Some(Ok(value)) => Reply::json(value),
        Some(Err(error)) => Reply { status: 400, ..Reply::json(json!({"error": error})) },
        None => Reply { status: 404, ..Reply::json(json!({"error": "no such control"})) },
    })
}

impl Tenant {
    /// `None` is a path that there is not.
    fn control(&mut self, call: &Call, path: &[&str]) -> Option<Done> {
        match (call.method.as_str(), path) {
            ("GET", _) => self.tell(call, path).map(Ok),
            ("POST", ["foreign", what]) => self.foreign(call, what),
            _ => match self.steer(call, path) {
                Ok(known) => known.then(|| Ok(json!({}))),
                Err(error) => Some(Err(error)),
            },
        }
    }

    fn tell(&self, call: &Call, path: &[&str]) -> Option<Value> {
        match path {
            [] => Some(self.overview()),
            ["journal"] => {
                let since = call.parameter("since").and_then(|since| since.parse().ok());
                Some(json!(self.journal.since(since.unwrap_or_default())))
            }
            ["counters"] => Some(json!(self.journal.counters())),
            ["faults"] => Some(json!(self.faults.rules())),
            ["users", rest @ ..] => self.shown_users(call, rest),
            _ => None,
        }
    }

    /// `false` is a path that there is not.
    fn steer(&mut self, call: &Call, path: &[&str]) -> Result<bool, String> {
        match (call.method.as_str(), path) {
            ("DELETE", ["journal"]) => self.journal.clear(),
            ("PUT", ["faults", name]) => self.faults.switch_on(FaultRule::read(name, read(call)?)?),
            ("DELETE", ["faults", name]) => self.faults.switch_off(name),
            ("DELETE", ["faults"]) => self.faults.clear(),
            ("PUT", ["edit_lock"]) => {
                let Lock { ms } = read(call)?;
                self.hold_edit_lock(ms.map(Duration::from_millis));
            }
            ("DELETE", ["edit_lock"]) => self.edit_lock_until = None,
            ("DELETE", ["sessions"]) => self.end_all_sessions(),
            ("PUT", ["limits"]) => self.options.limits = read::<Policy>(call)?.policy,
            ("DELETE", ["limits"]) => self.limits.reset(),
            ("POST", ["clock"]) => {
                self.options.clock.advance(Duration::from_millis(read::<Advance>(call)?.advance_ms));
            }
            ("PUT", ["client_key"]) => {
                let Key { pem } = read(call)?;
                assertion::pkcs1(&pem).ok_or("the key cannot be read")?;
                self.options.client_key = Some(pem);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn overview(&self) -> Value {
        json!({
            "status": self.status_word(),
            "staged": self.staging.changes(),
            "sessions": self.session_count(),
            "tokens": self.tokens.len(),
            "edit_lock_until_ms": self.edit_lock_until,
            "now_ms": self.now_ms(),
            "users": self.users.len(),
        })
    }

    fn shown_users(&self, call: &Call, rest: &[&str]) -> Option<Value> {
        let live = call.parameter("view").as_deref() == Some("live");
        match rest {
            [] if live => Some(self.live_users().iter().map(|row| json!(self.shown(row))).collect()),
            [] => Some(self.users.iter().map(|row| json!(self.shown(row))).collect()),
            [id] => {
                let id = id.parse().ok()?;
                let row = if live { self.live_user(id) } else { self.users.get(id) };
                row.map(|row| json!(self.shown(&row)))
            }
            _ => None,
        }
    }

    fn foreign(&mut self, call: &Call, what: &str) -> Option<Done> {
        let Foreign { id, user, staged } = match read(call) {
            Ok(foreign) => foreign,
            Err(error) => return Some(Err(error)),
        };
        let user = match what {
            "stage" => {
                self.stage_foreign_change();
                Ok(json!({}))
            }
            "activate" => Ok(json!({"published": self.publish_all()})),
            "delete" => self.foreign_delete(id, staged).map(|()| json!({})),
            "create" => self.foreign_create(&user, staged).map(|user| json!(user)),
            "rename" => self.foreign_rename(id, &user).map(|()| json!({})),
            "change" => self.foreign_change(id, &user, staged).map(|user| json!(user)),
            _ => return None,
        };
        Some(user.map_err(|error: OtherAdminError| error.to_string()))
    }
}

/// The body, where none at all is an empty object.
fn read<T: DeserializeOwned>(call: &Call) -> Result<T, String> {
    let body = if call.body.is_empty() { b"{}".as_slice() } else { &call.body };
    serde_json::from_slice(body).map_err(|error| error.to_string())
}
