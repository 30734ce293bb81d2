//! Rows of mana-sync's log: what we read of one, and the one kind we write.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::iteration::Iteration;

/// The app and table under which mana-sync keeps missions.
pub const APP_ID: &str = "ai";
/// See [`APP_ID`].
pub const TABLE_NAME: &str = "aiMissions";
/// Who we are in `client_id`.
pub const CLIENT_ID: &str = "mana-ai-runner";
/// The newest `schema_version` that this service can read.
pub const SCHEMA_VERSION: i32 = 1;

/// The fields that decide when a mission runs, and all that the schedule sees of one. In the order of the
/// arrays of the view `mana_ai.mission_fields` (`store/log/view.sql`).
pub const SCHEDULE_FIELDS: [&str; 5] = ["state", "nextRunAt", "deletedAt", "createdAt", "updatedAt"];

/// The fields that planning reads, and all that it needs of a mission.
pub const MISSION_FIELDS: [&str; 11] = [
    "title",
    "conceptMarkdown",
    "objective",
    "inputs",
    "cadence",
    "iterations",
    "state",
    "nextRunAt",
    "deletedAt",
    "createdAt",
    "updatedAt",
];

/// A record's fields by name. The values stay the raw JSON text that was read, so what other
/// writers put there leaves us byte for byte as it came.
pub type Fields = BTreeMap<String, Box<RawValue>>;

/// A timestamp per field, compared as strings.
pub type Clocks = BTreeMap<String, String>;

/// One row of `sync_changes`, as much of it as the fold needs.
#[derive(Debug, Clone)]
pub struct ChangeRow {
    /// Breaks ties between rows of one transaction, which share `created_at`.
    pub id: Uuid,
    /// The *start* of the writing transaction, in microseconds.
    pub created_at: Timestamp,
    /// What happened.
    pub op: Op,
    /// `data`; empty where it is no JSON object.
    pub data: Fields,
    /// `field_timestamps`, without those that are no string.
    pub field_timestamps: Clocks,
}

/// `sync_changes.op`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// The whole record.
    Insert,
    /// The fields that have a timestamp.
    Update,
    /// Soft where `data` has a `deletedAt`, else hard.
    Delete,
}

/// A row that we write: one per planned slot, made from an [`Iteration`], and one where a device's old list hid what
/// was written before.
#[derive(Debug, Clone)]
pub struct NewChange {
    /// `data`: `iterations` and `nextRunAt`; of a healing row `iterations` alone.
    pub data: Fields,
    /// `field_timestamps` for those fields: one timestamp.
    pub timestamp: String,
}

/// The fields that our row sets, and thus those whose clocks it must pass.
///
/// `updatedAt` is not among them. Its value stands in for the clock of a dotted name that has none, so setting it would
/// drop every edit in parts, such as one of the cadence, that a device made offline before our row.
pub const WRITTEN_FIELDS: [&str; 2] = ["iterations", "nextRunAt"];

impl NewChange {
    /// Appends `ours` to the mission's iterations *as they are now* and moves the mission to its
    /// next slot: without that a mission is planned again every tick. `timestamp` comes from
    /// [`Mission::write_timestamp`](super::mission::Mission::write_timestamp).
    ///
    /// # Errors
    /// Where `ours` cannot be written as JSON.
    pub fn append(
        iterations: Vec<&RawValue>,
        ours: &Iteration,
        next_run_at: Option<Timestamp>,
        timestamp: String,
    ) -> serde_json::Result<Self> {
        let ours = serde_json::value::to_raw_value(ours)?;
        // A list of its own: it lives no longer than `ours`.
        let mut iterations = iterations;
        iterations.push(&ours);
        let values = [
            serde_json::value::to_raw_value(&iterations)?,
            serde_json::value::to_raw_value(&next_run_at.map(super::time::iso))?,
        ];
        let data = WRITTEN_FIELDS.map(str::to_owned).into_iter().zip(values).collect();
        Ok(Self { data, timestamp })
    }

    /// A healing row: the mission's iterations as all devices should have them, and no other field.
    ///
    /// # Errors
    /// Where they cannot be written as JSON.
    pub fn heal(iterations: &[Box<RawValue>], timestamp: String) -> serde_json::Result<Self> {
        let iterations = serde_json::value::to_raw_value(iterations)?;
        Ok(Self { data: Fields::from([("iterations".to_owned(), iterations)]), timestamp })
    }

    /// `field_timestamps` as it goes into the row.
    pub fn field_timestamps(&self) -> BTreeMap<&str, &str> {
        self.data.keys().map(|field| (field.as_str(), self.timestamp.as_str())).collect()
    }
}
