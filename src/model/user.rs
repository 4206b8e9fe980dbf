//! A ZIA user as tools show it, and how a caller names one.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::UserId;

/// A ZIA group or department: id and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Named {
    /// ZIA id, positive.
    pub id: i64,
    /// Name, at most 128 characters (zia-facts §3.2).
    pub name: String,
}

/// A ZIA user as the tools show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// ZIA id, positive.
    #[schemars(with = "i64")]
    pub id: UserId,
    /// Display name; tenant text.
    pub name: String,
    /// Login address.
    pub email: String,
    /// Department, if any.
    pub department: Option<Named>,
    /// Groups.
    pub groups: Vec<Named>,
    /// Comments, if any; tenant text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub comments: Option<String>,
    /// Linked to an administrator account.
    pub admin_user: bool,
    /// May be changed through the API.
    pub editable: bool,
    /// Disabled in ZIA.
    pub disabled: bool,
}

/// An e-mail address: kept as given, compared without regard to case.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Email(String);

/// What is wrong with an e-mail address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    /// Not one `@` with something on both sides.
    #[error("an e-mail address has exactly one @ with text on both sides")]
    Shape,
    /// Longer than ZIA allows.
    #[error("an e-mail address has at most 127 characters in ZIA")]
    Length,
    /// A blank, control or invisible character.
    #[error("the e-mail address holds the character U+{0:04X}, which is not allowed")]
    Character(u32),
    /// The domain is not a host name.
    #[error("the part after @ is not a domain name")]
    Domain,
}

impl Email {
    /// ZIA's limit, in characters (zia-facts §3.1).
    pub const MAX_CHARS: usize = 127;

    /// The address as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address in lower case, for comparing.
    pub fn folded(&self) -> String {
        self.0.to_lowercase()
    }

    /// Whether some text is this address, case aside.
    pub fn is(&self, other: &str) -> bool {
        self.folded() == other.to_lowercase()
    }
}

impl FromStr for Email {
    type Err = EmailError;

    fn from_str(text: &str) -> Result<Self, EmailError> {
        if let Some(bad) = text.chars().find(|c| c.is_whitespace() || c.is_control() || is_invisible(*c)) {
            return Err(EmailError::Character(bad.into()));
        }
        if text.chars().count() > Self::MAX_CHARS {
            return Err(EmailError::Length);
        }
        let (local, domain) = text.split_once('@').ok_or(EmailError::Shape)?;
        if local.is_empty() || domain.is_empty() || domain.contains('@') {
            return Err(EmailError::Shape);
        }
        let label_ok = |l: &str| {
            !l.is_empty()
                && !l.starts_with('-')
                && !l.ends_with('-')
                && l.chars().all(|c| c.is_alphanumeric() || c == '-')
        };
        if !domain.contains('.') || !domain.split('.').all(label_ok) {
            return Err(EmailError::Domain);
        }
        if let Some(bad) = local.chars().find(|c| r#"()<>[]:;,\"*/?#"#.contains(*c)) {
            return Err(EmailError::Character(bad.into()));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Bidirectional, zero-width and tag characters, which hide what a text says.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{3164}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}'
        | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}'
        // Variation selectors, but for the two that choose between text and emoji.
        | '\u{FE00}'..='\u{FE0D}')
}

impl PartialEq for Email {
    fn eq(&self, other: &Self) -> bool {
        self.is(&other.0)
    }
}

impl Eq for Email {}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Email {
    type Error = EmailError;

    fn try_from(text: String) -> Result<Self, EmailError> {
        text.parse()
    }
}

impl From<Email> for String {
    fn from(email: Email) -> Self {
        email.0
    }
}

/// One user, named exactly: by address or by id, never by a part of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserRef {
    /// By ZIA id.
    Id(UserId),
    /// By exact e-mail address.
    Email(Email),
}

/// The text names no single user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserRefError {
    /// Looks like an address, but is none.
    #[error(transparent)]
    Email(#[from] EmailError),
    /// Neither an address nor an id.
    #[error("a user is named by an exact e-mail address or a positive ZIA id")]
    Neither,
}

impl FromStr for UserRef {
    type Err = UserRefError;

    fn from_str(text: &str) -> Result<Self, UserRefError> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        if text.contains('@') { Ok(Self::Email(text.parse()?)) } else { Err(UserRefError::Neither) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_keeps_its_case_and_compares_without_it() {
        let email: Email = "Jane.Doe@Example.com".parse().unwrap();
        assert_eq!(email.as_str(), "Jane.Doe@Example.com");
        assert!(email.is("jane.doe@example.COM"));
        assert!(!email.is("jane.doe@example.co"));
    }

    #[test]
    fn bad_addresses_are_refused_by_what_is_wrong() {
        for (text, error) in [
            ("x@y@z.com", EmailError::Shape),
            ("@z.com", EmailError::Shape),
            ("a@b", EmailError::Domain),
            ("a@-b.com", EmailError::Domain),
            ("a@b.com ", EmailError::Character(0x20)),
            ("a\r\n@b.com", EmailError::Character(0x0D)),
            ("a\u{202E}@b.com", EmailError::Character(0x202E)),
            ("*@b.com", EmailError::Character(0x2A)),
        ] {
            assert_eq!(text.parse::<Email>().unwrap_err(), error, "{text:?}");
        }
        let long = format!("{}@example.com", "a".repeat(116));
        assert_eq!(long.parse::<Email>().unwrap_err(), EmailError::Length);
    }

    #[test]
    fn a_user_is_named_by_address_or_id_only() {
        assert_eq!("7".parse(), Ok(UserRef::Id(UserId::new(7).unwrap())));
        assert!(matches!("a@b.example".parse(), Ok(UserRef::Email(_))));
        for bad in ["*", "all", "1 OR 1=1", "1;DROP", "../5", "5/../../adminUsers/1", "5%2f..", "Jane", ""] {
            assert!(bad.parse::<UserRef>().is_err(), "{bad:?}");
        }
    }
}
