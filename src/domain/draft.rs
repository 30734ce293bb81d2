//! A record while its rows are folded: values that may be open or unread, and who set each clock.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::change::{Clocks, Fields, SCHEDULE_FIELDS};
use super::opened::{Ask, Asks, Wanted};
use super::parts::{self, Progress, Value};

/// The rule that decides every conflict: does a value set at `time` replace one set at `clock`?
pub fn wins(time: &str, clock: &str) -> bool {
    time >= clock
}

/// What a row says of one name.
#[derive(Debug, Clone)]
pub(super) struct Entry<'row> {
    pub name: Cow<'row, str>,
    pub value: Value<'row>,
    pub time: Cow<'row, str>,
}

/// A record whose values may be open or unread.
#[derive(Debug, Clone, Default)]
pub(super) struct Draft<'row> {
    fields: BTreeMap<Cow<'row, str>, Value<'row>>,
    clocks: BTreeMap<Cow<'row, str>, Clock<'row>>,
    pub progress: Progress,
}

/// The clock of a name, where no claim is false. If some are, the true one is not newer, or there is none.
#[derive(Debug, Clone)]
struct Clock<'row> {
    time: Cow<'row, str>,
    /// The claim that set it; `None` where an opened row did.
    setter: Option<Ask<'row>>,
    /// The claim that set the first one; `None` where it is sure that the name has a clock at all.
    first: Option<Ask<'row>>,
}

/// The text that stands in for the clock of a name that has none.
#[derive(Debug, Clone)]
pub(super) enum StandIn<'row> {
    /// This one; empty where there is none.
    Text(String),
    /// It stands in a row that is not opened.
    Unread(Ask<'row>),
}

impl<'row> Draft<'row> {
    /// The value of a field where it is a text; asks where it is not read.
    pub fn text_of(&mut self, field: &str) -> Option<String> {
        let value = self.fields.get(field)?;
        if let Some(ask) = value.unread() {
            self.progress.asks.name(ask);
        }
        text(value.raw()?)
    }

    /// The value of a field, as a stand-in for clocks.
    pub fn stand_in(&self, field: &str) -> StandIn<'row> {
        let value = self.fields.get(field);
        match value.and_then(Value::unread) {
            Some(ask) => StandIn::Unread(ask),
            None => StandIn::Text(value.and_then(Value::raw).and_then(text).unwrap_or_default()),
        }
    }

    /// Takes an entry where its clock wins. `is_known`: was the record there before this row?
    pub fn take(&mut self, entry: Entry<'row>, stand_in: &StandIn<'row>, is_known: bool) {
        if !self.is_won(&entry.name, &entry.time, stand_in) {
            return;
        }
        let setter = entry.value.unread();
        // A part that arrives before its record has nothing to go into: it stays a field with a dot in its name.
        if is_known {
            self.set(entry.name.clone(), entry.value);
        } else {
            self.fields.insert(entry.name.clone(), entry.value);
        }
        let first = setter.and_then(|setter| match self.clocks.get(&entry.name) {
            Some(clock) => clock.first,
            None => Some(setter),
        });
        self.clocks.insert(entry.name, Clock { time: entry.time, setter, first });
    }

    /// Does `time` win the name? Asks where that depends on a row that is not opened.
    pub fn is_won(&mut self, name: &str, time: &str, stand_in: &StandIn<'row>) -> bool {
        let asks = &mut self.progress.asks;
        let Some(clock) = self.clocks.get(name) else {
            return match stand_in {
                StandIn::Text(text) => wins(time, text),
                StandIn::Unread(ask) => {
                    asks.name(*ask);
                    true
                }
            };
        };
        if !wins(time, &clock.time) {
            // Of a whole field only the last winner counts, and that is asked for at the end. A part also shapes the
            // object that it goes into.
            if let Some(setter) = clock.setter.filter(|_| name.contains('.')) {
                asks.name(setter);
            }
            return false;
        }
        // It wins over every clock that the name can have. Has it one at all?
        let Some(first) = clock.first else { return true };
        if !matches!(stand_in, StandIn::Text(text) if wins(time, text)) {
            asks.name(first);
        }
        true
    }

    /// Does a soft delete win? It does not look at what stands in for other clocks, but at the value of `deletedAt`.
    pub fn is_deleted_by(&mut self, time: &str) -> bool {
        let clock = self.clocks.get("deletedAt");
        if let Some(setter) = clock.and_then(|clock| clock.setter) {
            self.progress.asks.name(setter);
        }
        let clock = clock.map(|clock| clock.time.to_string());
        wins(time, &clock.or_else(|| self.text_of("deletedAt")).unwrap_or_default())
    }

    /// Sets a field whatever its clock is.
    pub fn overwrite(&mut self, name: &'static str, value: Cow<'row, RawValue>, time: &str) {
        self.fields.insert(Cow::Borrowed(name), Value::Closed(value));
        let clock = Clock { time: Cow::Owned(time.to_owned()), setter: None, first: None };
        self.clocks.insert(Cow::Borrowed(name), clock);
    }

    fn set(&mut self, name: Cow<'row, str>, value: Value<'row>) {
        let Some((field, path)) = name.split_once('.') else {
            self.fields.insert(name, value);
            return;
        };
        // The key of the record is a text on every device, and stays one.
        let is_hidden_from_the_schedule = path.is_empty() && SCHEDULE_FIELDS.contains(&field);
        if field == "id" || is_hidden_from_the_schedule || parts::is_too_deep(&name) {
            return;
        }
        let literal = self.fields.get(&name);
        if literal.is_some_and(|literal| literal.is_same_primitive(&value, &mut self.progress.asks)) {
            return;
        }
        let compare = literal.is_none();
        let whole = self.fields.entry(Cow::Owned(field.to_owned())).or_insert_with(Value::null);
        whole.set(path, compare, value, &mut self.progress);
    }

    /// What has to be opened before the wanted fields are known.
    pub fn asks(&self, wanted: Wanted) -> Asks {
        let mut asks = self.progress.asks.clone();
        let setters = self.clocks.iter().map(|(name, clock)| (name, clock.setter));
        // A value without a clock is there where a row made the record.
        let values = self.fields.iter().map(|(name, value)| (name, value.unread()));
        let unread = setters.chain(values).filter(|(name, _)| wanted.has(name));
        unread.filter_map(|(_, ask)| ask).for_each(|ask| asks.name(ask));
        asks
    }

    /// The fields and their clocks.
    pub fn close(self, wanted: Wanted) -> (Fields, Clocks) {
        let (fields, clocks) = (self.fields.into_iter(), self.clocks.into_iter());
        let fields = fields.filter(|(name, value)| wanted.has(name) && value.unread().is_none());
        let clocks = clocks.filter(|(name, _)| wanted.has(name));
        (
            fields.map(|(name, value)| (name.into_owned(), value.close())).collect(),
            clocks.map(|(name, clock)| (name.into_owned(), clock.time.into_owned())).collect(),
        )
    }
}

/// The value where it is a JSON string.
pub(super) fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}
