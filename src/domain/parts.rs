//! Edits in parts: a dotted name such as `cadence.kind` sets one leaf inside the field `cadence`.
//!
//! Devices apply a part with Dexie's `Table.update`, and its rules are these. The name is cut at its dots. What is
//! missing or falsy on the way (`null`, `""`, `0`, `false`) becomes an object; a text, a number or `true` there is left
//! alone. A list takes an index. A dot at the end of the name is as if it were not there.
//! `tests/vectors/dotted.json` and `tests/vectors/parts.json` judge.
//!
//! A value is parsed only where a part goes through it, and once for all parts of all rows, so the cost of a fold stays
//! linear in the length of its rows. What no part touched keeps its raw text.

use std::borrow::Cow;

use indexmap::IndexMap;
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::json;
use super::opened::{Ask, Asks};

/// Names with more dots are ignored. Devices nest by three; our own readers stop at 127 levels.
const MAX_DEPTH: usize = 64;
/// How far behind its end a list takes an index; the places between become `null`. Without a bound a name of twenty
/// bytes would make a list of four billion elements.
const MAX_GAP: usize = 100;
/// How many such `null` the parts of one record may make in all. A record of 300 kB can hold a hundred thousand empty
/// lists, and a gap in each of them would take a gigabyte.
const MAX_PADDING: usize = 10_000;

/// A value, opened as far as parts went into it.
#[derive(Debug, Clone)]
pub(super) enum Value<'row> {
    /// Raw text, as it came.
    Closed(Cow<'row, RawValue>),
    /// What a row claims to set, whose `data` is not opened there.
    Unread(Ask<'row>),
    /// Members, in the order in which they were added.
    Object(IndexMap<String, Self>),
    /// Elements.
    List(Vec<Self>),
}

/// What setting parts takes and finds out.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    /// How many `null` may still be put into gaps.
    pub padding: Padding,
    /// What has to be opened before the result is known.
    pub asks: Asks,
}

/// How many `null` the parts of a record may still put into the gaps of its lists.
#[derive(Debug, Clone)]
pub(super) struct Padding {
    left: usize,
}

impl Default for Padding {
    fn default() -> Self {
        Self { left: MAX_PADDING }
    }
}

impl Padding {
    /// Takes so many; none, and `false`, where fewer are left.
    fn take(&mut self, count: usize) -> bool {
        let suffices = count <= self.left;
        self.left -= if suffices { count } else { 0 };
        suffices
    }
}

/// Does `name` go deeper than we follow?
pub(super) fn is_too_deep(name: &str) -> bool {
    name.bytes().filter(|byte| *byte == b'.').count() > MAX_DEPTH
}

impl<'row> Value<'row> {
    /// What stands where nothing stood: a part makes an object of it.
    pub(super) fn null() -> Self {
        Self::Closed(Cow::Borrowed(RawValue::NULL))
    }

    /// The row that claims to set it, where that is not opened.
    pub(super) fn unread(&self) -> Option<Ask<'row>> {
        if let Self::Unread(ask) = self { Some(*ask) } else { None }
    }

    /// The raw text, unless a part went into the value; then it is an object or a list.
    pub(super) fn raw(&self) -> Option<&RawValue> {
        if let Self::Closed(raw) = self { Some(raw) } else { None }
    }

    /// Back to raw text.
    pub(super) fn close(self) -> Box<RawValue> {
        match self {
            Self::Closed(raw) => raw.into_owned(),
            opened => to_raw_value(&opened).expect("raw JSON under text keys is JSON"),
        }
    }

    /// Sets `value` at `path` inside this one; an empty path means this one itself.
    ///
    /// `compare`: no member was met yet whose key is the whole rest of the path, dots and all. Dexie compares the new
    /// value with the first such member, and sets nothing where both are the same text, number, boolean or null.
    /// A list that would need more padding than is left stays as it is.
    pub(super) fn set(&mut self, path: &str, compare: bool, value: Self, progress: &mut Progress) {
        if path.is_empty() {
            *self = value;
            return;
        }
        self.open();
        match self {
            Self::Closed(_) => {}
            Self::Unread(ask) => progress.asks.name(*ask),
            Self::Object(members) => set_member(members, path, compare, value, progress),
            Self::List(elements) => set_element(elements, path, compare, value, progress),
        }
    }

    /// Parses an object or a list one level deep; what is falsy becomes an empty object. Anything else stays closed, and
    /// so does what cannot be parsed, such as a key that is half a character, which Postgres does not store either.
    fn open(&mut self) {
        let Self::Closed(raw) = self else { return };
        let opened = match raw.get().as_bytes().first() {
            Some(b'{') => serde_json::from_str(raw.get()).map(|members: IndexMap<String, Box<RawValue>>| {
                let closed = |(key, raw)| (key, Self::Closed(Cow::Owned(raw)));
                Self::Object(members.into_iter().map(closed).collect())
            }),
            Some(b'[') => serde_json::from_str(raw.get()).map(|elements: Vec<Box<RawValue>>| {
                Self::List(elements.into_iter().map(|raw| Self::Closed(Cow::Owned(raw))).collect())
            }),
            _ if json::is_falsy(raw) => Ok(Self::Object(IndexMap::new())),
            _ => return,
        };
        if let Ok(opened) = opened {
            *self = opened;
        }
    }

    /// JavaScript's `===` between two values of which neither is an object or a list. Asks where one is not read.
    pub(super) fn is_same_primitive(&self, other: &Self, asks: &mut Asks) -> bool {
        [self, other].into_iter().filter_map(Self::unread).for_each(|ask| asks.name(ask));
        let (Some(raw), Some(other)) = (self.raw(), other.raw()) else { return false };
        if [raw, other].iter().any(|raw| raw.get().starts_with(['{', '['])) {
            return false;
        }
        let read = |raw: &RawValue| json::read::<serde_json::Value>(raw.get()).ok();
        match (read(raw), read(other)) {
            // As devices read them: 1 and 1.0 are one number.
            (Some(serde_json::Value::Number(one)), Some(serde_json::Value::Number(two))) => {
                one.as_f64() == two.as_f64()
            }
            (one, two) => one.is_some() && one == two,
        }
    }
}

fn set_member<'row>(
    members: &mut IndexMap<String, Value<'row>>,
    path: &str,
    mut compare: bool,
    value: Value<'row>,
    progress: &mut Progress,
) {
    // Without a dot it is the member itself that is set. One that is not read need not be compared: setting it to the
    // same value would change nothing but how a number is written.
    let is_told = |literal: &Value<'_>| {
        path.contains('.') || [literal, &value].iter().all(|one| one.unread().is_none())
    };
    if compare && let Some(literal) = members.get(path).filter(|literal| is_told(literal)) {
        if literal.is_same_primitive(&value, &mut progress.asks) {
            return;
        }
        compare = false;
    }
    let (key, rest) = path.split_once('.').unwrap_or((path, ""));
    // In JavaScript this would assign the object's prototype, which no JSON shows.
    if key == "__proto__" && !members.contains_key(key) {
        return;
    }
    members.entry(key.to_owned()).or_insert_with(Value::null).set(rest, compare, value, progress);
}

/// Keys that are no index would become properties of the list, which no JSON shows. `length` is left alone, too.
fn set_element<'row>(
    elements: &mut Vec<Value<'row>>,
    path: &str,
    compare: bool,
    value: Value<'row>,
    progress: &mut Progress,
) {
    let (key, rest) = path.split_once('.').unwrap_or((path, ""));
    let Some(index) = index(key) else { return };
    // How long the list becomes depends on whether the row has this name at all.
    if let Some(ask) = value.unread() {
        progress.asks.name(ask);
    }
    if index >= elements.len() {
        let gap = index - elements.len();
        if gap > MAX_GAP || !progress.padding.take(gap) {
            return;
        }
        elements.resize_with(index + 1, Value::null);
    }
    elements[index].set(rest, compare, value, progress);
}

/// An index as JavaScript prints it: `0`, `12`, never `01`.
fn index(key: &str) -> Option<usize> {
    let index: u32 = key.parse().ok()?;
    (index < u32::MAX && index.to_string() == key).then_some(index as usize)
}

/// Members in JavaScript's order: indices first, by value, then the others as they were added.
impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Closed(raw) => raw.serialize(serializer),
            Self::Unread(_) => serializer.serialize_unit(),
            Self::List(elements) => serializer.collect_seq(elements),
            Self::Object(members) => {
                let mut ordered: Vec<_> = members.iter().collect();
                ordered.sort_by_cached_key(|(key, _)| index(key).map_or((true, 0), |index| (false, index)));
                serializer.collect_map(ordered)
            }
        }
    }
}
