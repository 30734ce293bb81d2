//! The log as the schedule sees it: of all users' missions the few fields that decide due-ness, through a view.

use futures_util::{Stream, StreamExt as _};
use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTime;
use serde_json::value::RawValue;
use sqlx::postgres::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::read::change_row;
use crate::domain::change::{ChangeRow, Fields, SCHEDULE_FIELDS};
use crate::store::{StoreError, sql_time};

/// Every row. `COLLATE "C"`: any order by mission will do, and bytes compare fastest.
const WHOLE: &str = r#"
SELECT id, user_id, record_id, op, created_at, schema_version, field_values, field_times
FROM mana_ai.mission_changes WHERE created_at > coalesce($1, '-infinity')
ORDER BY user_id COLLATE "C", record_id COLLATE "C", created_at, id"#;
/// Every row of the missions that have one newer than `$1`.
const TOUCHED: &str = r#"
SELECT id, user_id, record_id, op, created_at, schema_version, field_values, field_times
FROM (SELECT DISTINCT user_id, record_id FROM mana_ai.mission_changes WHERE created_at > $1) AS touched
JOIN mana_ai.mission_changes USING (user_id, record_id)
ORDER BY user_id COLLATE "C", record_id COLLATE "C", created_at, id"#;

/// A row of the view.
pub(in crate::store) struct MissionRow {
    pub user_id: String,
    pub mission_id: String,
    /// `Err` where it cannot be read.
    pub change: Result<ChangeRow, StoreError>,
}

/// All rows of each mission that has one newer than `since`; of every mission where that is `None`. The rows of a
/// mission come together, in the order of the log.
pub(in crate::store) fn mission_rows(
    db: &mut PgConnection,
    since: Option<Timestamp>,
) -> impl Stream<Item = Result<MissionRow, StoreError>> {
    let sql = if since.is_some() { TOUCHED } else { WHOLE };
    let rows = sqlx::query_as::<_, RowFromView>(sql).bind(since.map(sql_time)).fetch(db);
    rows.map(|row| Ok(row?.read()))
}

/// How many rows the view has.
pub(in crate::store) async fn count(db: &mut PgConnection) -> Result<u64, StoreError> {
    let all: i64 = sqlx::query_scalar("SELECT count(*) FROM mana_ai.mission_changes").fetch_one(db).await?;
    Ok(all.unsigned_abs())
}

#[derive(sqlx::FromRow)]
struct RowFromView {
    id: Uuid,
    user_id: String,
    record_id: String,
    op: String,
    created_at: SqlTime,
    schema_version: i32,
    field_values: Vec<Option<Json<Box<RawValue>>>>,
    field_times: Vec<Option<Json<Box<RawValue>>>>,
}

impl RowFromView {
    fn read(self) -> MissionRow {
        let (data, times) = (fields(self.field_values), fields(self.field_times));
        let change = change_row(self.id, self.created_at, &self.op, self.schema_version, data, times);
        MissionRow { user_id: self.user_id, mission_id: self.record_id, change }
    }
}

fn fields(values: Vec<Option<Json<Box<RawValue>>>>) -> Fields {
    let named = SCHEDULE_FIELDS.into_iter().zip(values);
    named.filter_map(|(field, value)| Some((field.to_owned(), value?.0))).collect()
}
