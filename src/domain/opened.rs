//! Rows whose `data` is opened as far as somebody asked.
//!
//! Every row of a mission repeats all of its iterations, so opening each row costs the square of the mission's age. Who
//! wins a field is decided by `field_timestamps`, which is small. So the fold takes rows whose `data` is not opened, and
//! says what it has to know of them: [`Asks`]. What holds:
//!
//! - A row that is not opened *claims* each name of its `field_timestamps`. A claim is false where `data` has no such
//!   name; only opening the row tells.
//! - A fold without asks is the fold of the same rows, all opened. `domain::by_clocks` in the tests compares the two.
//! - An opened row answers each ask of it, also with "no such name". So each round of asks opens something new, and the
//!   rounds end.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::change::{ChangeRow, Clocks, Fields, Op};

/// A row of the log, of whose `data` only a part may be known.
#[derive(Debug, Clone)]
pub struct LogRow {
    /// See [`ChangeRow::id`].
    pub id: Uuid,
    /// See [`ChangeRow::created_at`].
    pub created_at: Timestamp,
    /// What happened.
    pub op: Op,
    /// See [`ChangeRow::field_timestamps`].
    pub field_timestamps: Clocks,
    /// What is known of `data`.
    pub opened: Opened,
}

/// What is known of a row's `data`.
#[derive(Debug, Clone)]
pub enum Opened {
    /// All of it.
    Whole(Fields),
    /// What stands under these names: `None` where `data` has no such name. Of other names nothing is known.
    Names(BTreeMap<String, Option<Box<RawValue>>>),
}

/// One name in the `data` of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ask<'row> {
    /// The row's id.
    pub row: Uuid,
    /// The name in its `data`.
    pub name: &'row str,
}

/// What has to be opened before the fold is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asks {
    /// Names to open, by the id of the row.
    pub names: BTreeMap<Uuid, BTreeSet<String>>,
    /// Rows to open whole: an insert has names that `field_timestamps` does not tell.
    pub whole: BTreeSet<Uuid>,
}

/// The fields that a reader wants to know. The fold asks for no others, apart from those that decide who wins.
#[derive(Debug, Clone, Copy)]
pub enum Wanted {
    /// Every field of the record.
    All,
    /// These, and the parts that go into them.
    Fields(&'static [&'static str]),
}

impl Default for Opened {
    fn default() -> Self {
        Self::Names(BTreeMap::new())
    }
}

impl From<ChangeRow> for LogRow {
    fn from(row: ChangeRow) -> Self {
        let ChangeRow { id, created_at, op, data, field_timestamps } = row;
        Self { id, created_at, op, field_timestamps, opened: Opened::Whole(data) }
    }
}

impl Opened {
    /// What stands under a name: the inner `None` where nothing does, the outer one where that is not known.
    pub fn get(&self, name: &str) -> Option<Option<&RawValue>> {
        match self {
            Self::Whole(fields) => Some(fields.get(name).map(AsRef::as_ref)),
            Self::Names(names) => names.get(name).map(|value| value.as_deref()),
        }
    }

    /// Keeps the answer to an ask.
    pub fn set(&mut self, name: String, value: Option<Box<RawValue>>) {
        if let Self::Names(names) = self {
            names.insert(name, value);
        }
    }
}

impl Asks {
    /// Is nothing left to open?
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.whole.is_empty()
    }

    pub(super) fn name(&mut self, ask: Ask<'_>) {
        self.names.entry(ask.row).or_default().insert(ask.name.to_owned());
    }

    pub(super) fn whole(&mut self, row: Uuid) {
        self.whole.insert(row);
    }

    /// Takes the asks of another reader of the same rows.
    pub fn extend(&mut self, other: Self) {
        for (row, names) in other.names {
            self.names.entry(row).or_default().extend(names);
        }
        self.whole.extend(other.whole);
    }
}

impl Wanted {
    /// Is this name a wanted field, or a part that goes into one?
    pub fn has(self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Fields(fields) => {
                fields.contains(&name)
                    || name.split_once('.').is_some_and(|(field, _)| fields.contains(&field))
            }
        }
    }
}
