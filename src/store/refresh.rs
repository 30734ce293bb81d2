//! The schedule follows the log: whenever rows of a mission appear, all its rows are folded again over
//! the few fields that decide due-ness. Nothing is merged, so a late, repeated or reordered row cannot
//! leave it wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTime;
use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{Executor, PgTransaction};
use uuid::Uuid;

use super::changes::{apply, change_row};
use super::{Store, StoreError, sql_time};
use crate::domain::change::Fields;
use crate::domain::fold::Fold;
use crate::domain::mission::Standing;

/// The fields in the view's arrays, in its order.
const SCHEDULE_FIELDS: [&str; 5] = ["state", "nextRunAt", "deletedAt", "createdAt", "updatedAt"];
/// Missions per round trip: bounds the memory, whatever the length of the log.
const BATCH: i32 = 2_000;
const RECONCILE_EVERY: Duration = Duration::from_secs(3600);

/// What a refresh found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Refreshed {
    /// Rows of the schedule that were not as the log has them.
    pub changed: u64,
    /// Missions that have just turned out unreadable, with the reason.
    pub unreadable: Vec<(String, String)>,
    /// Was the whole log folded?
    pub whole: bool,
}

/// Brings the schedule up to the log. `overlap` is how long a transaction may stay open and still be
/// seen, for rows become visible later than their `created_at`. `whole` folds the whole log, as do the
/// hourly reconcile and a schedule that was emptied. Another replica at it: nothing is done here.
pub async fn refresh(store: &Store, overlap: Duration, whole: bool) -> Result<Refreshed, StoreError> {
    let mut tx = store.begin().await?;
    let lock = "SELECT pg_try_advisory_xact_lock(hashtextextended('mana_ai.refresh', 0))";
    if !sqlx::query_scalar(lock).fetch_one(&mut *tx).await? {
        return Ok(Refreshed::default());
    }
    // Before the first row is read: what becomes visible while we read belongs to the next refresh.
    let now = super::now(&mut tx).await?;
    let cursor: Option<(SqlTime, SqlTime)> =
        sqlx::query_as("SELECT refreshed_at, reconciled_at FROM mana_ai.refresh_cursor")
            .fetch_optional(&mut *tx)
            .await?;
    let since = cursor
        .filter(|(_, reconciled_at)| !whole && now < reconciled_at.to_jiff() + RECONCILE_EVERY)
        .map(|(refreshed_at, _)| refreshed_at.to_jiff() - overlap);
    let mut refreshed = Refreshed { whole: since.is_none(), ..Refreshed::default() };
    if refreshed.whole {
        refreshed.changed += drop_orphans(&mut tx).await?;
    }
    fold_touched(&mut tx, since, &mut refreshed).await?;
    move_cursor(&mut tx, now, refreshed.whole).await?;
    tx.commit().await?;
    Ok(refreshed)
}

/// Folds every mission with a row newer than `since`, in batches.
async fn fold_touched(
    tx: &mut PgTransaction<'static>,
    since: Option<Timestamp>,
    refreshed: &mut Refreshed,
) -> Result<(), StoreError> {
    // A cursor of the database, so that a million missions are no list in our memory.
    sqlx::query(
        "DECLARE touched NO SCROLL CURSOR FOR SELECT DISTINCT user_id, record_id
         FROM mana_ai.mission_changes WHERE created_at > coalesce($1, '-infinity')",
    )
    .bind(since.map(sql_time))
    .execute(&mut **tx)
    .await?;
    loop {
        let fetch = sqlx::AssertSqlSafe(format!("FETCH {BATCH} FROM touched"));
        let keys: Vec<Key> = sqlx::query_as(fetch).fetch_all(&mut **tx).await?;
        if keys.is_empty() {
            tx.execute("CLOSE touched").await?;
            return Ok(());
        }
        let missions = fold_batch(tx, keys).await?;
        write_batch(tx, missions, refreshed).await?;
    }
}

/// User and mission.
type Key = (String, String);

/// What the log says of each mission of a batch: its next slot, none, or why it cannot be read; and
/// how many rows said so.
type Entries = Vec<(Key, Result<Option<Timestamp>, String>, i64)>;

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

async fn fold_batch(tx: &mut PgTransaction<'static>, keys: Vec<Key>) -> Result<Entries, StoreError> {
    let (users, missions): (Vec<String>, Vec<String>) = keys.into_iter().unzip();
    let mut rows = sqlx::query_as::<_, RowFromView>(
        "SELECT id, user_id, record_id, op, created_at, schema_version, field_values, field_times
         FROM unnest($1::text[], $2::text[]) AS touched (user_id, record_id)
         JOIN mana_ai.mission_changes USING (user_id, record_id) ORDER BY created_at, id",
    )
    .bind(users)
    .bind(missions)
    .fetch(&mut **tx);
    let mut folds: BTreeMap<Key, (Result<Fold, StoreError>, i64)> = BTreeMap::new();
    while let Some(row) = rows.try_next().await? {
        let key = (row.user_id, row.record_id);
        let (fold, count) = folds.entry(key).or_insert((Ok(Fold::default()), 0));
        *count += 1;
        let (data, times) = (fields(row.field_values), fields(row.field_times));
        apply(fold, change_row(row.id, row.created_at, &row.op, row.schema_version, data, times));
    }
    Ok(folds.into_iter().map(|(key, (fold, count))| (key, slot(fold), count)).collect())
}

fn fields(values: Vec<Option<Json<Box<RawValue>>>>) -> Fields {
    let named = SCHEDULE_FIELDS.into_iter().zip(values);
    named.filter_map(|(field, value)| Some((field.to_owned(), value?.0))).collect()
}

fn slot(fold: Result<Fold, StoreError>) -> Result<Option<Timestamp>, String> {
    let Some(record) = fold.map_err(|error| error.to_string())?.finish() else { return Ok(None) };
    match Standing::of(&record).map_err(|error| error.to_string())? {
        Standing::Scheduled(slot) => Ok(Some(slot)),
        Standing::Off(_) => Ok(None),
    }
}

/// One delete and one upsert. A mission whose log says what the schedule already has is not touched: the
/// overlap folds the same rows for minutes, and must not undo a wait or a lease meanwhile.
async fn write_batch(
    tx: &mut PgTransaction<'static>,
    entries: Entries,
    refreshed: &mut Refreshed,
) -> Result<(), StoreError> {
    let (off, on): (Entries, Entries) = entries.into_iter().partition(|(_, slot, _)| *slot == Ok(None));
    let (users, missions): (Vec<String>, Vec<String>) = off.into_iter().map(|(key, ..)| key).unzip();
    let removed = sqlx::query(
        "DELETE FROM mana_ai.mission_schedule USING unnest($1::text[], $2::text[]) AS off (user_id, mission_id)
         WHERE (mission_schedule.user_id, mission_schedule.mission_id) = (off.user_id, off.mission_id)",
    );
    let removed = removed.bind(users).bind(missions).execute(&mut **tx).await?.rows_affected();

    let (mut users, mut missions, mut slots, mut reasons, mut counts) =
        (vec![], vec![], vec![], vec![], vec![]);
    for ((user, mission), slot, count) in on {
        users.push(user);
        missions.push(mission);
        slots.push(slot.as_ref().ok().copied().flatten().map(sql_time));
        reasons.push(slot.err());
        counts.push(count);
    }
    let changed: Vec<(String, Option<String>)> = sqlx::query_as(
        "INSERT INTO mana_ai.mission_schedule AS old (user_id, mission_id, next_run_at, unreadable, change_count)
         SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::bigint[])
         ON CONFLICT (user_id, mission_id) DO UPDATE SET
             next_run_at = excluded.next_run_at, unreadable = excluded.unreadable,
             change_count = excluded.change_count, not_before = '-infinity', waits = NULL,
             attempts = CASE WHEN old.next_run_at = excluded.next_run_at THEN old.attempts ELSE 0 END
         WHERE (old.next_run_at, old.unreadable, old.change_count)
             IS DISTINCT FROM (excluded.next_run_at, excluded.unreadable, excluded.change_count)
         RETURNING mission_id, unreadable",
    )
    .bind(users)
    .bind(missions)
    .bind(slots)
    .bind(reasons)
    .bind(counts)
    .fetch_all(&mut **tx)
    .await?;
    refreshed.changed += removed + changed.len() as u64;
    let unreadable = changed.into_iter().filter_map(|(mission, reason)| Some((mission, reason?)));
    refreshed.unreadable.extend(unreadable);
    Ok(())
}

/// Schedule rows of missions that the log no longer knows.
async fn drop_orphans(tx: &mut PgTransaction<'static>) -> Result<u64, StoreError> {
    let dropped = sqlx::query(
        "DELETE FROM mana_ai.mission_schedule AS old WHERE NOT EXISTS (SELECT FROM mana_ai.mission_changes
         WHERE (user_id, record_id) = (old.user_id, old.mission_id))",
    );
    Ok(dropped.execute(&mut **tx).await?.rows_affected())
}

async fn move_cursor(tx: &mut PgTransaction<'static>, now: Timestamp, whole: bool) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO mana_ai.refresh_cursor AS old (refreshed_at, reconciled_at) VALUES ($1, $1)
         ON CONFLICT (singleton) DO UPDATE SET refreshed_at = $1,
             reconciled_at = CASE WHEN $2 THEN $1 ELSE old.reconciled_at END",
    )
    .bind(sql_time(now))
    .bind(whole)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
