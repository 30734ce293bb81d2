//! One row of a mission as it comes from the log: without `data`, but for a short insert.

use jiff_sqlx::Timestamp as SqlTime;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::change_row::{clocks, log_row};
use super::held::Held;
use crate::domain::change::Fields;
use crate::domain::opened::Opened;
use crate::domain::window::SentRow;
use crate::store::StoreError;

/// The most text of the clocks of one row. A device's row has less than a kilobyte.
pub(super) const LONGEST_CLOCKS: usize = 64 * 1024;

/// The rows without `data`; that of inserts, whose names no clock tells, where it is short. Text is measured where it is.
/// OFFSET 0 keeps Postgres from making it twice. A client's id is only compared with others.
pub(super) const ROWS: &str = "
SELECT id, CASE WHEN octet_length(client_id) <= 200 THEN client_id ELSE md5(client_id) END AS client_id, op, created_at,
    schema_version, octet_length(clocks) AS clocks_size, CASE WHEN octet_length(clocks) <= $5 THEN clocks END AS clocks,
    octet_length(inserted) AS size, CASE WHEN octet_length(inserted) <= $6 THEN inserted END AS data
FROM public.sync_changes,
LATERAL (SELECT {clocks}::text AS clocks, CASE WHEN op = 'insert' THEN data::text END AS inserted OFFSET 0) AS texts
WHERE user_id = $1 AND app_id = $2 AND table_name = $3 AND record_id = $4
ORDER BY created_at, id LIMIT $7";

#[derive(sqlx::FromRow)]
pub(super) struct RowFromLog {
    id: Uuid,
    client_id: String,
    op: String,
    created_at: SqlTime,
    schema_version: i32,
    clocks_size: Option<i32>,
    clocks: Option<String>,
    size: Option<i32>,
    data: Option<String>,
}

impl RowFromLog {
    /// The row, and whether all is there of what was asked for.
    pub fn read(self, held: &mut Held) -> Result<(SentRow, bool), StoreError> {
        let bytes = |size: Option<i32>| usize::try_from(size.unwrap_or_default()).unwrap_or(usize::MAX);
        held.row(bytes(self.clocks_size))?;
        if self.clocks_size.is_some() && self.clocks.is_none() {
            return Err(StoreError::TooLarge { size: bytes(self.clocks_size), limit: LONGEST_CLOCKS });
        }
        let times = self.clocks.as_deref().map(object).unwrap_or_default();
        let is_whole = self.size.is_none() || self.data.is_some();
        let opened = match &self.data {
            Some(data) => {
                held.text(data.len())?;
                held.values(data)?;
                Opened::Whole(object(data))
            }
            None if self.op == "insert" => Opened::Whole(Fields::new()),
            None => Opened::default(),
        };
        let row = log_row(self.id, self.created_at, &self.op, self.schema_version, clocks(times), opened)?;
        Ok((SentRow { row, client_id: self.client_id }, is_whole))
    }
}

/// A device takes nothing from `data` that is no object, and neither do we.
pub(super) fn fields(data: &RawValue) -> Fields {
    object(data.get())
}

fn object(text: &str) -> Fields {
    serde_json::from_str(text).unwrap_or_default()
}
