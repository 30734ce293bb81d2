//! A record → a mission: whether it is due, and what it holds.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::cadence::Cadence;
use super::change::WRITTEN_FIELDS;
use super::encrypted::is_encrypted;
use super::fold::{Record, text_of};
use super::healing::Lost;
use super::history::History;
use super::iteration::{PastIteration, iteration_id, lenient};
use super::{json, time};

/// An unread plan is left alone for so long, then the next slot's plan takes its place: a plan of last week helps nobody.
/// Less than a day, so that a daily mission whose last plan came a minute late is planned on time.
pub const UNREAD_FOR: SignedDuration = SignedDuration::from_hours(20);
/// With so many unread plans in a row nobody is reading: nothing is spent before a device writes the mission.
pub const MAX_UNREAD_IN_A_ROW: usize = 7;

/// Where a mission stands by the few fields that decide due-ness: `state`, `deletedAt`, `nextRunAt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It has a next slot: due once that is not after now.
    Scheduled(Timestamp),
    /// It is active and has none.
    Unscheduled,
    /// It is not to run, and why.
    Off(String),
}

/// Why a record is no mission that we could plan: names the field, never quotes its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct Unreadable {
    /// The field of the record.
    pub field: &'static str,
    /// What is there and what it should be.
    pub problem: String,
}

impl Standing {
    /// Reads the fields that decide. A falsy value is none, as on a device. An object is none either: only a part such
    /// as `state.x` makes one there, out of nothing or of something falsy, and the schedule, which sees no parts, must
    /// come to the same end.
    ///
    /// # Errors
    /// Where the mission is active but its `nextRunAt` is no timestamp: it would never run.
    pub fn of(record: &Record) -> Result<Self, Unreadable> {
        let present = |field| present(record, field);
        if let Some(deleted) = present("deletedAt") {
            return Ok(Self::Off(format!("deleted (deletedAt is {})", kind(deleted))));
        }
        match present("state").and_then(|state| serde_json::from_str::<String>(state.get()).ok()).as_deref() {
            Some("active") => {}
            Some(state @ ("paused" | "done" | "archived")) => {
                return Ok(Self::Off(format!("state is {state}")));
            }
            Some(_) => return Ok(Self::Off("state is not one of active, paused, done, archived".into())),
            None => return Ok(Self::Off("it has no state".into())),
        }
        let Some(next) = present("nextRunAt") else { return Ok(Self::Unscheduled) };
        let slot = text_of(&record.fields, "nextRunAt").and_then(|text| storable(text.parse().ok()?));
        slot.map(Self::Scheduled).ok_or_else(|| Unreadable {
            field: "nextRunAt",
            problem: format!("is {}, not a timestamp such as 2026-04-14T10:00:00.000Z", kind(next)),
        })
    }
}

/// A mission with everything that planning needs. Read it only inside its user's transaction.
#[derive(Debug, Clone)]
pub struct Mission {
    /// `record_id` of its rows.
    pub id: String,
    /// What the user calls it; empty where missing, as for the next two.
    pub title: String,
    /// Background in the user's words, Markdown.
    pub concept: String,
    /// What the user wants of the AI.
    pub objective: String,
    /// Records that the user linked.
    pub inputs: Vec<Input>,
    /// The first of its texts that is encrypted, by the name of its field: then nobody but a device can plan it.
    pub encrypted: Option<&'static str>,
    /// When it runs.
    pub cadence: Cadence,
    /// The slot it stands at, if it is active and has one.
    pub standing: Standing,
    /// All iterations, untouched, oldest first.
    pub iterations: Vec<Box<RawValue>>,
    /// The same as far as we understand them.
    pub history: Vec<PastIteration>,
    /// What of them the record's own list does not have: see [`Mission::healed`].
    pub lost: Lost,
    /// How many of those are plans that no device has read.
    pub lost_unread: u32,
    /// Plans of ours in a row, up to the last one, that no device has read.
    pub unread_in_a_row: usize,
    /// Has the slot that it stands at an iteration, or had it one?
    pub slot_was_planned: bool,
    written_clocks: Vec<String>,
}

/// A record of another app that the mission is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "demo", derive(ts_rs::TS), ts(rename = "MissionInputRef"))]
#[serde(default)]
pub struct Input {
    /// The app, such as `notes`.
    #[serde(deserialize_with = "lenient")]
    pub module: String,
    /// Its table.
    #[serde(deserialize_with = "lenient")]
    pub table: String,
    /// The record.
    #[serde(deserialize_with = "lenient")]
    pub id: String,
}

impl Mission {
    /// Reads a record as a mission.
    ///
    /// # Errors
    /// Where the mission could not be planned, or our row could not be written without harm.
    pub fn read(id: &str, record: &Record) -> Result<Self, Unreadable> {
        let text = |field| text_of(&record.fields, field).unwrap_or_default();
        let cadence = record
            .fields
            .get("cadence")
            .ok_or_else(|| Unreadable { field: "cadence", problem: "is missing".into() })?;
        let iterations = iterations(record)?;
        Ok(Self {
            id: id.to_owned(),
            title: text("title"),
            concept: text("conceptMarkdown"),
            objective: text("objective"),
            inputs: inputs(record),
            encrypted: encrypted_field(record),
            cadence: Cadence::parse(cadence)
                .map_err(|error| Unreadable { field: "cadence", problem: error.to_string() })?,
            standing: Standing::of(record)?,
            history: iterations.iter().filter_map(|raw| json::read(raw.get()).ok()).collect(),
            iterations,
            lost: Lost::default(),
            lost_unread: 0,
            unread_in_a_row: 0,
            slot_was_planned: false,
            written_clocks: WRITTEN_FIELDS.iter().map(|field| record.clock(field)).collect(),
        })
    }

    /// The same with everything in its iterations that devices should have, whatever an old list of a device hid.
    pub fn healed(mut self, history: &History) -> Self {
        // Both are made anew, and a long mission should not be there three times.
        self.history = Vec::new();
        let healed = history.heal(&self.iterations);
        self.iterations = Vec::new();
        self.history = healed.iterations.iter().filter_map(|raw| json::read(raw.get()).ok()).collect();
        (self.iterations, self.lost, self.lost_unread) = (healed.iterations, healed.lost, healed.lost_unread);
        // Also where the plan was superseded since: its id must not stand for two plans.
        if let Standing::Scheduled(slot) = self.standing {
            self.slot_was_planned |= history.had(&iteration_id(&self.id, slot));
        }
        self.unread_in_a_row = history.unread_in_a_row();
        self
    }

    /// Why a due mission should not be planned now, although nothing is wrong with it.
    pub fn waits(&self, now: Timestamp) -> Option<Waiting> {
        if let Some(field) = self.encrypted {
            return Some(Waiting::Encrypted { field });
        }
        if self.slot_was_planned {
            return Some(Waiting::AlreadyPlanned);
        }
        if let Some(until) = self.history.last().and_then(|last| last.running_until(now)) {
            return Some(Waiting::ForegroundRunner { until });
        }
        let unread = self.history.iter().rfind(|iteration| iteration.is_unread())?;
        if self.unread_in_a_row >= MAX_UNREAD_IN_A_ROW {
            return Some(Waiting::NobodyReads { plans: self.unread_in_a_row });
        }
        let until = unread.started_at.parse::<Timestamp>().ok()?.checked_add(UNREAD_FOR).ok()?;
        (until > now).then_some(Waiting::Unread { until })
    }

    /// The iterations that stay beside a new plan: all but the plan that nobody has read, which it supersedes.
    pub fn read_iterations(&self) -> impl Iterator<Item = &RawValue> {
        self.iterations.iter().map(AsRef::as_ref).filter(|raw| !is_unread(raw))
    }

    /// Does an iteration with this id stand there already?
    pub fn has_iteration(&self, id: &str) -> bool {
        self.history.iter().any(|iteration| iteration.id == id)
    }

    /// In which zone its user reads a clock.
    pub fn zone(&self, default: &TimeZone) -> TimeZone {
        let previous = if let Standing::Scheduled(slot) = self.standing { Some(slot) } else { None };
        self.cadence.zone(previous, default)
    }

    /// The slot after `now`; `None` for a manual mission.
    ///
    /// # Errors
    /// Where the cadence never comes, such as a cron expression for a 30 February.
    pub fn next_run(&self, now: Timestamp, default: &TimeZone) -> Result<Option<Timestamp>, Unreadable> {
        match self.cadence.next_run(now, &self.zone(default)) {
            None if self.cadence != Cadence::Manual => {
                Err(Unreadable { field: "cadence", problem: "never comes, such as a 30 February".into() })
            }
            next => Ok(next.and_then(storable)),
        }
    }

    /// The timestamp for our row, newer than every clock among the fields it sets.
    ///
    /// # Errors
    /// Where one of these clocks is such that no later timestamp can pass it.
    pub fn write_timestamp(&self, now: Timestamp) -> Result<String, Unreadable> {
        let clocks: Vec<&str> = self.written_clocks.iter().map(String::as_str).collect();
        time::after(now, &clocks).ok_or_else(|| Unreadable {
            field: "field_timestamps",
            problem: "hold a clock that no later timestamp can pass, so devices would drop our row".into(),
        })
    }
}

/// A due mission is left for later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Waiting {
    /// Its text can be read on a device alone.
    #[error(
        "its {field} is encrypted, so only a device can plan it; a new row that makes it plain lets it be planned here"
    )]
    Encrypted {
        /// The field of the record.
        field: &'static str,
    },
    /// A browser is at it.
    #[error("a foreground runner is planning it; left alone until {until}")]
    ForegroundRunner {
        /// When its claim is stale.
        until: Timestamp,
    },
    /// Its user moved it back to a slot that has been planned.
    #[error("this slot has its plan already; only another nextRunAt makes it due")]
    AlreadyPlanned,
    /// No device has read the last plan, which is still fresh.
    #[error("an unread plan waits for a device; the next one takes its place after {until}")]
    Unread {
        /// Until when it is fresh.
        until: Timestamp,
    },
    /// No device has read the last plans.
    #[error("{plans} plans in a row were not read by any device; nothing new is planned before one is")]
    NobodyReads {
        /// How many.
        plans: usize,
    },
}

/// A field that JavaScript takes for true, and that is no object: parts that came before their record make one.
fn present<'record>(record: &'record Record, field: &str) -> Option<&'record RawValue> {
    let value: Option<&RawValue> = record.fields.get(field).map(AsRef::as_ref);
    value.filter(|value| !json::is_falsy(value) && !value.get().starts_with('{'))
}

/// Is this iteration a plan of ours that no device has read?
pub fn is_unread(iteration: &RawValue) -> bool {
    json::read(iteration.get()).is_ok_and(|past: PastIteration| past.is_unread())
}

/// Is a foreground runner at work on one of these iterations?
pub fn runs_in_browser(iterations: &[Box<RawValue>], now: Timestamp) -> bool {
    let mut past = iterations.iter().filter_map(|raw| json::read::<PastIteration>(raw.get()).ok());
    past.any(|past| past.running_until(now).is_some())
}

/// The records that a mission links. What is no list of objects links none.
pub fn inputs(record: &Record) -> Vec<Input> {
    record.fields.get("inputs").map(|raw| elements(raw)).unwrap_or_default()
}

/// The first text of a mission that is encrypted, of those that the model would be told.
pub fn encrypted_field(record: &Record) -> Option<&'static str> {
    let is_closed = |field: &&str| text_of(&record.fields, field).is_some_and(|text| is_encrypted(&text));
    ["title", "conceptMarkdown", "objective"].into_iter().find(is_closed)
}

/// Is the record soft-deleted?
pub fn is_deleted(record: &Record) -> bool {
    present(record, "deletedAt").is_some()
}

/// Is the mission deleted, done or archived? Then nobody works with it any more; a paused one may go on.
pub fn has_ended(record: &Record) -> bool {
    is_deleted(record) || matches!(text_of(&record.fields, "state").as_deref(), Some("done" | "archived"))
}

/// The iterations in the record's own list.
///
/// # Errors
/// Where `iterations` is something else than a list.
pub fn iterations(record: &Record) -> Result<Vec<Box<RawValue>>, Unreadable> {
    let Some(raw) = record.fields.get("iterations").filter(|raw| raw.get() != "null") else {
        return Ok(Vec::new());
    };
    // Appending to anything else would overwrite what a user's device put there.
    serde_json::from_str(raw.get())
        .map_err(|_| Unreadable { field: "iterations", problem: format!("is {}, not an array", kind(raw)) })
}

/// A slot has the precision of the log, milliseconds, so that it is the same everywhere, and lies in the
/// range of Postgres' `timestamptz`.
fn storable(slot: Timestamp) -> Option<Timestamp> {
    let year_one: Timestamp = "0001-01-02T00:00:00Z".parse().ok()?;
    Timestamp::from_millisecond(slot.as_millisecond()).ok().filter(|slot| *slot > year_one)
}

/// The elements of an array that have the shape of a `T`.
fn elements<T: DeserializeOwned>(raw: &RawValue) -> Vec<T> {
    let elements: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
    elements.into_iter().filter_map(|raw| json::read(raw.get()).ok()).collect()
}

/// What a value is, in words that tell nothing of its content.
fn kind(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}
