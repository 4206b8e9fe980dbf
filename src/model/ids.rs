//! Identifiers and digests.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// A ZIA user's id: a positive 64-bit integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct UserId(i64);

impl UserId {
    /// Accepts 1 to `i64::MAX`; `None` otherwise.
    pub fn new(id: i64) -> Option<Self> {
        (id > 0).then_some(Self(id))
    }

    /// The number, always positive.
    pub fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for UserId {
    type Err = ();

    /// Reads plain decimal digits only: no sign, no blanks.
    fn from_str(text: &str) -> Result<Self, ()> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(());
        }
        text.parse().ok().and_then(Self::new).ok_or(())
    }
}

impl<'de> Deserialize<'de> for UserId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let id = i64::deserialize(from)?;
        Self::new(id).ok_or_else(|| serde::de::Error::custom("an id is a positive 64-bit integer"))
    }
}

/// Makes a random 128-bit identifier type with a readable prefix.
macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// A new random id of 128 bits.
            pub fn random() -> Self {
                Self(format!(concat!($prefix, "{}"), uuid::Uuid::new_v4().simple()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = ();

            /// Accepts the prefix and 32 lower-case hexadecimal digits.
            fn from_str(text: &str) -> Result<Self, ()> {
                let hex = text.strip_prefix($prefix).ok_or(())?;
                let plain = hex.len() == 32 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                plain.then(|| Self(text.to_owned())).ok_or(())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                text.parse().map_err(|()| serde::de::Error::custom(concat!("not an id of the form ", $prefix, "…")))
            }
        }
    };
}

random_id!(
    /// The id of an operation: `op_` and 32 hexadecimal digits.
    OperationId,
    "op_"
);
random_id!(
    /// The id of a capture: `cap_` and 32 hexadecimal digits.
    CaptureId,
    "cap_"
);

/// A SHA-256 digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of a JSON value, whatever the order of its fields.
    pub fn of_json(value: &Value) -> Self {
        Self::of(canonical_json(value).as_bytes())
    }

    /// Takes 32 bytes as a digest; `None` for any other length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// JSON with the fields of every object in order and no blanks.
pub fn canonical_json(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<_> = map.iter().collect();
            fields.sort_by_key(|(name, _)| name.as_str());
            let inner: Vec<_> = fields
                .into_iter()
                .map(|(name, v)| format!("{}:{}", Value::from(name.as_str()), canonical_json(v)))
                .collect();
            format!("{{{}}}", inner.join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(canonical_json).collect::<Vec<_>>().join(","))
        }
        plain => plain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn user_ids_are_positive_plain_decimals() {
        assert_eq!("42".parse(), Ok(UserId(42)));
        for bad in ["", "0", "-1", "+1", " 1", "1 ", "1.0", "0x1", "9223372036854775808", "../5", "5%2f", "٣"]
        {
            assert_eq!(bad.parse::<UserId>(), Err(()), "{bad:?}");
        }
    }

    #[test]
    fn operation_ids_read_back_and_refuse_anything_else() {
        let id = OperationId::random();
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
        for bad in ["", "op_", "op_../../x", "cap_0123456789abcdef0123456789abcdef", "OP_0"] {
            assert!(bad.parse::<OperationId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn canonical_json_ignores_the_order_of_fields() {
        let (a, b) = (
            json!({"b": [1, {"d": 2, "c": null}], "a": "x"}),
            json!({"a": "x", "b": [1, {"c": null, "d": 2}]}),
        );
        assert_eq!(canonical_json(&a), r#"{"a":"x","b":[1,{"c":null,"d":2}]}"#);
        assert_eq!(Digest::of_json(&a), Digest::of_json(&b));
    }
}
