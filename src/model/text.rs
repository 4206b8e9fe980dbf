//! Tenant text, made safe to show.

use super::user::is_invisible;

/// The most characters of one piece of tenant text in a sentence.
const SHOWN_CHARS: usize = 160;

/// Tenant text for a sentence: what hides or moves text is written as `\u{…}`, long text is cut.
pub fn shown(text: &str) -> String {
    let mut out = String::new();
    for (n, c) in text.chars().enumerate() {
        if n == SHOWN_CHARS {
            out.push('…');
            break;
        }
        if c.is_control() || is_invisible(c) || matches!(c, '\u{2028}' | '\u{2029}') {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// The first character that must not be written to ZIA: control, bidirectional or invisible.
pub fn unwritable(text: &str) -> Option<char> {
    text.chars().find(|&c| c.is_control() || (is_invisible(c) && !matches!(c, '\u{200C}' | '\u{200D}')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_shown_as_escapes() {
        assert_eq!(shown("a\u{202E}b\u{1b}[2J"), "a\\u{202e}b\\u{1b}[2J");
        assert_eq!(shown("李雷 José"), "李雷 José");
        assert_eq!(shown(&"x".repeat(500)).chars().count(), SHOWN_CHARS + 1);
    }

    #[test]
    fn joiners_may_be_written_and_overrides_may_not() {
        assert_eq!(unwritable("👩\u{200D}🚀 می\u{200C}خواهم"), None);
        assert_eq!(unwritable("a\u{202E}"), Some('\u{202E}'));
        assert_eq!(unwritable("a\0"), Some('\0'));
    }
}
