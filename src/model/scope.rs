//! What a caller may be granted.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One right, by the name that tokens and settings use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Find users, groups and departments.
    UsersRead,
    /// Create, change and restore users.
    UsersWrite,
    /// Ask for users to be deleted.
    UsersDelete,
    /// Publish staged changes.
    Activate,
    /// See what waits for a decision; people only.
    Approve,
    /// See every caller's operations and before-images.
    AuditRead,
    /// Read `/metrics`, and nothing over MCP.
    MetricsRead,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 7] = [
        Self::UsersRead,
        Self::UsersWrite,
        Self::UsersDelete,
        Self::Activate,
        Self::Approve,
        Self::AuditRead,
        Self::MetricsRead,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UsersRead => "zia.users.read",
            Self::UsersWrite => "zia.users.write",
            Self::UsersDelete => "zia.users.delete",
            Self::Activate => "zia.activate",
            Self::Approve => "zia.approve",
            Self::AuditRead => "zia.audit.read",
            Self::MetricsRead => "zia.metrics.read",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl std::str::FromStr for Scope {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|s| s.as_str() == text).ok_or(())
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Scopes(u8);

impl Scopes {
    /// What all tools together need.
    pub const TOOLS: Self = Self(0b1111);

    /// Whether a scope is in it.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether nothing is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it grants anything over MCP, and not figures alone.
    pub fn open_mcp(self) -> bool {
        !self.without(Scope::MetricsRead).is_empty()
    }

    /// The same with a scope more.
    #[must_use]
    pub fn with(self, scope: Scope) -> Self {
        Self(self.0 | scope.bit())
    }

    /// The same with a scope less.
    #[must_use]
    pub fn without(self, scope: Scope) -> Self {
        Self(self.0 & !scope.bit())
    }

    /// Its scopes, always in the same order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        scopes.into_iter().fold(Self::default(), Self::with)
    }
}

impl fmt::Display for Scopes {
    /// As OAuth writes them: names with blanks between.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Scope::as_str).collect();
        f.write_str(&names.join(" "))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({self})")
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scopes {
    /// A name that is none any more grants nothing.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(text.split(' ').filter_map(|name| name.parse().ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_into_it_and_comes_back_from_a_record() {
        for bits in 0..1 << Scope::ALL.len() {
            let chosen: Vec<_> = Scope::ALL.into_iter().filter(|s| bits & s.bit() != 0).collect();
            let set: Scopes = chosen.iter().copied().collect();
            assert_eq!(set.iter().collect::<Vec<_>>(), chosen);
            let text = serde_json::to_string(&set).expect("written");
            assert_eq!(serde_json::from_str::<Scopes>(&text).expect("read"), set);
        }
        assert_eq!(Scopes::TOOLS.to_string(), "zia.users.read zia.users.write zia.users.delete zia.activate");
    }
}
