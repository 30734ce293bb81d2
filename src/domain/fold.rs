//! The fold: rows of one record → its fields with a clock each, by field-level last-writer-wins,
//! exactly as a device does it (`tests/vectors/lww.json` is the judge).
//!
//! Clocks are compared as strings, ties go to the later row. A field without a clock stands at the
//! record's `updatedAt` *value*, else at the empty string.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::change::{ChangeRow, Clocks, Fields, Op};
use super::time::EPOCH;

/// What the log says of one record.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Field → raw JSON value. Never `id`, never a key that starts with `__`.
    pub fields: Fields,
    /// Field → when it was last set, by the clock of the device that set it.
    pub clocks: Clocks,
}

/// A fold in progress. Rows go in by `created_at`, then `id`, and need not be held together: a
/// mission with a thousand iterations repeats them in a thousand rows.
#[derive(Debug, Default)]
pub struct Fold(Option<Record>);

/// The fold of rows in any order; `None` where the record was never there, or is hard-deleted.
pub fn fold(mut rows: Vec<ChangeRow>) -> Option<Record> {
    rows.sort_by_key(|row| (row.created_at, row.id));
    let mut fold = Fold::default();
    rows.into_iter().for_each(|row| fold.apply(row));
    fold.finish()
}

impl Fold {
    /// Takes the next row.
    pub fn apply(&mut self, row: ChangeRow) {
        match row.op {
            Op::Insert => self.insert(row.data),
            Op::Update => self.update(row.data, row.field_timestamps),
            Op::Delete => self.delete(row.data),
        }
    }

    /// The record after the rows so far.
    pub fn record(&self) -> Option<&Record> {
        self.0.as_ref()
    }

    /// The record after all rows.
    pub fn finish(self) -> Option<Record> {
        self.0
    }

    /// An insert carries no field timestamps: all its fields have the time of the record.
    fn insert(&mut self, data: Fields) {
        let time = text_of(&data, "updatedAt")
            .or_else(|| text_of(&data, "createdAt"))
            .unwrap_or_else(|| EPOCH.to_owned());
        let record = self.0.get_or_insert_default();
        // Once the insert's own `updatedAt` is taken it must not become the fallback of the fields
        // after it, hence two steps.
        let newer: Vec<_> = syncable(data).filter(|(field, _)| *time >= *record.clock(field)).collect();
        for (field, value) in newer {
            record.set(field, value, time.clone());
        }
    }

    fn update(&mut self, data: Fields, mut timestamps: Clocks) {
        let record = self.0.get_or_insert_default();
        let newer: Vec<_> = syncable(data)
            .filter_map(|(field, value)| Some((timestamps.remove(&field)?, field, value)))
            .filter(|(time, field, _)| **time >= *record.clock(field))
            .collect();
        for (time, field, value) in newer {
            record.set(field, value, time);
        }
    }

    fn delete(&mut self, mut data: Fields) {
        let Some(deleted_at) = data.remove("deletedAt").filter(|value| value.get() != "null") else {
            self.0 = None;
            return;
        };
        let Some(record) = &mut self.0 else { return };
        let time = text(&deleted_at).unwrap_or_else(|| EPOCH.to_owned());
        let clock = record.clocks.get("deletedAt").cloned().or_else(|| text_of(&record.fields, "deletedAt"));
        if time >= clock.unwrap_or_default() {
            record.set("updatedAt".to_owned(), deleted_at.clone(), time.clone());
            record.set("deletedAt".to_owned(), deleted_at, time);
        }
    }
}

impl Record {
    /// The clock of a field, or what stands in for it.
    pub fn clock(&self, field: &str) -> Cow<'_, str> {
        match self.clocks.get(field) {
            Some(clock) => Cow::Borrowed(clock),
            None => Cow::Owned(text_of(&self.fields, "updatedAt").unwrap_or_default()),
        }
    }

    fn set(&mut self, field: String, value: Box<RawValue>, time: String) {
        self.clocks.insert(field.clone(), time);
        self.fields.insert(field, value);
    }
}

/// Without the key of the record and a device's own bookkeeping.
fn syncable(data: Fields) -> impl Iterator<Item = (String, Box<RawValue>)> {
    data.into_iter().filter(|(field, _)| field != "id" && !field.starts_with("__"))
}

/// The field's value where it is a JSON string.
pub fn text_of(fields: &Fields, field: &str) -> Option<String> {
    text(fields.get(field)?)
}

fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}
