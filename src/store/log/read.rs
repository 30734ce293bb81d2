//! A user's missions, read from the log: `data` is opened only where the fold or the history asks for it, and never more
//! of it than [`LIMIT`].

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTime;
use serde_json::value::RawValue;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;
use sqlx::types::Json;
use uuid::Uuid;

use super::change_row::{clocks, log_row};
use super::older::{add_planned, add_unread};
use crate::domain::change::{APP_ID, Fields, MISSION_FIELDS, TABLE_NAME};
use crate::domain::fold::{Record, Rules};
use crate::domain::history::{History, ListRow};
use crate::domain::mission::Standing;
use crate::domain::opened::{Asks, Opened, Wanted};
use crate::domain::window::{MAX_ROUNDS, Reach, SentRow, everything, record, window};
use crate::store::limits::{LIMIT, MAX_ROWS};
use crate::store::room::Room;
use crate::store::{Store, StoreError, TRANSACTION, UserTx, with_timeout};

/// A mission as its log tells it.
#[derive(Debug)]
pub struct FoldedMission {
    /// `None` where it is hard-deleted, or was never there; `Err` where it cannot be read.
    pub record: Result<Option<Record>, StoreError>,
    /// Its iterations in all versions, as far as [`window`] goes.
    pub history: History,
    /// How many rows there are.
    pub change_count: i64,
    /// How much of their `data` was read for the record, in bytes.
    pub(super) size: usize,
}

/// The ids of the missions of the transaction's user.
///
/// # Errors
/// Whatever the database answers.
pub async fn mission_ids(tx: &mut UserTx) -> Result<Vec<String>, StoreError> {
    let user_id = tx.user_id().to_owned();
    let ids = sqlx::query_scalar(
        r#"SELECT DISTINCT record_id COLLATE "C" FROM public.sync_changes WHERE user_id = $1 AND app_id = $2 AND table_name = $3
        ORDER BY 1"#,
    );
    Ok(ids.bind(user_id).bind(APP_ID).bind(TABLE_NAME).fetch_all(&mut **tx).await?)
}

/// Folds a mission in a transaction that is begun for it, `locked` against other replicas or not, and that goes on. Waits
/// for room between two transactions, never in one.
///
/// # Errors
/// As [`fold_mission`], and those of the transaction's begin.
pub async fn begin_and_fold(
    store: &Store,
    user_id: &str,
    mission_id: &str,
    locked: bool,
) -> Result<(UserTx, FoldedMission, Room), StoreError> {
    loop {
        let folded = async {
            let mut tx = if locked {
                UserTx::begin_locked(store, user_id, mission_id).await?
            } else {
                UserTx::begin(store, user_id).await?
            };
            match fold_mission(&mut tx, mission_id).await {
                Err(StoreError::NoRoom(bytes)) => tx.rollback().await.map(|()| Err(bytes)),
                folded => folded.map(|(folded, room)| Ok((tx, folded, room))),
            }
        };
        match with_timeout(TRANSACTION, folded).await? {
            Ok(folded) => return Ok(folded),
            Err(bytes) => store.wait_for_room(bytes).await,
        }
    }
}

/// Folds a mission of the transaction's user over [`MISSION_FIELDS`], with its history. Keep the room as long as the mission,
/// or what is made of it.
///
/// # Errors
/// [`StoreError::NoRoom`], and whatever the database answers. What makes the mission unreadable is its error, not this function's.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn fold_mission(tx: &mut UserTx, mission_id: &str) -> Result<(FoldedMission, Room), StoreError> {
    let mut log = MissionLog::read(tx, mission_id).await?;
    let change_count = log.change_count;
    let (record, history) = match log.record_and_history(tx).await {
        Ok((record, history)) => (Ok(record), history),
        Err(error) if error.is_of_the_rows() => (Err(error), History::default()),
        Err(error) => return Err(error),
    };
    Ok((FoldedMission { record, history, change_count, size: log.size }, log.room))
}

/// The same, and waits in the transaction until there is room: for readers that hold no other room, and no lock.
///
/// # Errors
/// Whatever the database answers.
pub async fn wait_and_fold(tx: &mut UserTx, mission_id: &str) -> Result<(FoldedMission, Room), StoreError> {
    loop {
        match fold_mission(tx, mission_id).await {
            Err(StoreError::NoRoom(bytes)) => tx.room().wait(bytes).await,
            folded => return folded,
        }
    }
}

/// Folds these fields of a mission, without its history. The inner error is the mission's own.
///
/// # Errors
/// As [`fold_mission`].
#[tracing::instrument(level = "debug", skip_all)]
pub async fn fold_record(
    tx: &mut UserTx,
    mission_id: &str,
    wanted: Wanted,
) -> Result<Result<Option<Record>, StoreError>, StoreError> {
    loop {
        let folded = match MissionLog::read(tx, mission_id).await {
            Ok(mut log) => log.record(tx, wanted).await,
            Err(error) => Err(error),
        };
        match folded {
            Err(StoreError::NoRoom(bytes)) => tx.room().wait(bytes).await,
            Err(error) if !error.is_of_the_rows() => return Err(error),
            folded => return Ok(folded),
        }
    }
}

/// The rows of a mission, opened so far.
struct MissionLog<'id> {
    mission_id: &'id str,
    rows: Vec<SentRow>,
    /// One unreadable row makes the mission unreadable: our next row would overwrite what it changed.
    unreadable: Option<StoreError>,
    change_count: i64,
    /// How much of `data` was read, in bytes.
    size: usize,
    room: Room,
}

#[derive(sqlx::FromRow)]
struct RowFromLog {
    id: Uuid,
    client_id: String,
    op: String,
    created_at: SqlTime,
    schema_version: i32,
    clocks: Option<Json<Box<RawValue>>>,
    size: Option<i32>,
    data: Option<String>,
}

/// The rows without `data`; that of inserts, whose names no clock tells. Text is measured where it is, and sent where it
/// is not too long. OFFSET 0 keeps Postgres from making the text twice.
const ROWS: &str = "
SELECT id, client_id, op, created_at, schema_version, {clocks} AS clocks, octet_length(text) AS size,
    CASE WHEN octet_length(text) <= $5 THEN text END AS data
FROM public.sync_changes, LATERAL (SELECT CASE WHEN op = 'insert' THEN data::text END AS text OFFSET 0) AS inserted
WHERE user_id = $1 AND app_id = $2 AND table_name = $3 AND record_id = $4
ORDER BY created_at, id LIMIT $6";

/// What stands in rows under names. `data #> '{}'` is `data`, unpacked: without it each `->` unpacks it again.
const OPEN: &str = "
SELECT asked.id, name, octet_length(text) AS size, CASE WHEN octet_length(text) <= $4 THEN text END AS value
FROM unnest($1::uuid[], $2::jsonb[]) AS asked (id, names)
JOIN public.sync_changes AS log ON log.id = asked.id AND log.user_id = $3,
LATERAL (SELECT log.data #> '{}' AS data OFFSET 0) AS unpacked,
LATERAL jsonb_array_elements_text(asked.names) AS name,
LATERAL (SELECT (unpacked.data -> name)::text AS text OFFSET 0) AS value";

/// The lists of iterations of rows, in the order in which the rows are asked for: OFFSET 0 keeps Postgres from joining them
/// otherwise. One statement, whatever their number, and each is read when it is its turn.
const LISTS: &str = "
SELECT asked.id, 'iterations' AS name, octet_length(text) AS size, CASE WHEN octet_length(text) <= $3 THEN text END AS value
FROM unnest($1::uuid[]) AS asked (id),
LATERAL (SELECT (data -> 'iterations')::text AS text FROM public.sync_changes
    WHERE id = asked.id AND user_id = $2 OFFSET 0) AS list";

impl<'id> MissionLog<'id> {
    async fn read(tx: &mut UserTx, mission_id: &'id str) -> Result<Self, StoreError> {
        let (shape, user_id) = (tx.shape(), tx.user_id().to_owned());
        let most = i64::try_from(MAX_ROWS).unwrap_or(i64::MAX) + 1;
        let rows =
            sqlx::query_as::<_, RowFromLog>(shape.sql(ROWS)).bind(user_id).bind(APP_ID).bind(TABLE_NAME);
        let rows = rows.bind(mission_id).bind(sql_limit()).bind(most).fetch_all(&mut **tx).await?;
        let change_count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let mut log =
            Self { mission_id, rows: Vec::new(), unreadable: None, change_count, size: 0, room: tx.room() };
        if rows.len() > MAX_ROWS {
            log.unreadable = Some(StoreError::TooManyRows);
            return Ok(log);
        }
        for row in rows {
            match log.count(row.size).and_then(|()| row.read()) {
                Ok(row) => log.rows.push(row),
                Err(error) if error.is_of_the_rows() => drop(log.unreadable.get_or_insert(error)),
                Err(error) => return Err(error),
            }
        }
        Ok(log)
    }

    async fn record(&mut self, tx: &mut UserTx, wanted: Wanted) -> Result<Option<Record>, StoreError> {
        if let Some(error) = self.unreadable.take() {
            return Err(error);
        }
        for round in 0.. {
            match record(Rules::APRIL, wanted, &self.rows) {
                Ok(record) => return Ok(record),
                Err(asks) => self.open(tx, asks, round).await?,
            }
        }
        unreachable!("a round with everything opened asks for nothing")
    }

    async fn record_and_history(&mut self, tx: &mut UserTx) -> Result<(Option<Record>, History), StoreError> {
        let Some(record) = self.record(tx, Wanted::Fields(&MISSION_FIELDS)).await? else {
            return Ok((None, History::default()));
        };
        let slot = match Standing::of(&record) {
            Ok(Standing::Scheduled(slot)) => Some(slot),
            _ => None,
        };
        let history = self.history(tx, slot).await?;
        Ok((Some(record), history))
    }

    /// The history: the rows that the window has, one list at a time. `slot`: where the mission stands.
    async fn history(&mut self, tx: &mut UserTx, slot: Option<Timestamp>) -> Result<History, StoreError> {
        let mut history = self.history_within(tx, Reach::SHORT).await?;
        if history.is_in_doubt() {
            history = self.history_within(tx, Reach::WIDE).await?;
        }
        let sums_up = self.window(tx, Reach::SHORT).await?.into_iter().find(ListRow::is_summing_up);
        if let Some(row) = sums_up {
            let last = self.rows[row.index].row.created_at;
            add_unread(tx, self.mission_id, &mut history, last).await?;
            // Only a slot before our last row can have a plan that the history does not know: its user moved it back.
            if let Some(slot) = slot.filter(|slot| *slot <= last) {
                add_planned(tx, self.mission_id, &mut history, slot).await?;
            }
        }
        Ok(history)
    }

    async fn history_within(&mut self, tx: &mut UserTx, reach: Reach) -> Result<History, StoreError> {
        let mut history = History::default();
        let window = self.window(tx, reach).await?;
        let list = |row: &ListRow| self.rows[row.index].row.opened.get("iterations");
        let closed = window.iter().filter(|row| list(row).is_none()).map(|row| self.rows[row.index].row.id);
        let lists = sqlx::query_as::<_, OpenedValue>(LISTS).bind(closed.collect::<Vec<_>>());
        let mut lists = lists.bind(tx.user_id().to_owned()).bind(sql_limit()).fetch(&mut **tx);
        for row in &window {
            if let Some(list) = list(row) {
                list.into_iter().for_each(|list| history.apply_list(row, list));
                continue;
            }
            // One at a time, and not kept: lists repeat each other, and only what differs is kept by the history.
            let opened = lists.try_next().await?.filter(|opened| opened.id == self.rows[row.index].row.id);
            let opened = opened.ok_or(sqlx::Error::RowNotFound)?;
            opened.read()?.iter().for_each(|list| history.apply_list(row, list));
        }
        Ok(history)
    }

    async fn window(&mut self, tx: &mut UserTx, reach: Reach) -> Result<Vec<ListRow>, StoreError> {
        for round in 0.. {
            match window(Rules::APRIL, &self.rows, reach) {
                Ok(window) => return Ok(window),
                Err(asks) => self.open(tx, asks, round).await?,
            }
        }
        unreachable!("a round with everything opened asks for nothing")
    }

    /// Opens what is asked for; everything, where that takes too many rounds.
    async fn open(&mut self, tx: &mut UserTx, asks: Asks, round: usize) -> Result<(), StoreError> {
        let asks = if round < MAX_ROUNDS { asks } else { everything(&self.rows) };
        let mut answers: BTreeMap<Uuid, Vec<OpenedValue>> = BTreeMap::new();
        let (user_id, asked) = (tx.user_id().to_owned(), Asked::of(&asks));
        let mut values = asked.values(user_id).fetch(&mut **tx);
        while let Some(opened) = values.try_next().await? {
            self.count(opened.size)?;
            answers.entry(opened.id).or_default().push(opened);
        }
        drop(values);
        for SentRow { row, .. } in &mut self.rows {
            for opened in answers.remove(&row.id).unwrap_or_default() {
                let value = opened.read()?;
                row.opened.set(opened.name, value);
            }
        }
        Ok(())
    }

    /// Counts what was read, or would have been.
    fn count(&mut self, size: Option<i32>) -> Result<(), StoreError> {
        self.size += usize::try_from(size.unwrap_or_default()).unwrap_or(usize::MAX);
        if self.size > LIMIT {
            return Err(StoreError::TooLarge { size: self.size, limit: LIMIT });
        }
        self.room.grow(self.size)
    }
}

/// What stands in a row under a name.
#[derive(sqlx::FromRow)]
struct OpenedValue {
    id: Uuid,
    name: String,
    /// Its length; `None` where nothing stands there.
    size: Option<i32>,
    /// `None` also where it is too long.
    value: Option<String>,
}

impl OpenedValue {
    fn read(&self) -> Result<Option<Box<RawValue>>, StoreError> {
        let size = usize::try_from(self.size.unwrap_or_default()).unwrap_or(usize::MAX);
        if size > LIMIT {
            return Err(StoreError::TooLarge { size, limit: LIMIT });
        }
        let read = |text: &String| RawValue::from_string(text.clone());
        Ok(self.value.as_ref().map(read).transpose()?)
    }
}

/// What is asked for, as the statement takes it.
struct Asked {
    ids: Vec<Uuid>,
    names: Vec<Json<BTreeSet<String>>>,
}

impl Asked {
    fn of(asks: &Asks) -> Self {
        let (ids, names) = asks.names.iter().map(|(id, names)| (*id, Json(names.clone()))).unzip();
        Self { ids, names }
    }

    fn values(self, user_id: String) -> QueryAs<'static, Postgres, OpenedValue, PgArguments> {
        sqlx::query_as(OPEN).bind(self.ids).bind(self.names).bind(user_id).bind(sql_limit())
    }
}

fn sql_limit() -> i32 {
    i32::try_from(LIMIT).unwrap_or(i32::MAX)
}

impl RowFromLog {
    fn read(self) -> Result<SentRow, StoreError> {
        let times = self.clocks.map(|Json(raw)| object(raw.get())).unwrap_or_default();
        let is_insert = self.op == "insert";
        let inserted = || Opened::Whole(self.data.as_deref().map(object).unwrap_or_default());
        let opened = if is_insert { inserted() } else { Opened::default() };
        let row = log_row(self.id, self.created_at, &self.op, self.schema_version, clocks(times), opened)?;
        Ok(SentRow { row, client_id: self.client_id })
    }
}

/// A device takes nothing from `data` that is no object, and neither do we.
fn object(text: &str) -> Fields {
    serde_json::from_str(text).unwrap_or_default()
}
