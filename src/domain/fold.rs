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

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::change::{ChangeRow, Clocks, Fields, Op};
pub use super::draft::wins;
use super::draft::{Draft, Entry, StandIn, text};
use super::opened::{Ask, Asks, LogRow, Opened, Wanted};
use super::parts::Value;
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

/// A fold in progress. Rows go in by `created_at`, then `id`.
#[derive(Debug, Clone)]
pub struct Fold<'row> {
    rules: Rules,
    wanted: Wanted,
    record: Option<Draft<'row>>,
    /// Inserts and deletes that are not opened.
    asks: Asks,
}

/// What a row does to the record.
enum Change<'row> {
    /// These entries are taken where they win.
    Merge {
        entries: Vec<Entry<'row>>,
        /// Is the record known after it?
        creates: bool,
    },
    /// `deletedAt`, or none where the delete is a hard one.
    Delete(Option<Cow<'row, RawValue>>),
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

/// The same of rows that are opened in part, in the order of the log.
///
/// # Errors
/// What has to be opened before the wanted fields are known.
pub fn fold_opened(rules: Rules, wanted: Wanted, rows: &[LogRow]) -> Result<Option<Record>, Asks> {
    // Without an insert every later row would seem to make the record.
    let is_closed = |row: &&LogRow| row.op == Op::Insert && matches!(row.opened, Opened::Names(_));
    let mut asks = Asks::default();
    rows.iter().filter(is_closed).for_each(|row| asks.whole(row.id));
    if !asks.is_empty() {
        return Err(asks);
    }
    let mut fold = Fold::of_wanted(rules, wanted);
    rows.iter().for_each(|row| fold.apply_opened(row));
    let asks = fold.asks();
    if asks.is_empty() { Ok(fold.finish()) } else { Err(asks) }
}

impl Default for Fold<'_> {
    fn default() -> Self {
        Self::new(Rules::APRIL)
    }
}

impl<'row> Fold<'row> {
    /// Before the first row.
    pub fn new(rules: Rules) -> Self {
        Self::of_wanted(rules, Wanted::All)
    }

    /// The same of some fields alone.
    pub fn of_wanted(rules: Rules, wanted: Wanted) -> Self {
        Self { rules, wanted, record: None, asks: Asks::default() }
    }

    /// Takes the next row.
    pub fn apply(&mut self, row: ChangeRow) {
        let ChangeRow { op, mut data, mut field_timestamps, .. } = row;
        let change = match op {
            Op::Insert => {
                let time = self.insert_time(&data);
                let entry = |(name, value)| Entry::owned(name, value, time.clone());
                Change::Merge { entries: data.into_iter().map(entry).collect(), creates: true }
            }
            // A field without a timestamp never reaches a device, so it does not exist for us either.
            Op::Update => {
                let entry = |(name, value)| {
                    let time = field_timestamps.remove(&name)?;
                    Some(Entry::owned(name, value, time))
                };
                let entries: Vec<_> = data.into_iter().filter_map(entry).collect();
                let creates = self.rules.empty_update_creates || !entries.is_empty();
                Change::Merge { entries, creates }
            }
            Op::Delete => Change::Delete(data.remove("deletedAt").map(Cow::Owned)),
        };
        self.change(change);
    }

    /// Takes the next row, of whose `data` only a part may be known.
    pub fn apply_opened(&mut self, row: &'row LogRow) {
        let change = match (row.op, &row.opened) {
            (Op::Insert, Opened::Whole(data)) => {
                let time = self.insert_time(data);
                let entries = data.iter().map(|(name, value)| Entry {
                    name: Cow::Borrowed(name.as_str()),
                    value: Value::Closed(Cow::Borrowed(&**value)),
                    time: Cow::Owned(time.clone()),
                });
                Change::Merge { entries: entries.collect(), creates: true }
            }
            (Op::Insert, Opened::Names(_)) => return self.asks.whole(row.id),
            (Op::Update, _) => self.update(row),
            (Op::Delete, opened) => match opened.get("deletedAt") {
                Some(deleted_at) => Change::Delete(deleted_at.map(Cow::Borrowed)),
                None => return self.asks.name(Ask { row: row.id, name: "deletedAt" }),
            },
        };
        self.change(change);
    }

    /// What an update says, and what it claims where it is not opened.
    fn update(&mut self, row: &'row LogRow) -> Change<'row> {
        let entry = |(name, time): (&'row String, &'row String)| {
            let value = match row.opened.get(name) {
                Some(value) => Value::Closed(Cow::Borrowed(value?)),
                None => Value::Unread(Ask { row: row.id, name }),
            };
            Some(Entry { name: Cow::Borrowed(name), value, time: Cow::Borrowed(time) })
        };
        let entries: Vec<_> = row.field_timestamps.iter().filter_map(entry).collect();
        // Whether it makes the record known may depend on any name that it has.
        if self.record.is_none() && !self.rules.empty_update_creates {
            entries.iter().filter_map(|entry| entry.value.unread()).for_each(|ask| self.asks.name(ask));
        }
        let creates = self.rules.empty_update_creates || !entries.is_empty();
        Change::Merge { entries, creates }
    }

    /// A field of the record after the rows so far, where it is a text; asks where it is not read.
    pub fn text(&mut self, field: &str) -> Option<String> {
        self.record.as_mut()?.text_of(field)
    }

    /// Would the next row set this field? It would where the record is unknown, and where its clock wins.
    pub fn would_take(&mut self, row: &LogRow, field: &str) -> bool {
        let time = match (row.op, &row.opened) {
            (Op::Insert, Opened::Whole(data)) => self.insert_time(data),
            (Op::Update, _) => row.field_timestamps.get(field).cloned().unwrap_or_default(),
            (Op::Insert | Op::Delete, _) => return false,
        };
        let stand_in = self.stand_in();
        self.record.as_mut().is_none_or(|record| record.is_won(field, &time, &stand_in))
    }

    /// A copy of the record after the rows so far.
    pub fn record(&self) -> Option<Record> {
        self.clone().finish()
    }

    /// What has to be opened before it is known who wins, whatever the winners' values are.
    pub(super) fn decisions(&self) -> Asks {
        let mut asks = self.asks.clone();
        asks.extend(self.record.as_ref().map(|record| record.progress.asks.clone()).unwrap_or_default());
        asks
    }

    /// What has to be opened before the wanted fields are known.
    pub fn asks(&self) -> Asks {
        let mut asks = self.asks.clone();
        asks.extend(self.record.as_ref().map(|record| record.asks(self.wanted)).unwrap_or_default());
        asks
    }

    /// The record after all rows. Of rows that are not opened: as far as it is known.
    pub fn finish(self) -> Option<Record> {
        let (fields, clocks) = self.record?.close(self.wanted);
        Some(Record { fields, clocks })
    }

    /// All fields of an insert have the time of the record; what an insert says of single fields' clocks is not read.
    fn insert_time(&self, data: &Fields) -> String {
        let time = text_of(data, "updatedAt").or_else(|| text_of(data, "createdAt"));
        time.unwrap_or_else(|| self.rules.undated_insert.to_owned())
    }

    fn stand_in(&self) -> StandIn<'row> {
        let record = self.record.as_ref().filter(|_| self.rules.updated_at_stands_in);
        record.map_or(StandIn::Text(String::new()), |record| record.stand_in("updatedAt"))
    }

    fn change(&mut self, change: Change<'row>) {
        match change {
            Change::Merge { entries, creates } if creates => self.merge(entries),
            Change::Merge { .. } => {}
            Change::Delete(deleted_at) => self.delete(deleted_at),
        }
    }

    /// Takes what wins. Entries come in the order of their names, so a whole field is set before its parts.
    fn merge(&mut self, entries: Vec<Entry<'row>>) {
        let is_known = self.record.is_some();
        // Read before anything is set: an `updatedAt` of this row must not stand in for the clocks of its other fields.
        let stand_in = self.stand_in();
        let (wanted, record) = (self.wanted, self.record.get_or_insert_default());
        let counts =
            |name: &str| is_synced(name) && (wanted.has(name) || ["updatedAt", "deletedAt"].contains(&name));
        for entry in entries.into_iter().filter(|entry| counts(&entry.name)) {
            record.take(entry, &stand_in, is_known);
        }
    }

    fn delete(&mut self, deleted_at: Option<Cow<'row, RawValue>>) {
        let Some(deleted_at) = deleted_at.filter(|value| value.get() != "null") else {
            self.record = None;
            return;
        };
        let Some(record) = &mut self.record else { return };
        let time = text(&deleted_at).unwrap_or_else(|| EPOCH.to_owned());
        if record.is_deleted_by(&time) {
            if self.rules.delete_sets_updated_at {
                record.overwrite("updatedAt", deleted_at.clone(), &time);
            }
            record.overwrite("deletedAt", deleted_at, &time);
        }
    }
}

impl Entry<'_> {
    fn owned(name: String, value: Box<RawValue>, time: String) -> Self {
        Self { name: Cow::Owned(name), value: Value::Closed(Cow::Owned(value)), time: Cow::Owned(time) }
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
