//! Who asked, and what they may do.

use serde::{Deserialize, Serialize};

use super::{Action, Scope, Scopes};

/// The way a call reached the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// A local client over standard input and output.
    Stdio,
    /// A client over Streamable HTTP.
    Http,
}

/// What a caller's name stands on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Standard input and output, or the one static token; all that there was at first.
    #[default]
    Own,
    /// A named token of the settings.
    Named,
    /// An access token of this issuer.
    Issuer(String),
}

/// What a caller may do, and on whose word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// What the caller was granted.
    pub scopes: Scopes,
    /// Who granted it.
    #[serde(default)]
    pub source: Source,
    /// The caller is a program, not a person.
    #[serde(default)]
    pub workload: bool,
}

impl Default for Rights {
    /// Every tool, and of operations and captures one's own.
    fn default() -> Self {
        Self { scopes: Scopes::TOOLS, source: Source::Own, workload: false }
    }
}

/// Who asked for something, and through which client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The authenticated caller; `local` over stdio.
    pub caller: String,
    /// What the client calls itself, name and version; not proven.
    pub client: String,
    /// The way the call came.
    pub channel: Channel,
    /// What the caller could do when it asked.
    #[serde(default)]
    pub rights: Rights,
}

impl Actor {
    /// A caller with every tool.
    pub fn new(caller: impl Into<String>, client: impl Into<String>, channel: Channel) -> Self {
        Self { caller: caller.into(), client: client.into(), channel, rights: Rights::default() }
    }

    /// Whether another is the same caller, through whatever client.
    pub fn is(&self, other: &Self) -> bool {
        self.caller == other.caller && self.rights.source == other.rights.source
    }

    /// Whether this caller may see what another asked for.
    pub fn may_see(&self, other: &Self) -> bool {
        let scopes = self.rights.scopes;
        self.is(other) || scopes.contains(Scope::Approve) || scopes.contains(Scope::AuditRead)
    }

    /// Whether this caller was granted what an action needs.
    pub fn may(&self, action: Action) -> bool {
        self.rights.scopes.contains(action.scope())
    }
}

/// An authenticated HTTP caller, put on each request by `http` and read by `mcp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name under which it is recorded.
    pub name: String,
    /// What it may do.
    pub rights: Rights,
}

impl Caller {
    /// Whether another is the same caller.
    pub fn is(&self, other: &Self) -> bool {
        self.name == other.name && self.rights.source == other.rights.source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_from_before_scopes_has_every_tool_and_sees_its_own() {
        let old: Actor =
            serde_json::from_str(r#"{"caller":"http","client":"c 1","channel":"http"}"#).expect("read");
        assert_eq!(old, Actor::new("http", "c 1", Channel::Http));
        assert!(Action::ALL.into_iter().all(|action| old.may(action)));
        assert!(!old.may_see(&Actor::new("other", "c 1", Channel::Http)));
    }

    #[test]
    fn the_same_name_on_another_word_is_another_caller() {
        let own = Actor::new("ada", "c 1", Channel::Http);
        let mut other = own.clone();
        other.rights.source = Source::Issuer("https://issuer.example".into());
        assert!(!own.is(&other) && !own.may_see(&other) && !other.may_see(&own));
        other.rights.scopes = [Scope::AuditRead].into_iter().collect();
        assert!(other.may_see(&own));
    }
}
