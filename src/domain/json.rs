//! JSON of other people: whether it can be read as a tree, and one field of it, without building a tree.
//!
//! A tree takes up to seventy times the text, and reading one has a trap: see [`MAGIC`].

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// With its feature `raw_value`, serde_json reads the text under this key as JSON *again* wherever it reads a
/// `Value`, and in each such text the limit of depth begins anew. Half a megabyte overflowed the stack of a debug
/// build, which ends the process and everybody's missions with it.
const MAGIC: &str = "$serde_json::private::RawValue";

/// Why a text cannot be read. Quotes nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not JSON, or another shape than asked for.
    #[error("fault in line {line}, column {column}")]
    Syntax {
        /// Where, from 1.
        line: usize,
        /// Where in that line, from 1.
        column: usize,
    },
    /// Deeper than serde_json's 127 levels.
    #[error("nested too deep")]
    TooDeep,
    /// `\ud800` without its other half is no character.
    #[error("lone surrogate")]
    LoneSurrogate,
    /// See [`MAGIC`].
    #[error("reserved key")]
    Reserved,
}

/// Reads a value, whose parts may be `Value`s.
///
/// # Errors
/// Where [`check`] refuses the text, or it has another shape than `T`.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    check(text)?;
    serde_json::from_str(text).map_err(|error| Fault::of(&error))
}

/// Checks that a text could be read as a tree.
///
/// # Errors
/// Where it is no JSON, is nested too deep, or holds what a tree cannot.
pub fn check(text: &str) -> Result<(), Fault> {
    serde_json::from_str(text).map(|Sound| ()).map_err(|error| Fault::of(&error))
}

/// How many braces, brackets, colons and commas a JSON text has outside of its strings: how much there is in it beside
/// its text. Looks at bytes alone, so it takes no memory.
pub fn structure(text: &str) -> usize {
    let (mut count, mut in_string, mut escaped) = (0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' | b'[' | b':' | b',' if !in_string => count += 1,
            _ => {}
        }
    }
    count
}

/// A field of an object; `None` also where it has another type. Of two with one name it is the last.
pub fn field<'text, T: Deserialize<'text>>(object: &'text str, name: &str) -> Option<T> {
    let mut fields: BTreeMap<String, &'text RawValue> = serde_json::from_str(object).ok()?;
    serde_json::from_str(fields.remove(name)?.get()).ok()
}

/// Is this a value that JavaScript takes for false: `null`, `false`, an empty text, zero?
pub fn is_falsy(raw: &RawValue) -> bool {
    let text = raw.get();
    matches!(text, "null" | "false" | "\"\"") || text.parse::<f64>().is_ok_and(|number| number == 0.0)
}

impl Fault {
    /// serde_json names its faults in words alone.
    pub(crate) fn of(error: &serde_json::Error) -> Self {
        let words = error.to_string();
        let is = |fault: &str| words.starts_with(fault);
        if is("recursion limit exceeded") {
            Self::TooDeep
        } else if is("lone leading surrogate") || is("unexpected end of hex escape") {
            Self::LoneSurrogate
        } else if is(MAGIC) {
            Self::Reserved
        } else {
            Self::Syntax { line: error.line(), column: error.column() }
        }
    }
}

/// Any JSON that a tree could be built from, walked as if it were.
struct Sound;

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(text: D) -> Result<Self, D::Error> {
        text.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Sound {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    /// Also called for keys.
    fn visit_str<E: Error>(self, text: &str) -> Result<Self, E> {
        if text == MAGIC { Err(E::custom(MAGIC)) } else { Ok(self) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self, A::Error> {
        while fields.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}
