//! The small values of a message: its strings, its id, the keys of its objects.

use std::{borrow::Cow, collections::HashSet, fmt};

use rmcp::model::RequestId;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What a message has as its id.
#[derive(Debug, Default)]
pub(super) enum Id {
    #[default]
    Absent,
    Null,
    Bad,
    Usable(RequestId),
}

impl Id {
    pub(super) fn usable(&self) -> Option<RequestId> {
        if let Self::Usable(id) = self { Some(id.clone()) } else { None }
    }
}

/// A visitor's answers to plain values that it does not want.
macro_rules! plain_values {
    ($value:ty, $answer:expr) => {
        fn visit_bool<E: Error>(self, _: bool) -> Result<$value, E> {
            Ok($answer(self))
        }
        fn visit_i64<E: Error>(self, _: i64) -> Result<$value, E> {
            Ok($answer(self))
        }
        fn visit_u64<E: Error>(self, _: u64) -> Result<$value, E> {
            Ok($answer(self))
        }
        fn visit_f64<E: Error>(self, _: f64) -> Result<$value, E> {
            Ok($answer(self))
        }
        fn visit_unit<E: Error>(self) -> Result<$value, E> {
            Ok($answer(self))
        }
    };
}
pub(super) use plain_values;

pub(super) fn skip_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

pub(super) fn skip_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Reads a string, borrowed where it has no escapes; `None` for any other value.
pub(super) struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        skip_map(map).map(|()| None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        skip_seq(seq).map(|()| None)
    }

    plain_values!(Option<Cow<'de, str>>, |_| None);
}

/// Reads a message's id.
pub(super) struct IdSeed;

impl<'de> DeserializeSeed<'de> for IdSeed {
    type Value = Id;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Id, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for IdSeed {
    type Value = Id;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Id, E> {
        Ok(Id::Usable(RequestId::String(text.into())))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Id, E> {
        Ok(Id::Usable(RequestId::Number(number)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Id, E> {
        Ok(i64::try_from(number).map_or(Id::Bad, |n| Id::Usable(RequestId::Number(n))))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Id, E> {
        Ok(Id::Bad)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Id, E> {
        Ok(Id::Bad)
    }

    fn visit_unit<E: Error>(self) -> Result<Id, E> {
        Ok(Id::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Id, A::Error> {
        skip_map(map).map(|()| Id::Bad)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Id, A::Error> {
        skip_seq(seq).map(|()| Id::Bad)
    }
}

/// The keys of one object: a list while they are few, hashed beyond that.
#[derive(Default)]
pub(super) struct Keys<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Keys<'a> {
    /// Above this, comparing each key with all others costs more than hashing.
    const FEW: usize = 16;

    /// Whether the key is new.
    pub(super) fn insert(&mut self, key: Cow<'a, str>) -> bool {
        if !self.many.is_empty() {
            return self.many.insert(key);
        }
        if self.few.contains(&key) {
            return false;
        }
        self.few.push(key);
        if self.few.len() > Self::FEW {
            self.many.extend(self.few.drain(..));
        }
        true
    }
}
