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
        if hides(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Tenant text for a field of its own, whole: what hides or moves text is written as `\u{…}`.
///
/// Line breaks and tabs stay; `None` if nothing has to be written differently.
pub fn visible(text: &str) -> Option<String> {
    let hidden = |c: char| hides(c) && !matches!(c, '\n' | '\t');
    text.contains(hidden).then(|| {
        let mut out = String::with_capacity(text.len() + 16);
        for c in text.chars() {
            if hidden(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
        }
        out
    })
}

/// Whether a character hides or moves text: control, bidirectional, zero-width, tag, line separator.
pub fn hides(c: char) -> bool {
    c.is_control() || is_invisible(c) || matches!(c, '\u{2028}' | '\u{2029}')
}

/// The first character that must not be written to ZIA: control, bidirectional or invisible.
pub fn unwritable(text: &str) -> Option<char> {
    text.chars().find(|&c| c.is_control() || (is_invisible(c) && !matches!(c, '\u{200C}' | '\u{200D}')))
}

/// Whether an address may be taken for another one: scripts mixed, or letters like ASCII's.
///
/// Judged by Unicode Technical Standard #39, part by part.
pub fn looks_like_another(address: &str) -> bool {
    use unicode_security::MixedScript;
    address.split(['@', '.', '-', '_', '+']).filter(|part| !part.is_ascii()).any(|part| {
        let skeleton: String = unicode_security::skeleton(part).collect();
        !part.is_single_script() || skeleton.is_ascii()
    })
}

/// Whether a name may be taken for another one: a word mixes scripts, or is all letters like ASCII's.
pub fn reads_like_another(name: &str) -> bool {
    name.split_whitespace().any(looks_like_another)
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
    fn look_alike_addresses_are_told_from_foreign_ones() {
        for bad in ["j\u{430}ne@example.com", "\u{430}\u{440}\u{435}@example.com", "jane@ex\u{430}mple.com"] {
            assert!(looks_like_another(bad), "{bad}");
        }
        for good in
            ["jane@example.com", "jos\u{e9}@example.com", "\u{674e}\u{96f7}@example.com", "иван@example.com"]
        {
            assert!(!looks_like_another(good), "{good}");
        }
    }

    #[test]
    fn t36_look_alike_names_are_told_from_foreign_ones() {
        for bad in ["J\u{430}ne Doe", "P\u{430}\u{443}p\u{430}l", "Kim \u{421}\u{43e}\u{440}\u{430}"] {
            assert!(reads_like_another(bad), "{bad}");
        }
        for good in
            ["Jane Doe", "Ана Иванова", "José Müller-Łukasz", "李雷 (Li Lei)", "Θεοδωρος Kim", "山田 タロウ"]
        {
            assert!(!reads_like_another(good), "{good}");
        }
    }

    #[test]
    fn joiners_may_be_written_and_overrides_may_not() {
        assert_eq!(unwritable("👩\u{200D}🚀 می\u{200C}خواهم"), None);
        assert_eq!(unwritable("a\u{202E}"), Some('\u{202E}'));
        assert_eq!(unwritable("a\0"), Some('\0'));
    }
}
