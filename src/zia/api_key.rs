//! The API key and its obfuscation.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

/// The largest index the obfuscation reads is 11 (zia-facts §1.1).
const MIN_CHARS: usize = 12;

/// An API key of at least 12 printable ASCII characters.
#[derive(Clone)]
pub(super) struct ApiKey(SecretString);

/// An obfuscated key and the one timestamp it is valid with.
pub(super) struct Obfuscated {
    pub(super) key: SecretString,
    /// Unix time in milliseconds, in decimal.
    pub(super) timestamp: String,
}

impl ApiKey {
    /// Accepts a key the obfuscation is defined for; the error says what was expected.
    pub(super) fn new(key: SecretString) -> Result<Self, &'static str> {
        let text = key.expose_secret();
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("printable ASCII characters only");
        }
        if text.len() < MIN_CHARS {
            return Err("at least 12 characters");
        }
        Ok(Self(key))
    }

    /// Obfuscates the key for a sign-in at some time (zia-facts §1.1).
    pub(super) fn obfuscate(&self, now: Timestamp) -> Obfuscated {
        let timestamp = now.as_millisecond().max(0).to_string();
        let key = self.obfuscated(&timestamp).into();
        Obfuscated { key, timestamp }
    }

    fn obfuscated(&self, timestamp: &str) -> String {
        let key = self.0.expose_secret().as_bytes();
        let recent = timestamp.get(timestamp.len().saturating_sub(6)..).unwrap_or(timestamp);
        let halved = format!("{:06}", recent.parse::<u32>().unwrap_or(0) >> 1);
        let digit = |b: u8| usize::from(b.saturating_sub(b'0'));
        let first = recent.bytes().map(&digit);
        let second = halved.bytes().map(|b| digit(b) + 2);
        first.chain(second).filter_map(|at| key.get(at).copied().map(char::from)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Result<ApiKey, &'static str> {
        ApiKey::new(text.into())
    }

    #[test]
    fn the_obfuscation_agrees_with_every_vector() {
        for (api_key, millis, expected) in [
            ("abcdefghijkl", 1_700_000_000_000, "aaaaaacccccc"),
            ("abcdefghijkl", 1_700_000_000_001, "aaaaabcccccc"),
            ("abcdefghijkl", 1_700_000_000_010, "aaaabaccccch"),
            ("abcdefghijkl", 1_700_000_123_456, "bcdefgcidjek"),
            ("abcdefghijkl", 1_700_000_999_999, "jjjjjjglllll"),
            ("0123456789AB", 1_234_567_890_123, "890123667283"),
            ("jh4Kd8sQz1Lm", 1_773_371_600_000, "sjjjjj844444"),
            ("jh4Kd8sQz1LmXYZ0", 1_773_371_695_734, "s18QKd8s1Lz1"),
        ] {
            let now = Timestamp::from_millisecond(millis).unwrap();
            let sent = key(api_key).unwrap().obfuscate(now);
            assert_eq!(sent.key.expose_secret(), expected, "{api_key} at {millis}");
            assert_eq!(sent.timestamp, millis.to_string());
        }
    }

    #[test]
    fn a_short_key_is_refused() {
        for short in ["abcdefghijk", "abcdefghij", "abc", ""] {
            assert_eq!(key(short).err(), Some("at least 12 characters"), "{short:?}");
        }
    }

    #[test]
    fn a_key_with_other_than_printable_ascii_is_refused() {
        for odd in
            ["abcdefghijké", "ａｂｃｄｅｆｇｈｉｊｋｌ", "abcdefghijkl\n", "abcdef ghijkl", "abcdefghijk\0"]
        {
            assert_eq!(key(odd).err(), Some("printable ASCII characters only"), "{odd:?}");
        }
    }

    #[test]
    fn f34_the_year_2038_is_a_year_like_any_other() {
        for (millis, expected) in [
            (2_147_483_647_999, "gehjjjfeflll"),
            (2_147_483_648_000, "geiaaafegccc"),
            (4_294_967_296_000, "cjgaaadgkccc"),
        ] {
            let sent = key("abcdefghijkl").unwrap().obfuscate(Timestamp::from_millisecond(millis).unwrap());
            assert_eq!(sent.key.expose_secret(), expected, "{millis}");
            assert_eq!(sent.timestamp, millis.to_string());
        }
    }

    #[test]
    fn f34_a_clock_at_the_epoch_still_gives_some_key() {
        for millis in [0, 1, 99_999, -5] {
            let now = Timestamp::from_millisecond(millis).unwrap();
            assert!(!key("abcdefghijkl").unwrap().obfuscate(now).key.expose_secret().is_empty());
        }
    }
}
