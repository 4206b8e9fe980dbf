//! Rows of ZIA's list, packed without loss.

/// What nearly every row has, in the vendor's spelling (zia-facts §3.1).
///
/// A part is packed as one control character, which no JSON text holds as such.
const PARTS: [(u8, &str); 16] = [
    (1, r#"{"id":"#),
    (2, r#","name":""#),
    (3, r#"","email":""#),
    (4, r#"","groups":[{"id":"#),
    (5, r#""},{"id":"#),
    (6, r#""}],"department":{"id":"#),
    (7, r#""},"adminUser":false,"isNonEditable":false"#),
    (11, r#","pwdLastModifiedTime":0,"deleted":false,"pilotUser":false}"#),
    (12, r#""},"comments":""#),
    (14, r#"","adminUser":false,"isNonEditable":false"#),
    (15, r#""}],"adminUser":false,"isNonEditable":false"#),
    (16, r#""adminUser":false"#),
    (17, r#""isNonEditable":"#),
    (18, r#""department":{"id":"#),
    (19, r#""groups":["#),
    (20, r#"true,"#),
];

/// Packs a row's text.
pub(super) fn packed(text: &str) -> Vec<u8> {
    let mut packed = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let may_begin = matches!(first, '{' | '"' | ',' | 't');
        let parts = PARTS.iter().filter(|(_, p)| may_begin && rest.starts_with(p));
        let longest = parts.max_by_key(|(_, p)| p.len());
        let (taken, code) = longest.map_or((first.len_utf8(), None), |(code, p)| (p.len(), Some(*code)));
        let (here, after) = rest.split_at(taken);
        match code {
            Some(code) => packed.push(code),
            None => packed.extend(here.as_bytes()),
        }
        rest = after;
    }
    packed
}

/// The text that was packed; `None` if it was none.
pub(super) fn unpacked(packed: &[u8]) -> Option<String> {
    let mut text = Vec::with_capacity(packed.len() * 3);
    for byte in packed {
        match PARTS.iter().find(|(code, _)| code == byte) {
            Some((_, part)) => text.extend(part.as_bytes()),
            None => text.push(*byte),
        }
    }
    String::from_utf8(text).ok()
}

/// Whether a text comes back as it was.
pub(super) fn can_be_packed(text: &str) -> bool {
    !text.bytes().any(|byte| PARTS.iter().any(|(code, _)| *code == byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back_byte_for_byte_and_takes_less_room() {
        let row = r#"{"id":165000031,"name":"Zoë Ünal","email":"zoe.unal@example.com","groups":[{"id":1,"name":"All"},{"id":2,"name":"Sales"}],"department":{"id":3,"name":"Sales"},"adminUser":false,"isNonEditable":false,"pwdLastModifiedTime":0,"deleted":false,"pilotUser":false}"#;
        let short = packed(row);
        assert_eq!(unpacked(&short).as_deref(), Some(row));
        assert!(short.len() * 2 < row.len(), "{} of {}", short.len(), row.len());
        for other in ["", "{}", "{ \"id\" : 7 }", r#"{"id":{"id":{"id":7}}}"#, "null", "🦜"] {
            assert!(can_be_packed(other));
            assert_eq!(unpacked(&packed(other)).as_deref(), Some(other));
        }
        assert!(!can_be_packed("\u{1}"));
    }
}
