//! The records that a mission links, read from the log of its user and folded as a device does.
//!
//! The number of statements does not depend on the number of links: one reads the clocks of all records, one more per
//! round opens the values that won, of all records at once. A time block is named by its event's fold, not by the link.
//! So the blocks of all events are read after the events, by the same statements once more. One statement for both would
//! have to fold events in SQL.
//!
//! What is sent is bounded before it is sent: a text is cut, and a larger list or object makes its record [`Found::TooLarge`].

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt as _;
use jiff_sqlx::Timestamp as SqlTime;
use serde_json::value::RawValue;
use sqlx::types::Json;
use uuid::Uuid;

use super::change_row::{clocks, log_row};
use super::rounds::Rows;
use crate::domain::change::Fields;
use crate::domain::fold::text_of;
use crate::domain::opened::{Asks, LogRow, Opened, Wanted};
use crate::inputs::linked::{Found, LONGEST_FIELD, Read};
use crate::inputs::links::{Link, Links};
use crate::inputs::modules::{TIME_BLOCKS, Table};
use crate::store::limits::LIMIT;
use crate::store::room::Room;
use crate::store::{StoreError, TRANSACTION, UserTx, with_timeout};

/// The most rows of all linked records of a mission. Records with fewer rows come first, so one that is edited without end
/// keeps out itself alone. Their clocks take some 300 bytes each.
const MAX_ROWS: i64 = 20_000;
/// The most inserts of one record: devices write one. The fold opens each of them.
const MAX_INSERTS: i64 = 8;
/// The most bytes that these inserts may have on the disk: Postgres unpacks each whole to look into it.
const MAX_STORED: i64 = 8 * 1024 * 1024;
/// The longest list or object that is read, in bytes. A text is cut to [`LONGEST_FIELD`] characters instead.
const MAX_VALUE: i32 = 32 * 1024;
/// The most bytes that are kept of one record, clocks included: four thousand rows of a note.
const MAX_RECORD: usize = 1024 * 1024;
/// The most bytes that are kept of all of them.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// A value as it is sent: NULL where it is too large. `to_jsonb` writes the text as JSON again.
macro_rules! bounded {
    ($value:literal, $characters:literal, $bytes:literal) => {
        concat!(
            "CASE WHEN jsonb_typeof(",
            $value,
            ") = 'string' THEN to_jsonb(left(",
            $value,
            " #>> '{}', ",
            $characters,
            "))
             WHEN octet_length(",
            $value,
            "::text) <= ",
            $bytes,
            " THEN ",
            $value,
            " END"
        )
    };
}

/// The rows of records without `data`, but for the wanted fields of inserts, whose names no clock tells. `$2` to `$4` are
/// the records, `$5` the fields of all their tables. A record without rows, or with too many, has one row of NULLs.
const ROWS: &str = concat!(
    "
WITH counted AS MATERIALIZED (
    SELECT record, app, of_table, record_id, rows, inserts <= $6 AND stored <= $7 AS few_inserts
    FROM unnest($2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS link (app, of_table, record_id, record),
    LATERAL (SELECT count(*) AS rows, count(*) FILTER (WHERE op = 'insert') AS inserts,
                 coalesce(sum(pg_column_size(data)) FILTER (WHERE op = 'insert'), 0) AS stored
             FROM public.sync_changes AS log
             WHERE log.user_id = $1 AND log.app_id = app AND log.table_name = of_table AND log.record_id = link.record_id)
        AS counts),
bounded AS MATERIALIZED (
    SELECT *, few_inserts AND sum(rows) OVER (ORDER BY few_inserts DESC, rows, record) <= $8 AS fits FROM counted)
SELECT bounded.record, NOT fits AS too_many, id, op, created_at, schema_version, clocks::text AS clocks, data, cut_off
FROM bounded LEFT JOIN LATERAL (
    SELECT id, op, created_at, schema_version, {clocks} AS clocks, inserted.data::text AS data, inserted.cut_off
    FROM public.sync_changes AS log,
    LATERAL (SELECT jsonb_object_agg(name, value) AS data, bool_or(value IS NULL) AS cut_off FROM (
        SELECT name, ",
    bounded!("whole", "$9", "$10"),
    " AS value
        FROM jsonb_each(CASE WHEN log.op = 'insert' AND jsonb_typeof(log.data) = 'object' THEN log.data END) AS field (name, whole)
        WHERE split_part(name, '.', 1) = ANY($5)) AS fields) AS inserted
    WHERE fits AND log.user_id = $1 AND log.app_id = app AND log.table_name = of_table AND log.record_id = bounded.record_id
) AS log ON true
ORDER BY rows, bounded.record, created_at, id"
);

/// What stands in rows under names. `data #> '{}'` is `data`, unpacked: without it each `->` unpacks it again.
const OPEN: &str = concat!(
    "
SELECT asked.id, name, found IS NOT NULL AND sent IS NULL AS cut_off, sent::text AS value
FROM unnest($1::uuid[], $2::jsonb[]) AS asked (id, names)
JOIN public.sync_changes AS log ON log.id = asked.id AND log.user_id = $3,
LATERAL (SELECT log.data #> '{}' AS data OFFSET 0) AS unpacked,
LATERAL jsonb_array_elements_text(asked.names) AS name,
LATERAL (SELECT unpacked.data -> name AS found OFFSET 0) AS of_name,
LATERAL (SELECT ",
    bounded!("found", "$4", "$5"),
    " AS sent) AS bounded"
);

/// Reads the records that these links lead to, each with its time block; one for each link, in their order. `room` is the
/// mission's, and grows.
///
/// # Errors
/// [`StoreError::NoRoom`], and whatever the database answers. What makes a record unreadable is told in its place.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn read_linked(tx: &mut UserTx, links: &Links, room: &mut Room) -> Result<Vec<Read>, StoreError> {
    let keys = links.links.iter().map(|link| Some(Key { table: &link.module()?.table, id: link.id.clone() }));
    let records = read_records(tx, keys.collect(), room).await?;
    let block = |(link, record): (&Link, &Found)| match record {
        Found::Record(record) => {
            let id = text_of(&record.fields, link.module()?.time_block_field()?)?;
            (!id.is_empty()).then_some(Key { table: &TIME_BLOCKS, id })
        }
        _ => None,
    };
    let keys = links.links.iter().zip(&records).map(block).collect();
    let time_blocks = read_records(tx, keys, room).await?;
    let read = records.into_iter().zip(time_blocks);
    Ok(read.map(|(record, time_block)| Read { record, time_block }).collect())
}

/// The same, and waits in the transaction until there is room: for readers that hold no other room, and no lock.
///
/// # Errors
/// Whatever the database answers.
pub async fn wait_and_read_linked(tx: &mut UserTx, links: &Links) -> Result<Vec<Read>, StoreError> {
    loop {
        let mut room = tx.room();
        match with_timeout(TRANSACTION, read_linked(tx, links, &mut room)).await {
            Err(StoreError::NoRoom(bytes)) => {
                drop(room);
                tx.room().wait(bytes).await;
            }
            read => return read,
        }
    }
}

/// Where a record is.
struct Key {
    table: &'static Table,
    id: String,
}

/// Reads these records; nothing where there is no key.
async fn read_records(
    tx: &mut UserTx,
    keys: Vec<Option<Key>>,
    room: &mut Room,
) -> Result<Vec<Found>, StoreError> {
    let mut found: Vec<Found> = keys.iter().map(|_| Found::Nothing).collect();
    let (places, keys): (Vec<usize>, Vec<Key>) =
        keys.into_iter().enumerate().filter_map(|(place, key)| Some((place, key?))).unzip();
    if !keys.is_empty() {
        let read = Reading::begin(tx, &keys, room).await?.finish(tx, room).await?;
        places.into_iter().zip(read).for_each(|(place, read)| found[place] = read);
    }
    Ok(found)
}

/// Records that are read together.
struct Reading {
    records: Vec<RecordLog>,
    bytes: Bytes,
}

/// The rows of one record, opened so far.
struct RecordLog {
    wanted: Wanted,
    rows: Rows,
    /// Bytes of them.
    size: usize,
    /// What the log says of it, once that is known. Then its rows are gone.
    found: Option<Found>,
}

/// Bytes kept of all records.
struct Bytes {
    kept: usize,
    most: usize,
    /// What the mission has of its room.
    of_mission: usize,
}

#[derive(sqlx::FromRow)]
struct RowFromLog {
    record: i64,
    too_many: bool,
    id: Option<Uuid>,
    op: Option<String>,
    created_at: Option<SqlTime>,
    schema_version: Option<i32>,
    clocks: Option<String>,
    data: Option<String>,
    cut_off: Option<bool>,
}

/// What stands in a row under a name.
#[derive(sqlx::FromRow)]
struct OpenedValue {
    id: Uuid,
    name: String,
    cut_off: bool,
    value: Option<String>,
}

impl Reading {
    async fn begin(tx: &mut UserTx, keys: &[Key], room: &mut Room) -> Result<Self, StoreError> {
        let of_mission = room.bytes();
        let bytes = Bytes { kept: 0, most: MAX_BYTES.min(LIMIT.saturating_sub(of_mission)), of_mission };
        let mut reading = Self { records: keys.iter().map(RecordLog::of).collect(), bytes };
        let (shape, user_id) = (tx.shape(), tx.user_id().to_owned());
        let of_keys = |part: fn(&Key) -> &str| keys.iter().map(part).map(str::to_owned).collect::<Vec<_>>();
        let rows = sqlx::query_as::<_, RowFromLog>(shape.sql(ROWS)).bind(user_id);
        let rows = rows.bind(of_keys(|key| key.table.app)).bind(of_keys(|key| key.table.name));
        let rows = rows.bind(of_keys(|key| &key.id)).bind(names(keys)).bind(MAX_INSERTS).bind(MAX_STORED);
        let rows = rows.bind(MAX_ROWS).bind(longest_field()).bind(MAX_VALUE);
        let mut rows = rows.fetch(&mut **tx);
        while let Some(row) = rows.try_next().await? {
            reading.take(row, room)?;
        }
        Ok(reading)
    }

    fn take(&mut self, row: RowFromLog, room: &mut Room) -> Result<(), StoreError> {
        let at = usize::try_from(row.record - 1).unwrap_or(usize::MAX);
        let Some(record) = self.records.get_mut(at).filter(|record| record.found.is_none()) else {
            return Ok(());
        };
        if row.too_many || row.cut_off == Some(true) {
            record.close(Found::TooLarge, &mut self.bytes);
            return Ok(());
        }
        let size = [&row.clocks, &row.data].into_iter().flatten().map(String::len).sum();
        if !record.keep(size, &mut self.bytes, room)? {
            return Ok(());
        }
        match row.read(record.wanted) {
            Some(row) => record.rows.push(row),
            None => record.close(Found::Nothing, &mut self.bytes),
        }
        Ok(())
    }

    /// Folds all records, and opens what their folds ask for.
    async fn finish(mut self, tx: &mut UserTx, room: &mut Room) -> Result<Vec<Found>, StoreError> {
        for round in 0.. {
            let mut asks = Asks::default();
            for record in self.records.iter_mut().filter(|record| record.found.is_none()) {
                match record.fold(round) {
                    Ok(found) => record.close(found, &mut self.bytes),
                    Err(more) => asks.extend(more),
                }
            }
            if asks.names.is_empty() {
                break;
            }
            self.open(tx, asks, room).await?;
        }
        Ok(self.records.into_iter().map(|record| record.found.unwrap_or_default()).collect())
    }

    async fn open(&mut self, tx: &mut UserTx, asks: Asks, room: &mut Room) -> Result<(), StoreError> {
        let (ids, names): (Vec<Uuid>, Vec<_>) =
            asks.names.iter().map(|(id, names)| (*id, Json(names))).unzip();
        let values = sqlx::query_as::<_, OpenedValue>(OPEN).bind(ids).bind(names);
        let values = values.bind(tx.user_id().to_owned()).bind(longest_field()).bind(MAX_VALUE);
        let values = values.fetch_all(&mut **tx).await?;
        let mut answers: BTreeMap<Uuid, Vec<OpenedValue>> = BTreeMap::new();
        values.into_iter().for_each(|value| answers.entry(value.id).or_default().push(value));
        for record in self.records.iter_mut().filter(|record| record.found.is_none()) {
            record.answer(&asks, &mut answers, &mut self.bytes, room)?;
        }
        Ok(())
    }
}

impl RecordLog {
    fn of(key: &Key) -> Self {
        Self { wanted: Wanted::Fields(key.table.fields), rows: Rows::default(), size: 0, found: None }
    }

    /// Counts what is kept of it. `false` where that is too much; then nothing of it is kept.
    fn keep(&mut self, size: usize, bytes: &mut Bytes, room: &mut Room) -> Result<bool, StoreError> {
        self.size += size;
        bytes.kept += size;
        if self.size > MAX_RECORD || bytes.kept > bytes.most {
            self.close(Found::TooLarge, bytes);
            return Ok(false);
        }
        room.grow(bytes.of_mission + bytes.kept)?;
        Ok(true)
    }

    fn close(&mut self, found: Found, bytes: &mut Bytes) {
        bytes.kept -= std::mem::take(&mut self.size);
        (self.rows, self.found) = (Rows::default(), Some(found));
    }

    fn fold(&mut self, round: usize) -> Result<Found, Asks> {
        if self.rows.unreadable.is_some() {
            return Ok(Found::Newer);
        }
        Ok(self.rows.fold(self.wanted, round)?.map_or(Found::Gone, Found::Record))
    }

    /// Keeps the answers to what its fold asked for. What was not answered is not there, so that no round asks it again.
    fn answer(
        &mut self,
        asks: &Asks,
        answers: &mut BTreeMap<Uuid, Vec<OpenedValue>>,
        bytes: &mut Bytes,
        room: &mut Room,
    ) -> Result<(), StoreError> {
        let mut size = 0;
        for row in &mut self.rows.rows {
            let Some(names) = asks.names.get(&row.id) else { continue };
            names.iter().for_each(|name| row.opened.set(name.clone(), None));
            for OpenedValue { name, cut_off, value, .. } in answers.remove(&row.id).unwrap_or_default() {
                if cut_off {
                    self.close(Found::TooLarge, bytes);
                    return Ok(());
                }
                size += value.as_ref().map_or(0, String::len);
                row.opened.set(name, value.map(RawValue::from_string).transpose()?);
            }
        }
        self.keep(size, bytes, room).map(drop)
    }
}

impl RowFromLog {
    /// `None` where the record has no row.
    fn read(self, wanted: Wanted) -> Option<Result<LogRow, StoreError>> {
        let mut times = self.clocks.as_deref().map(object).unwrap_or_default();
        // By April's rules a name that nobody wants changes nothing. Without them thousands of rows stay small.
        times.retain(|name, _| wanted.has(name) || DECIDE.contains(&name.as_str()));
        let op = self.op?;
        let inserted = || Opened::Whole(self.data.as_deref().map(object).unwrap_or_default());
        let opened = if op == "insert" { inserted() } else { Opened::default() };
        Some(log_row(self.id?, self.created_at?, &op, self.schema_version?, clocks(times), opened))
    }
}

/// The fields that decide who wins, beside those that are wanted.
const DECIDE: [&str; 3] = ["createdAt", "updatedAt", "deletedAt"];

/// The fields of all tables of these records, and what decides who wins.
fn names(keys: &[Key]) -> Vec<String> {
    let wanted = keys.iter().flat_map(|key| key.table.fields).chain(&DECIDE).copied();
    wanted.collect::<BTreeSet<_>>().into_iter().map(str::to_owned).collect()
}

fn longest_field() -> i32 {
    i32::try_from(LONGEST_FIELD).unwrap_or(i32::MAX)
}

/// A device takes nothing from `data` that is no object, and neither do we.
fn object(text: &str) -> Fields {
    serde_json::from_str(text).unwrap_or_default()
}
