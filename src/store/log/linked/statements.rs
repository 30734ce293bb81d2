//! The two statements: the clocks of linked records, and the values that won.

use std::collections::BTreeSet;

use jiff_sqlx::Timestamp as SqlTime;
use serde_json::value::RawValue;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;
use sqlx::types::Json;
use uuid::Uuid;

use super::Key;
use crate::domain::change::Fields;
use crate::domain::opened::{Asks, LogRow, Opened, Wanted};
use crate::inputs::linked::LONGEST_FIELD;
use crate::store::StoreError;
use crate::store::log::change_row::{clocks, log_row};
use crate::store::log::shape::Shape;

/// The most rows of all linked records of a mission. Records with fewer rows come first, so one that is edited without end
/// keeps out itself alone. Their clocks take some 300 bytes each.
const MAX_ROWS: i64 = 20_000;
/// The most inserts of one record: devices write one. The fold opens each of them.
const MAX_INSERTS: i64 = 8;
/// The most bytes that these inserts, and the clocks of all rows, may have on the disk: Postgres unpacks them.
const MAX_STORED: i64 = 8 * 1024 * 1024;
/// The longest list or object that is read, and the longest clocks of a row, in bytes. A text is cut to [`LONGEST_FIELD`]
/// characters instead.
const MAX_VALUE: i32 = 32 * 1024;
/// The most that is read of an insert, in bytes: names with dots may be any number.
const MAX_INSERT: i64 = 512 * 1024;
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
/// the records, `$5` the fields of all their tables. A record without rows, or with too many, has one row of NULLs. An
/// insert is opened in a CASE, so that the many updates cost nothing.
const ROWS: &str = concat!(
    "
WITH counted AS MATERIALIZED (
    SELECT record, app, of_table, record_id, rows, inserts <= $6 AND stored <= $7 AS few_inserts
    FROM unnest($2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS link (app, of_table, record_id, record),
    LATERAL (SELECT count(*) AS rows, count(*) FILTER (WHERE op = 'insert') AS inserts,
                 coalesce(sum(pg_column_size(data)) FILTER (WHERE op = 'insert'), 0)
                     + coalesce(sum(pg_column_size({clocks})), 0) AS stored
             FROM public.sync_changes AS log
             WHERE log.user_id = $1 AND log.app_id = app AND log.table_name = of_table AND log.record_id = link.record_id)
        AS counts),
bounded AS MATERIALIZED (
    SELECT *, few_inserts AND sum(rows) OVER (ORDER BY few_inserts DESC, rows, record) <= $8 AS fits FROM counted)
SELECT bounded.record, NOT fits AS too_many, id, op, created_at, schema_version, data,
    CASE WHEN octet_length(clocks) <= $10 THEN clocks END AS clocks,
    octet_length(clocks) > $10 OR op = 'insert' AND data IS NULL AS cut_off
FROM bounded LEFT JOIN LATERAL (
    SELECT id, op, created_at, schema_version, text.clocks, CASE WHEN op = 'insert' THEN (
        SELECT CASE WHEN bool_or(value IS NULL) OR sum(octet_length(name) + octet_length(value::text)) > $11 THEN NULL
            ELSE coalesce(jsonb_object_agg(name, value), '{}')::text END FROM (
            SELECT name, ",
    bounded!("whole", "$9", "$10"),
    " AS value
            FROM jsonb_each(CASE WHEN jsonb_typeof(log.data) = 'object' THEN log.data END) AS field (name, whole)
            WHERE split_part(name, '.', 1) = ANY($5)) AS fields) END AS data
    FROM public.sync_changes AS log, LATERAL (SELECT log.{clocks}::text AS clocks OFFSET 0) AS text
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

type Rows = QueryAs<'static, Postgres, RowFromLog, PgArguments>;
type Values = QueryAs<'static, Postgres, OpenedValue, PgArguments>;

/// The rows of these records of a user.
pub(super) fn rows(shape: &Shape, user_id: String, keys: &[Key]) -> Rows {
    let of_keys = |part: fn(&Key) -> &str| keys.iter().map(part).map(str::to_owned).collect::<Vec<_>>();
    let rows = sqlx::query_as(shape.sql(ROWS)).bind(user_id);
    let rows = rows.bind(of_keys(|key| key.table.app)).bind(of_keys(|key| key.table.name));
    let rows = rows.bind(of_keys(|key| &key.id)).bind(names(keys)).bind(MAX_INSERTS).bind(MAX_STORED);
    rows.bind(MAX_ROWS).bind(longest_field()).bind(MAX_VALUE).bind(MAX_INSERT)
}

/// What is asked for, of rows of a user.
pub(super) fn values(asks: &Asks, user_id: String) -> Values {
    let (ids, names): (Vec<Uuid>, Vec<_>) =
        asks.names.iter().map(|(id, names)| (*id, Json(names.clone()))).unzip();
    sqlx::query_as(OPEN).bind(ids).bind(names).bind(user_id).bind(longest_field()).bind(MAX_VALUE)
}

/// A row of a linked record.
#[derive(sqlx::FromRow)]
pub(super) struct RowFromLog {
    /// The place of its record among the keys, from 1.
    pub record: i64,
    /// The record has more rows, inserts or bytes than are read.
    pub too_many: bool,
    id: Option<Uuid>,
    op: Option<String>,
    created_at: Option<SqlTime>,
    schema_version: Option<i32>,
    clocks: Option<String>,
    data: Option<String>,
    /// A value of it, or its clocks, were too large to be sent.
    pub cut_off: Option<bool>,
}

/// What stands in a row under a name.
#[derive(sqlx::FromRow)]
pub(super) struct OpenedValue {
    /// The row.
    pub id: Uuid,
    /// The name.
    pub name: String,
    /// It was too large to be sent.
    pub cut_off: bool,
    /// `None` where nothing stands there.
    value: Option<String>,
}

impl RowFromLog {
    /// How many bytes were sent of it.
    pub fn size(&self) -> usize {
        [&self.clocks, &self.data].into_iter().flatten().map(String::len).sum()
    }

    /// `None` where the record has no row.
    pub fn read(self, wanted: Wanted) -> Option<Result<LogRow, StoreError>> {
        let mut times = self.clocks.as_deref().map(object).unwrap_or_default();
        // By April's rules a name that nobody wants changes nothing. Without them thousands of rows stay small.
        times.retain(|name, _| wanted.has(name) || DECIDE.contains(&name.as_str()));
        let op = self.op?;
        let inserted = || Opened::Whole(self.data.as_deref().map(object).unwrap_or_default());
        let opened = if op == "insert" { inserted() } else { Opened::default() };
        Some(log_row(self.id?, self.created_at?, &op, self.schema_version?, clocks(times), opened))
    }
}

impl OpenedValue {
    /// How many bytes were sent of it.
    pub fn size(&self) -> usize {
        self.value.as_ref().map_or(0, String::len)
    }

    /// The value.
    ///
    /// # Errors
    /// Where Postgres sent something else than JSON.
    pub fn read(&self) -> Result<Option<Box<RawValue>>, StoreError> {
        Ok(self.value.clone().map(RawValue::from_string).transpose()?)
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
