//! Cursors that only this server can make.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::failure::Failure;
use crate::model::Digest;

/// Bytes of the tag kept in a cursor.
const TAG: usize = 16;

/// Seals a position for one query.
pub(crate) fn seal(key: &[u8; 32], query: &Digest, after: i64) -> String {
    let mut bytes = after.to_be_bytes().to_vec();
    bytes.extend(tag(key, query, &after.to_be_bytes()));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Opens a cursor of the same query.
///
/// # Errors
/// `INVALID_ARGUMENT` for anything that this server did not make for this query.
pub(crate) fn open(key: &[u8; 32], query: &Digest, cursor: &str) -> Result<i64, Failure> {
    let bad = || Failure::argument("cursor", "the cursor does not belong to this query");
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad())?;
    let (after, given) = bytes.split_at_checked(8).ok_or_else(bad)?;
    let genuine = bool::from(subtle::ConstantTimeEq::ct_eq(tag(key, query, after).as_slice(), given));
    let after = <[u8; 8]>::try_from(after).map_err(|_| bad())?;
    genuine.then(|| i64::from_be_bytes(after)).ok_or_else(bad)
}

fn tag(key: &[u8; 32], query: &Digest, after: &[u8]) -> Vec<u8> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(query.as_bytes());
    mac.update(after);
    mac.finalize().into_bytes().iter().take(TAG).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_for_its_own_query_only() {
        let (key, query) = ([7; 32], Digest::of(b"q"));
        let cursor = seal(&key, &query, 42);
        assert_eq!(open(&key, &query, &cursor), Ok(42));
        assert!(open(&key, &Digest::of(b"other"), &cursor).is_err());
        assert!(open(&[8; 32], &query, &cursor).is_err());
    }

    #[test]
    fn a_changed_or_foreign_cursor_is_refused() {
        let (key, query) = ([7; 32], Digest::of(b"q"));
        for junk in ["", "junk", "AAAA", "////", &"A".repeat(5_000)] {
            assert!(open(&key, &query, junk).is_err(), "{junk:?}");
        }
        let cursor = seal(&key, &query, 42);
        for at in 0..cursor.len() {
            let mut bytes = cursor.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_ne!(open(&key, &query, &changed), Ok(42), "{changed}");
        }
    }
}
