//! The fold: rows of one record → its fields with a clock each, by field-level last-writer-wins,
//! exactly as a device does it (`tests/vectors/lww.json` and `tests/vectors/dotted.json` judge).
//!
//! Clocks are compared as strings, and of two equal ones the later row wins. A dotted name such as `cadence.kind` is a
//! field of its own as far as clocks go; where it wins, its value goes into the object ([`parts`](super::parts)).
//!
//! The schedule folds five plain fields of the same rows ([`SCHEDULE_FIELDS`]) and sees no dotted name. That is enough. A
//! part never changes a text. What it can change in those five, nothing or something falsy into an object, counts as
//! absent before and after, see [`Standing::of`](super::mission::Standing::of). A part does not touch the clock of a plain
//! field. Only a name such as `state.`, with its dot at the end, would replace a text; no device writes it, and for these
//! five fields it is ignored.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::change::{ChangeRow, Clocks, Fields, Op, SCHEDULE_FIELDS};
use super::parts::{self, Padding, Value};
use super::time::EPOCH;

/// What the log says of one record.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Raw JSON values by field. Never `id`, never a key that starts with `__`. A name with a dot stands here only where
    /// a part arrived before the record itself.
    pub fields: Fields,
    /// When each name was last set, by the clock of the device that set it. Parts are here under their dotted names.
    pub clocks: Clocks,
}

/// Where the two generations of devices differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// A name without a clock is compared with the record's `updatedAt` value; otherwise with the empty string.
    pub updated_at_stands_in: bool,
    /// A soft delete sets `updatedAt`, too.
    pub delete_sets_updated_at: bool,
    /// An update without a single timestamped field makes an unknown record known, and empty. April's vectors do not
    /// decide it, and no later row can tell the difference but a soft delete.
    pub empty_update_creates: bool,
    /// The clock of an insert that has neither `updatedAt` nor `createdAt`. Today's devices take the moment at which
    /// they apply it, which differs from device to device, so the service takes a time that loses against every real one.
    pub undated_insert: &'static str,
}

impl Rules {
    /// The generation of April 2026.
    pub const APRIL: Self = Self {
        updated_at_stands_in: true,
        delete_sets_updated_at: true,
        empty_update_creates: true,
        undated_insert: EPOCH,
    };
    /// The generation whose clocks are in `field_meta` (`tests/vectors/field-meta.json` judges).
    pub const TODAY: Self = Self {
        updated_at_stands_in: false,
        delete_sets_updated_at: false,
        empty_update_creates: false,
        undated_insert: EPOCH,
    };
}

/// The rule that decides every conflict: does a value set at `time` replace one set at `clock`?
pub fn wins(time: &str, clock: &str) -> bool {
    time >= clock
}

/// A fold in progress. Rows go in by `created_at`, then `id`, and need not be held together: a
/// mission with a thousand iterations repeats them in a thousand rows.
#[derive(Debug, Clone)]
pub struct Fold {
    rules: Rules,
    record: Option<Draft>,
}

/// A record whose values may be open.
#[derive(Debug, Clone, Default)]
struct Draft {
    fields: BTreeMap<String, Value>,
    clocks: Clocks,
    padding: Padding,
}

/// The fold of rows in any order; `None` where the record was never there, or is hard-deleted.
pub fn fold(rows: Vec<ChangeRow>) -> Option<Record> {
    fold_by(Rules::APRIL, rows)
}

/// The same by the rules of another generation.
pub fn fold_by(rules: Rules, mut rows: Vec<ChangeRow>) -> Option<Record> {
    rows.sort_by_key(|row| (row.created_at, row.id));
    let mut fold = Fold::new(rules);
    rows.into_iter().for_each(|row| fold.apply(row));
    fold.finish()
}

impl Default for Fold {
    fn default() -> Self {
        Self::new(Rules::APRIL)
    }
}

impl Fold {
    /// Before the first row.
    pub fn new(rules: Rules) -> Self {
        Self { rules, record: None }
    }

    /// Takes the next row.
    pub fn apply(&mut self, row: ChangeRow) {
        match row.op {
            Op::Insert => self.insert(row.data),
            Op::Update => self.update(row.data, row.field_timestamps),
            Op::Delete => self.delete(row.data),
        }
    }

    /// A field of the record after the rows so far, where it is a text. Costs nothing, unlike [`Self::record`].
    pub fn text(&self, field: &str) -> Option<String> {
        self.record.as_ref()?.text_of(field)
    }

    /// Would the next row set this field? It would where the record is unknown, and where its clock wins.
    pub fn would_take(&self, row: &ChangeRow, field: &str) -> bool {
        let time = match row.op {
            Op::Insert => self.insert_time(&row.data),
            Op::Update => row.field_timestamps.get(field).cloned().unwrap_or_default(),
            Op::Delete => return false,
        };
        let Some(record) = &self.record else { return true };
        let stand_in = || self.rules.updated_at_stands_in.then(|| record.text_of("updatedAt")).flatten();
        let clock = record.clocks.get(field).cloned().or_else(stand_in).unwrap_or_default();
        wins(&time, &clock)
    }

    /// A copy of the record after the rows so far.
    pub fn record(&self) -> Option<Record> {
        self.clone().finish()
    }

    /// The record after all rows.
    pub fn finish(self) -> Option<Record> {
        let Draft { fields, clocks, .. } = self.record?;
        let fields = fields.into_iter().map(|(field, value)| (field, value.close())).collect();
        Some(Record { fields, clocks })
    }

    /// All fields of an insert have the time of the record; what an insert says of single fields' clocks is not read.
    fn insert(&mut self, data: Fields) {
        let time = self.insert_time(&data);
        self.merge(data.into_iter().map(|(name, value)| (name, value, time.clone())).collect());
    }

    fn insert_time(&self, data: &Fields) -> String {
        let time = text_of(data, "updatedAt").or_else(|| text_of(data, "createdAt"));
        time.unwrap_or_else(|| self.rules.undated_insert.to_owned())
    }

    /// A field without a timestamp never reaches a device, so it does not exist for us either.
    fn update(&mut self, data: Fields, mut timestamps: Clocks) {
        let entries: Vec<_> = data
            .into_iter()
            .filter_map(|(name, value)| timestamps.remove(&name).map(|time| (name, value, time)))
            .collect();
        if self.rules.empty_update_creates || !entries.is_empty() {
            self.merge(entries);
        }
    }

    /// Takes what wins. Entries come in the order of their names, so a whole field is set before its parts.
    fn merge(&mut self, entries: Vec<(String, Box<RawValue>, String)>) {
        let is_known = self.record.is_some();
        let record = self.record.get_or_insert_default();
        // Read before anything is set: an `updatedAt` of this row must not stand in for the clocks of its other fields.
        let stand_in = self.rules.updated_at_stands_in.then(|| record.text_of("updatedAt")).flatten();
        for (name, value, time) in entries.into_iter().filter(|(name, ..)| is_synced(name)) {
            let clock = record.clocks.get(&name).or(stand_in.as_ref()).map_or("", String::as_str);
            if wins(&time, clock) {
                // A part that arrives before its record has nothing to go into: it stays a field with a dot in its name.
                if is_known {
                    record.set(&name, value)
                } else {
                    record.set_whole(&name, value)
                }
                record.clocks.insert(name, time);
            }
        }
    }

    fn delete(&mut self, mut data: Fields) {
        let Some(deleted_at) = data.remove("deletedAt").filter(|value| value.get() != "null") else {
            self.record = None;
            return;
        };
        let Some(record) = &mut self.record else { return };
        let time = text(&deleted_at).unwrap_or_else(|| EPOCH.to_owned());
        let clock = record.clocks.get("deletedAt").cloned().or_else(|| record.text_of("deletedAt"));
        if wins(&time, &clock.unwrap_or_default()) {
            let also = self.rules.delete_sets_updated_at.then_some("updatedAt");
            for name in also.into_iter().chain(["deletedAt"]) {
                record.set_whole(name, deleted_at.clone());
                record.clocks.insert(name.to_owned(), time.clone());
            }
        }
    }
}

impl Draft {
    fn text_of(&self, field: &str) -> Option<String> {
        text(self.fields.get(field)?.raw()?)
    }

    fn set_whole(&mut self, field: &str, value: Box<RawValue>) {
        self.fields.insert(field.to_owned(), Value::Closed(value));
    }

    fn set(&mut self, name: &str, value: Box<RawValue>) {
        let Some((field, path)) = name.split_once('.') else { return self.set_whole(name, value) };
        // The key of the record is a text on every device, and stays one.
        let is_hidden_from_the_schedule = path.is_empty() && SCHEDULE_FIELDS.contains(&field);
        if field == "id" || is_hidden_from_the_schedule || parts::is_too_deep(name) {
            return;
        }
        let literal = self.fields.get(name);
        if literal.is_some_and(|literal| literal.is_same_primitive(&value)) {
            return;
        }
        let compare = literal.is_none();
        let whole = self.fields.entry(field.to_owned()).or_insert_with(Value::null);
        whole.set(path, compare, value, &mut self.padding);
    }
}

impl Record {
    /// The clock of a field, or what stands in for it: the record's `updatedAt` value, else the empty string.
    pub fn clock(&self, field: &str) -> String {
        let clock = self.clocks.get(field).cloned().or_else(|| text_of(&self.fields, "updatedAt"));
        clock.unwrap_or_default()
    }
}

/// The key of the record and a device's own bookkeeping are no fields.
fn is_synced(name: &str) -> bool {
    name != "id" && !name.starts_with("__")
}

/// The field's value where it is a JSON string.
pub fn text_of(fields: &Fields, field: &str) -> Option<String> {
    text(fields.get(field)?)
}

fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}
