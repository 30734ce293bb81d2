//! Missions of any users, folded over the few fields that decide when they are due, through the view: `data` is opened
//! only of the rows that win one of these fields.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff_sqlx::Timestamp as SqlTime;
use serde_json::value::RawValue;
use sqlx::postgres::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::change_row::{clocks, log_row};
use super::rounds::Rows;
use crate::domain::change::{Fields, SCHEDULE_FIELDS};
use crate::domain::fold::Record;
use crate::domain::opened::{LogRow, Opened, Wanted};
use crate::store::StoreError;

/// Rows that are held at a time, for all missions together; of one mission there may be more.
const ROWS_AT_A_TIME: i64 = 10_000;

/// A user's id and a mission's.
pub type MissionKey = (String, String);

/// A mission, folded over [`SCHEDULE_FIELDS`].
#[derive(Debug)]
pub struct ScheduleFold {
    /// Whose it is.
    pub key: MissionKey,
    /// `None` where it is hard-deleted; `Err` where a row cannot be read.
    pub record: Result<Option<Record>, StoreError>,
    /// How many rows there are.
    pub change_count: i64,
}

/// The rows of these missions without `data`; with the fields of inserts and deletes, which are few. `$2` are their keys,
/// joined. No join of tables: without statistics, as on a log that was just filled, Postgres would read every row of the
/// log for each key.
const CLOCKS: &str = r#"
SELECT id, user_id, record_id, op, created_at, schema_version, field_times,
    CASE WHEN op <> 'update' THEN field_values END AS field_values
FROM mana_ai.mission_fields WHERE record_id = ANY($1) AND user_id || E'\n' || record_id = ANY($2)
ORDER BY user_id COLLATE "C", record_id COLLATE "C", created_at, id LIMIT $3"#;
/// The fields of these rows.
const OPEN: &str = "SELECT id, field_values FROM mana_ai.mission_fields WHERE id = ANY($1)";

type Values = Vec<Option<Json<Box<RawValue>>>>;

#[derive(sqlx::FromRow)]
struct ClockRow {
    id: Uuid,
    user_id: String,
    record_id: String,
    op: String,
    created_at: SqlTime,
    schema_version: i32,
    field_times: Values,
    field_values: Option<Values>,
}

/// Folds these missions, each named once, in a few statements. Missions without a row are left out. Holds the clocks of ten
/// thousand rows at a time, or of one mission.
///
/// # Errors
/// Whatever the database answers. A row that cannot be read is its mission's error.
pub async fn fold_schedule_fields(
    db: &mut PgConnection,
    keys: &[MissionKey],
) -> Result<Vec<ScheduleFold>, StoreError> {
    let mut folded = Vec::with_capacity(keys.len());
    let mut keys: HashSet<MissionKey> = keys.iter().cloned().collect();
    let mut limit = Some(ROWS_AT_A_TIME);
    while !keys.is_empty() {
        let mut missions = clocks_of(db, &keys, limit).await?;
        let read: usize = missions.values().map(|rows| rows.count).sum();
        let is_cut = limit.is_some_and(|limit| i64::try_from(read).unwrap_or(i64::MAX) >= limit);
        if !is_cut {
            folded.extend(fold_all(db, missions).await?);
            return Ok(folded);
        }
        // The last mission may lack rows. One that is alone is read to its end.
        let last = missions.pop_last();
        if let Some((last, _)) = last.filter(|_| missions.is_empty()) {
            keys.remove(&last);
            let whole = clocks_of(db, &HashSet::from([last]), None).await?;
            folded.extend(fold_all(db, whole).await?);
        }
        keys.retain(|key| !missions.contains_key(key));
        folded.extend(fold_all(db, missions).await?);
        limit = Some(ROWS_AT_A_TIME);
    }
    Ok(folded)
}

/// A mission's rows so far.
#[derive(Default)]
struct Counted {
    rows: Rows,
    count: usize,
}

async fn clocks_of(
    db: &mut PgConnection,
    keys: &HashSet<MissionKey>,
    limit: Option<i64>,
) -> Result<BTreeMap<MissionKey, Counted>, StoreError> {
    let ids: Vec<&String> = keys.iter().map(|(_, id)| id).collect();
    let joined: Vec<String> = keys.iter().map(|(user, id)| format!("{user}\n{id}")).collect();
    let rows: Vec<ClockRow> = sqlx::query_as(CLOCKS).bind(ids).bind(joined).bind(limit).fetch_all(db).await?;
    let mut read: BTreeMap<MissionKey, Counted> = BTreeMap::new();
    for row in rows {
        let mission = read.entry((row.user_id.clone(), row.record_id.clone())).or_default();
        mission.count += 1;
        mission.rows.push(row.read());
    }
    Ok(read)
}

async fn fold_all(
    db: &mut PgConnection,
    missions: BTreeMap<MissionKey, Counted>,
) -> Result<Vec<ScheduleFold>, StoreError> {
    let (mut open, mut folded): (Vec<_>, Vec<_>) = (missions.into_iter().collect(), Vec::new());
    for round in 0.. {
        let mut asked = Vec::new();
        let mut still_open = Vec::new();
        for (key, mut mission) in open {
            let change_count = i64::try_from(mission.count).unwrap_or(i64::MAX);
            let record = match mission.rows.unreadable.take() {
                Some(error) => Err(error),
                None => match mission.rows.fold(Wanted::Fields(&SCHEDULE_FIELDS), round) {
                    Ok(record) => Ok(record),
                    Err(asks) => {
                        asked.extend(asks.names.into_keys().chain(asks.whole));
                        still_open.push((key, mission));
                        continue;
                    }
                },
            };
            folded.push(ScheduleFold { key, record, change_count });
        }
        if still_open.is_empty() {
            break;
        }
        open = still_open;
        answer(db, &asked, &mut open).await?;
    }
    Ok(folded)
}

/// Opens these rows: all the fields of the schedule at once.
async fn answer(
    db: &mut PgConnection,
    asked: &[Uuid],
    missions: &mut [(MissionKey, Counted)],
) -> Result<(), StoreError> {
    let opened: Vec<(Uuid, Values)> = sqlx::query_as(OPEN).bind(asked).fetch_all(db).await?;
    let mut opened: HashMap<Uuid, Values> = opened.into_iter().collect();
    for row in missions.iter_mut().flat_map(|(_, mission)| &mut mission.rows.rows) {
        if let Some(values) = opened.remove(&row.id) {
            let named = SCHEDULE_FIELDS.into_iter().zip(values);
            named.for_each(|(name, value)| row.opened.set(name.to_owned(), value.map(|Json(raw)| raw)));
        }
    }
    Ok(())
}

impl ClockRow {
    fn read(self) -> Result<LogRow, StoreError> {
        let opened = self.field_values.map_or_else(Opened::default, |values| Opened::Whole(fields(values)));
        let times = clocks(fields(self.field_times));
        log_row(self.id, self.created_at, &self.op, self.schema_version, times, opened)
    }
}

fn fields(values: Values) -> Fields {
    let named = SCHEDULE_FIELDS.into_iter().zip(values);
    named.filter_map(|(field, value)| Some((field.to_owned(), value?.0))).collect()
}
