//! JSON that holds what no text can.

use std::borrow::Cow;

/// Replaces escaped surrogates without a partner, which JSON allows and Rust's strings do not.
pub fn mend_surrogates(json: &str) -> Cow<'_, str> {
    if !json.contains("\\u") {
        return Cow::Borrowed(json);
    }
    let mut mended = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((plain, escape)) = rest.find('\\').and_then(|at| rest.split_at_checked(at)) {
        mended.push_str(plain);
        let whole = match surrogate(escape) {
            Some(Half::High) if escape.get(6..).and_then(surrogate) == Some(Half::Low) => 12,
            Some(_) => 0,
            // The escaped character goes along, so that an escaped backslash begins nothing.
            None => 1 + escape.chars().nth(1).map_or(0, char::len_utf8),
        };
        mended.push_str(if whole == 0 { "\\ufffd" } else { escape.get(..whole).unwrap_or(escape) });
        rest = escape.get(if whole == 0 { 6 } else { whole }..).unwrap_or_default();
    }
    mended.push_str(rest);
    Cow::Owned(mended)
}

#[derive(PartialEq)]
enum Half {
    High,
    Low,
}

/// Whether a text begins with an escaped surrogate.
fn surrogate(text: &str) -> Option<Half> {
    let hex = text.strip_prefix("\\u")?.get(..4)?;
    match u16::from_str_radix(hex, 16).ok()? {
        0xD800..=0xDBFF => Some(Half::High),
        0xDC00..=0xDFFF => Some(Half::Low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_surrogates_without_a_partner_are_replaced() {
        for (given, mended) in [
            (r#""plain""#, r#""plain""#),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""\\\ud83d\n""#, r#""\\\ufffd\n""#),
            (r#""é\u00e9\uDFFF""#, r#""é\u00e9\ufffd""#),
        ] {
            assert_eq!(mend_surrogates(given), mended);
            assert!(serde_json::from_str::<String>(mended).is_ok(), "{mended}");
        }
    }

    proptest! {
        #[test]
        fn mending_never_panics_and_keeps_what_reads_already(text: String, pieces in prop::collection::vec(prop::sample::select(vec!["\\", "\\u", "\\ud83d", "\\ude00", "é", "x", "\\\\", "d8"]), 0..20)) {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(&mend_surrogates(&json)).unwrap(), text);
            mend_surrogates(&pieces.concat());
        }
    }
}
