//! What all ways to read a row share: the version check, and that only strings are timestamps.

use jiff_sqlx::Timestamp as SqlTime;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::domain::change::{Clocks, Fields, Op, SCHEMA_VERSION};
use crate::domain::opened::{LogRow, Opened};
use crate::store::StoreError;

/// A row, opened so far.
pub(super) fn log_row(
    id: Uuid,
    created_at: SqlTime,
    op: &str,
    version: i32,
    field_timestamps: Clocks,
    opened: Opened,
) -> Result<LogRow, StoreError> {
    if version > SCHEMA_VERSION {
        return Err(StoreError::NewerSchema { id, version });
    }
    let op = match op {
        "insert" => Op::Insert,
        "delete" => Op::Delete,
        // The table's CHECK allows no fourth.
        _ => Op::Update,
    };
    Ok(LogRow { id, created_at: created_at.to_jiff(), op, field_timestamps, opened })
}

/// Only strings are timestamps.
pub(super) fn clocks(times: Fields) -> Clocks {
    let clock = |(field, raw): (String, Box<RawValue>)| Some((field, serde_json::from_str(raw.get()).ok()?));
    times.into_iter().filter_map(clock).collect()
}
