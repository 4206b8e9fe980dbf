//! One pass over a message's JSON.
//!
//! Problems are noted and the walk goes on, so that an id after them is still found and broken JSON
//! still counts as such. Recursion ends at [`MAX_DEPTH`]; what is deeper is skipped, which
//! `serde_json` does without recursion.

use std::{borrow::Cow, cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{
    MAX_DEPTH,
    parts::{Id, IdSeed, Keys, Text, plain_values, skip_map, skip_seq},
};

/// What the walk found wrong, besides syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    Batch,
    NotAnObject,
    TooDeep,
    TwiceTheSameKey,
}

impl Problem {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Batch => "batches are not supported",
            Self::NotAnObject => "a message is a JSON object",
            Self::TooDeep => "the message is nested more than 32 levels deep",
            Self::TwiceTheSameKey => "an object of the message has the same key twice",
        }
    }
}

/// What a member of an object is, as far as frames care.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Shape {
    /// Absent, or null, which clients send for absent.
    #[default]
    Nothing,
    Text,
    Integer,
    Object,
    /// Any other value, where an object is expected.
    Other,
}

impl Shape {
    /// The same, where only an object will do.
    fn as_object(self) -> Self {
        if matches!(self, Self::Nothing | Self::Object) { self } else { Self::Other }
    }
}

#[derive(Debug, Default)]
pub(super) enum Seen<T> {
    #[default]
    Absent,
    Present(T),
}

#[derive(Debug, Default)]
pub(super) struct Params {
    pub(super) shape: Shape,
    pub(super) name: Shape,
    pub(super) uri: Shape,
    pub(super) arguments: Shape,
    pub(super) meta: Shape,
}

/// The members of a message that decide what it is.
#[derive(Debug, Default)]
pub(super) struct Message<'a> {
    pub(super) problem: Option<Problem>,
    pub(super) jsonrpc: Option<Cow<'a, str>>,
    pub(super) id: Id,
    pub(super) method: Seen<Option<Cow<'a, str>>>,
    pub(super) params: Params,
    pub(super) result: bool,
    /// Whether the error is of the right shape.
    pub(super) error: Seen<bool>,
}

/// Walks one JSON text; an error means that it is none.
pub(super) fn message(text: &str) -> Result<Message<'_>, serde_json::Error> {
    let problem = Cell::new(None);
    let mut json = serde_json::Deserializer::from_str(text);
    let mut message = json.deserialize_any(Top { problem: &problem })?;
    json.end()?;
    message.problem = problem.get();
    Ok(message)
}

fn note(problem: &Cell<Option<Problem>>, found: Problem) {
    problem.set(problem.get().or(Some(found)));
}

/// Visits the message itself.
struct Top<'p> {
    problem: &'p Cell<Option<Problem>>,
}

impl Top<'_> {
    fn value<F: FnMut(&str, Shape)>(&self, field: F) -> Value<'_, F> {
        Value { problem: self.problem, depth: 2, field }
    }

    fn member<'de, A: MapAccess<'de>>(
        &self,
        key: &str,
        message: &mut Message<'de>,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match key {
            "jsonrpc" => message.jsonrpc = map.next_value_seed(Text)?,
            "id" => message.id = map.next_value_seed(IdSeed)?,
            "method" => message.method = Seen::Present(map.next_value_seed(Text)?),
            "params" => {
                let mut params = Params::default();
                let shape = map.next_value_seed(self.value(|key, shape| match key {
                    "name" => params.name = shape,
                    "uri" => params.uri = shape,
                    "arguments" => params.arguments = shape.as_object(),
                    "_meta" => params.meta = shape.as_object(),
                    _ => {}
                }))?;
                message.params = Params { shape: shape.as_object(), ..params };
            }
            "error" => {
                let (mut code, mut text) = (Shape::Nothing, Shape::Nothing);
                map.next_value_seed(self.value(|key, shape| match key {
                    "code" => code = shape,
                    "message" => text = shape,
                    _ => {}
                }))?;
                message.error = Seen::Present(code == Shape::Integer && text == Shape::Text);
            }
            other => {
                message.result |= other == "result";
                map.next_value_seed(self.value(|_, _| {}))?;
            }
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = Message<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Message<'de>, A::Error> {
        let (mut message, mut keys) = (Message::default(), Keys::default());
        while let Some(key) = map.next_key_seed(Text)? {
            let key = key.unwrap_or_default();
            self.member(&key, &mut message, &mut map)?;
            let is_id = key == "id";
            if !keys.insert(key) {
                note(self.problem, Problem::TwiceTheSameKey);
                if is_id {
                    message.id = Id::Bad;
                }
            }
        }
        Ok(message)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Message<'de>, A::Error> {
        note(self.problem, Problem::Batch);
        skip_seq(seq)?;
        Ok(Message::default())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Message<'de>, E> {
        Ok(self.not_an_object())
    }

    plain_values!(Message<'de>, Top::not_an_object);
}

impl Top<'_> {
    fn not_an_object<'de>(self) -> Message<'de> {
        note(self.problem, Problem::NotAnObject);
        Message::default()
    }
}

/// Visits any value below the message and tells the shapes of its own members.
struct Value<'p, F> {
    problem: &'p Cell<Option<Problem>>,
    depth: usize,
    field: F,
}

type NoField = fn(&str, Shape);

impl<'p, F> Value<'p, F> {
    fn inner(&self) -> Value<'p, NoField> {
        Value { problem: self.problem, depth: self.depth + 1, field: |_, _| {} }
    }

    /// Whether the value, an object or array, is deeper than allowed.
    fn too_deep(&self) -> bool {
        if self.depth > MAX_DEPTH {
            note(self.problem, Problem::TooDeep);
        }
        self.depth > MAX_DEPTH
    }
}

impl<'de, F: FnMut(&str, Shape)> DeserializeSeed<'de> for Value<'_, F> {
    type Value = Shape;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(&str, Shape)> Visitor<'de> for Value<'_, F> {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Shape, A::Error> {
        if self.too_deep() {
            return skip_map(map).map(|()| Shape::Object);
        }
        let mut keys = Keys::default();
        while let Some(key) = map.next_key_seed(Text)? {
            let key = key.unwrap_or_default();
            let shape = map.next_value_seed(self.inner())?;
            (self.field)(&key, shape);
            if !keys.insert(key) {
                note(self.problem, Problem::TwiceTheSameKey);
            }
        }
        Ok(Shape::Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        if self.too_deep() {
            return skip_seq(seq).map(|()| Shape::Other);
        }
        while seq.next_element_seed(self.inner())?.is_some() {}
        Ok(Shape::Other)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::Text)
    }

    fn visit_unit<E: Error>(self) -> Result<Shape, E> {
        Ok(Shape::Nothing)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Integer)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Integer)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Other)
    }
}
