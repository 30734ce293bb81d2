//! What becomes of each linked record: its text, or why it has none.

use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::ToSchema;

use super::bounds::{LONGEST_IN_ALL, LONGEST_RECORD, cut, fair, marked};
use super::links::{Link, Links, Target};
use super::modules::Module;
use super::text::{Source, text};
use crate::domain::encrypted::holds_encrypted;
use crate::domain::fold::Record;
use crate::domain::json;
use crate::domain::mission::is_deleted;

/// What the log says of one record.
#[derive(Debug, Clone, Default)]
pub enum Found {
    /// No row that the user may see is about it.
    #[default]
    Nothing,
    /// It was there, and is hard-deleted.
    Gone,
    /// Its fields. A text in them may be the beginning of a longer one: see [`LONGEST_FIELD`].
    Record(Record),
    /// It takes more than this service reads of a linked record.
    TooLarge,
    /// A row of it is of a later version of the suite.
    Newer,
}

/// The most characters of a text that are read of a field: one more than are shown of a record, which tells that it was cut.
pub const LONGEST_FIELD: usize = LONGEST_RECORD + 1;

/// A linked record with its time block, where it names one.
#[derive(Debug, Clone, Default)]
pub struct Read {
    /// The record.
    pub record: Found,
    /// The time block of an event.
    pub time_block: Found,
}

/// How much of a linked record the model is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// All of it.
    Shown,
    /// Its beginning.
    Cut,
    /// Nothing: the user has no such record.
    Missing,
    /// Nothing: it is deleted.
    Deleted,
    /// Nothing: a text of it is encrypted, or the link itself is.
    Encrypted,
    /// Nothing: its module or table is none that can be linked.
    Unknown,
    /// Nothing: it is larger than what is read of a linked record.
    TooLarge,
    /// Nothing: a later version of the suite wrote it.
    Unreadable,
}

/// A linked record, as the model is told of it.
#[derive(Debug, Clone)]
pub struct LinkedRecord {
    /// The link.
    pub link: Link,
    /// How much of it is told.
    pub state: State,
    /// That; empty where it is nothing.
    pub text: String,
}

/// All linked records of a mission.
#[derive(Debug, Clone, Default)]
pub struct Linked {
    /// Each once, in the user's order.
    pub records: Vec<LinkedRecord>,
    /// How many more are linked, beyond what is read.
    pub more: usize,
}

impl Linked {
    /// What to tell of the records that these links lead to; `read` has one for each, in their order.
    pub fn of(links: Links, read: Vec<Read>, zone: &TimeZone) -> Self {
        let told = |(link, read): (Link, Read)| {
            let (state, text) = match link.target {
                Target::Unknown => (State::Unknown, String::new()),
                Target::Encrypted => (State::Encrypted, String::new()),
                Target::Module(module) => match readable(&read) {
                    Ok((record, time_block)) => shown(module, &Source { record, time_block, zone }),
                    Err(state) => (state, String::new()),
                },
            };
            LinkedRecord { link, state, text }
        };
        let mut records: Vec<LinkedRecord> = links.links.into_iter().zip(read).map(told).collect();
        share(&mut records);
        Self { records, more: links.more }
    }
}

/// The record and its time block, or why nothing of them is told.
fn readable(read: &Read) -> Result<(&Record, Option<&Record>), State> {
    let record = match &read.record {
        Found::Record(record) if is_deleted(record) => return Err(State::Deleted),
        Found::Record(record) => record,
        Found::Gone => return Err(State::Deleted),
        Found::Nothing => return Err(State::Missing),
        Found::TooLarge => return Err(State::TooLarge),
        Found::Newer => return Err(State::Unreadable),
    };
    let time_block = match &read.time_block {
        Found::Record(time_block) if !is_deleted(time_block) => Some(time_block),
        _ => None,
    };
    let is_closed = [Some(record), time_block].into_iter().flatten().any(has_encrypted_field);
    if is_closed { Err(State::Encrypted) } else { Ok((record, time_block)) }
}

/// The text of a record, as far as a single one may go.
fn shown(module: &Module, source: &Source<'_>) -> (State, String) {
    let text = text(module.lines, source);
    let text = if has_cut_field(source.record) { marked(&text) } else { text };
    let cut = cut(&text, LONGEST_RECORD);
    let is_cut = cut != text || has_cut_field(source.record);
    (if is_cut { State::Cut } else { State::Shown }, cut.into_owned())
}

/// Holds one of its fields an encrypted text? One that cannot be read as a tree is not shown either.
fn has_encrypted_field(record: &Record) -> bool {
    record.fields.values().any(|raw| json::read(raw.get()).is_ok_and(|value| holds_encrypted(&value)))
}

fn has_cut_field(record: &Record) -> bool {
    let text = |raw: &serde_json::value::RawValue| serde_json::from_str::<String>(raw.get()).ok();
    record.fields.values().filter_map(|raw| text(raw)).any(|text| text.chars().count() > LONGEST_RECORD)
}

/// Cuts the texts to what the prompt has room for.
fn share(records: &mut [LinkedRecord]) {
    let sizes: Vec<usize> = records.iter().map(|record| record.text.chars().count()).collect();
    for ((record, size), most) in records.iter_mut().zip(&sizes).zip(fair(&sizes, LONGEST_IN_ALL)) {
        if most < *size {
            (record.text, record.state) = (cut(&record.text, most).into_owned(), State::Cut);
        }
    }
}
