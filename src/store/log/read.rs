//! A user's rows of the log, folded into missions.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use jiff_sqlx::Timestamp as SqlTime;
use serde_json::value::RawValue;
use sqlx::types::Json;
use uuid::Uuid;

use crate::domain::change::{APP_ID, ChangeRow, Clocks, Fields, Op, SCHEMA_VERSION, TABLE_NAME};
use crate::domain::fold::{Fold, Record};
use crate::domain::history::History;
use crate::domain::opened::{LogRow, Opened};
use crate::store::{StoreError, UserTx};

/// A mission as its log tells it.
#[derive(Debug)]
pub struct FoldedMission {
    /// `None` where it is hard-deleted, or was never there; `Err` where a row cannot be read.
    pub record: Result<Option<Record>, StoreError>,
    /// All versions of its iterations.
    pub history: History,
    /// How many rows there are.
    pub change_count: i64,
}

#[derive(sqlx::FromRow)]
struct RowFromLog {
    id: Uuid,
    record_id: String,
    client_id: String,
    op: String,
    created_at: SqlTime,
    schema_version: i32,
    data: Option<Json<Box<RawValue>>>,
    clocks: Option<Json<Box<RawValue>>>,
}

/// Folds one mission of the transaction's user.
///
/// # Errors
/// Whatever the database answers. A row that cannot be read is the mission's error, not this function's.
pub async fn fold_mission(tx: &mut UserTx, mission_id: &str) -> Result<FoldedMission, StoreError> {
    let folded = fold_missions(tx, Some(mission_id)).await?;
    Ok(folded.into_values().next().unwrap_or_else(|| Folding::default().finish()))
}

/// Folds all missions of the transaction's user, or the one named. Rows are folded as they
/// arrive: only one of them is held at a time.
///
/// # Errors
/// As [`fold_mission`].
#[tracing::instrument(level = "debug", skip_all)]
pub async fn fold_missions(
    tx: &mut UserTx,
    mission_id: Option<&str>,
) -> Result<BTreeMap<String, FoldedMission>, StoreError> {
    let user_id = tx.user_id().to_owned();
    let mut rows = sqlx::query_as::<_, RowFromLog>(tx.shape().sql(
        "SELECT id, record_id, client_id, op, created_at, schema_version, data, {clocks} AS clocks FROM public.sync_changes
         WHERE user_id = $1 AND app_id = $2 AND table_name = $3 AND ($4::text IS NULL OR record_id = $4)
         ORDER BY record_id, created_at, id",
    ))
    .bind(user_id)
    .bind(APP_ID)
    .bind(TABLE_NAME)
    .bind(mission_id)
    .fetch(&mut **tx);
    let mut missions: BTreeMap<String, Folding> = BTreeMap::new();
    while let Some(row) = rows.try_next().await? {
        missions.entry(row.record_id.clone()).or_default().apply(row);
    }
    Ok(missions.into_iter().map(|(id, folding)| (id, folding.finish())).collect())
}

/// One mission whose rows are arriving.
struct Folding {
    fold: Result<Fold<'static>, StoreError>,
    history: History,
    change_count: i64,
}

impl Default for Folding {
    fn default() -> Self {
        Self { fold: Ok(Fold::default()), history: History::default(), change_count: 0 }
    }
}

impl Folding {
    fn apply(&mut self, row: RowFromLog) {
        self.change_count += 1;
        let (client_id, row) = (row.client_id.clone(), row.read());
        if let (Ok(fold), Ok(row)) = (&mut self.fold, &row) {
            self.history.apply(&row.clone().into(), &client_id, fold);
        }
        apply(&mut self.fold, row);
    }

    fn finish(self) -> FoldedMission {
        let Self { fold, history, change_count } = self;
        FoldedMission { record: fold.map(Fold::finish), history, change_count }
    }
}

/// One unreadable row makes the mission unreadable: our next row would overwrite what it changed.
pub(in crate::store) fn apply(
    fold: &mut Result<Fold<'static>, StoreError>,
    row: Result<ChangeRow, StoreError>,
) {
    match (fold.as_mut(), row) {
        (Ok(fold), Ok(row)) => fold.apply(row),
        (Ok(_), Err(error)) => *fold = Err(error),
        (Err(_), _) => {}
    }
}

impl RowFromLog {
    fn read(self) -> Result<ChangeRow, StoreError> {
        let data = self.data.map(|Json(raw)| object(&raw)).unwrap_or_default();
        let times = self.clocks.map(|Json(raw)| object(&raw)).unwrap_or_default();
        change_row(self.id, self.created_at, &self.op, self.schema_version, data, times)
    }
}

/// What both ways to read a row share: the version check, and that only strings are timestamps.
pub(super) fn change_row(
    id: Uuid,
    created_at: SqlTime,
    op: &str,
    version: i32,
    data: Fields,
    times: Fields,
) -> Result<ChangeRow, StoreError> {
    let row = log_row(id, created_at, op, version, clocks(times), Opened::default())?;
    let LogRow { id, created_at, op, field_timestamps, .. } = row;
    Ok(ChangeRow { id, created_at, op, data, field_timestamps })
}

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

/// A device takes nothing from `data` that is no object, and neither do we.
fn object(raw: &RawValue) -> Fields {
    serde_json::from_str(raw.get()).unwrap_or_default()
}
