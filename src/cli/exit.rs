//! How a command ends when it does not end well.

use std::fmt;

use crate::lifecycle::{Code, Failure};

/// A message for the person at the terminal, and a `sysexits` code.
#[derive(Debug)]
pub struct Exit {
    code: u8,
    message: String,
}

impl Exit {
    /// The tool answered an error; it was printed already.
    pub(super) fn tool_error() -> Self {
        Self { code: 1, message: String::new() }
    }

    /// `audit verify`: a record was changed, dropped, moved or forged.
    pub(super) fn broken(message: impl fmt::Display) -> Self {
        Self { code: 2, message: message.to_string() }
    }

    /// `audit verify`: the trail ends before something that was signed.
    pub(super) fn truncated(message: impl fmt::Display) -> Self {
        Self { code: 3, message: message.to_string() }
    }

    /// `audit`: the store or its key cannot be read.
    pub(super) fn unreadable(message: impl fmt::Display) -> Self {
        Self { code: 4, message: message.to_string() }
    }

    /// What a use case refused.
    pub(super) fn of(failure: Failure) -> Self {
        let message = format!("{}: {}", failure.message, failure.next);
        match failure.code {
            Code::InvalidArgument => Self::usage(message),
            Code::NotFound => Self::no_input(message),
            Code::Forbidden | Code::Conflict => Self::permission(message),
            _ => Self::unavailable(message),
        }
    }

    /// The command was used wrongly.
    pub(super) fn usage(message: impl fmt::Display) -> Self {
        Self { code: 64, message: message.to_string() }
    }

    /// There is no such thing.
    pub(super) fn no_input(message: impl fmt::Display) -> Self {
        Self { code: 66, message: message.to_string() }
    }

    /// Something that is needed does not answer.
    pub(super) fn unavailable(message: impl fmt::Display) -> Self {
        Self { code: 69, message: message.to_string() }
    }

    /// The person may not do this, or did not prove who they are.
    pub(super) fn permission(message: impl fmt::Display) -> Self {
        Self { code: 77, message: message.to_string() }
    }

    /// A setting is missing or wrong.
    pub(super) fn config(message: impl fmt::Display) -> Self {
        Self { code: 78, message: message.to_string() }
    }

    /// The same, with more to say.
    pub(super) fn with(self, more: &str) -> Self {
        Self { message: format!("{}{more}", self.message), ..self }
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
