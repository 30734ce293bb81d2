//! The schedule follows the log: whenever rows of a mission appear, all its rows are folded again over
//! the few fields that decide due-ness. Nothing is merged, so a late, repeated or reordered row cannot
//! leave it wrong.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTime;
use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{Connection as _, Executor as _};
use uuid::Uuid;

use crate::domain::change::Fields;
use crate::domain::fold::Fold;
use crate::domain::mission::Standing;
use crate::store::log::read::{apply, change_row};
use crate::store::{Store, StoreError, Tx, sql_time, within};

/// The fields in the view's arrays, in its order.
const SCHEDULE_FIELDS: [&str; 5] = ["state", "nextRunAt", "deletedAt", "createdAt", "updatedAt"];
/// Missions per write: bounds the memory, whatever the length of the log.
const BATCH: usize = 2_000;
const RECONCILE_EVERY: Duration = Duration::from_secs(3600);
/// A long fold says how far it is.
const ROWS_PER_LINE: u64 = 1_000_000;
/// After this long without an end we look whether the database still lives.
const PATIENCE: Duration = Duration::from_secs(10);
/// For a fold of the whole log. Above the server's own timeout.
const LONGEST: Duration = Duration::from_mins(31);

/// What a refresh found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Refreshed {
    /// Rows of the log that were read.
    pub rows: u64,
    /// Rows of the schedule that were not as the log has them.
    pub changed: u64,
    /// Missions that have just turned out unreadable, with the reason.
    pub unreadable: Vec<(String, String)>,
    /// Was the whole log folded?
    pub whole: bool,
    /// Another replica was at it, so nothing was done.
    pub elsewhere: bool,
}

/// Brings the schedule up to the log. `overlap` is how long a transaction may stay open and still be
/// seen, for rows become visible later than their `created_at`. `whole` folds the whole log, as do the
/// hourly reconcile and a schedule that was emptied. Another replica at it: nothing is done here.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn refresh(store: &Store, overlap: Duration, whole: bool) -> Result<Refreshed, StoreError> {
    within(LONGEST, with_liveness_probe(store, refresh_now(store, overlap, whole))).await
}

/// Lets long work take its time as long as the database answers somebody else.
async fn with_liveness_probe<T>(
    store: &Store,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(PATIENCE, &mut work).await {
            Ok(done) => return done,
            Err(_) => store.log_in().await?.close().await?,
        }
    }
}

async fn refresh_now(store: &Store, overlap: Duration, whole: bool) -> Result<Refreshed, StoreError> {
    let mut reader = begin_long(store).await?;
    let lock = "SELECT pg_try_advisory_xact_lock(hashtextextended('mana_ai.refresh', 0))";
    if !sqlx::query_scalar(lock).fetch_one(&mut *reader).await? {
        reader.rollback().await?;
        return Ok(Refreshed { elsewhere: true, ..Refreshed::default() });
    }
    // Before the first row is read: what becomes visible while we read belongs to the next refresh.
    let (now, refreshed_at, reconciled_at): (SqlTime, Option<SqlTime>, Option<SqlTime>) = sqlx::query_as(
        "SELECT clock_timestamp(), refreshed_at, reconciled_at FROM (VALUES (1)) AS one
         LEFT JOIN mana_ai.refresh_cursor ON isfinite(reconciled_at)",
    )
    .fetch_one(&mut *reader)
    .await?;
    let now = now.to_jiff();
    if refreshed_at.is_none() {
        place_cursor(store).await?;
    }
    let since = reconciled_at
        .filter(|reconciled_at| !whole && now < reconciled_at.to_jiff() + RECONCILE_EVERY)
        .and(refreshed_at)
        .map(|refreshed_at| refreshed_at.to_jiff() - overlap);
    let mut refreshed = Refreshed { whole: since.is_none(), ..Refreshed::default() };
    if refreshed.whole {
        refreshed.changed += drop_orphans(store).await?;
    }
    if refreshed.whole && store.folding.is_watched() {
        let all: i64 = sqlx::query_scalar("SELECT count(*) FROM mana_ai.mission_changes")
            .fetch_one(&mut *reader)
            .await?;
        store.folding.set(0, all.unsigned_abs());
    }
    let folded = fold_touched(store, &mut reader, since, &mut refreshed).await;
    store.folding.set(0, 0);
    folded?;
    move_cursor(store, now, refreshed.whole).await?;
    reader.commit().await?;
    Ok(refreshed)
}

/// A whole fold takes as long as the log is long, and sorts it: in memory that takes half the time. But a
/// replica that is frozen or cut off in the middle must not keep the others from it.
async fn begin_long(store: &Store) -> Result<Tx, StoreError> {
    let begin = "BEGIN; SET LOCAL ROLE mana_ai; SET LOCAL jit = off; SET LOCAL lock_timeout = '5s';
        SET LOCAL work_mem = '64MB'; SET LOCAL statement_timeout = '30min'; SET LOCAL tcp_user_timeout = '60s';
        SET LOCAL idle_in_transaction_session_timeout = '60s'; SET LOCAL mana_ai.refreshing = 'on'";
    store.begin_with(begin).await
}

/// Folds every mission with a row newer than `since`. One query, read as it comes: rows arrive by
/// mission, so only one fold and one batch of results are held. The writes have short transactions of
/// their own: a whole fold must not lock missions that are being worked on.
#[tracing::instrument(level = "debug", skip_all)]
async fn fold_touched(
    store: &Store,
    reader: &mut Tx,
    since: Option<Timestamp>,
    refreshed: &mut Refreshed,
) -> Result<(), StoreError> {
    let sql = if since.is_some() { TOUCHED } else { WHOLE };
    let mut rows = sqlx::query_as::<_, RowFromView>(sql).bind(since.map(sql_time)).fetch(&mut **reader);
    let mut entries = Entries::new();
    let mut current: Option<Folding> = None;
    while let Some(row) = rows.try_next().await? {
        refreshed.rows += 1;
        if refreshed.rows.is_multiple_of(ROWS_PER_LINE) {
            tracing::info!(rows = refreshed.rows, "folding the log");
        }
        if current.as_ref().is_none_or(|folding| !folding.is_of(&row)) {
            entries.extend(current.replace(Folding::of(&row)).map(Folding::finish));
            if entries.len() == BATCH {
                store.folding.read(refreshed.rows);
                write_batch(store, std::mem::take(&mut entries), refreshed).await?;
            }
        }
        if let Some(folding) = &mut current {
            folding.apply(row);
        }
    }
    entries.extend(current.map(Folding::finish));
    write_batch(store, entries, refreshed).await
}

/// `COLLATE "C"`: any order by mission will do, and bytes compare fastest.
const WHOLE: &str = r#"
SELECT id, user_id, record_id, op, created_at, schema_version, field_values, field_times
FROM mana_ai.mission_changes WHERE created_at > coalesce($1, '-infinity')
ORDER BY user_id COLLATE "C", record_id COLLATE "C", created_at, id"#;
const TOUCHED: &str = r#"
SELECT id, user_id, record_id, op, created_at, schema_version, field_values, field_times
FROM (SELECT DISTINCT user_id, record_id FROM mana_ai.mission_changes WHERE created_at > $1) AS touched
JOIN mana_ai.mission_changes USING (user_id, record_id)
ORDER BY user_id COLLATE "C", record_id COLLATE "C", created_at, id"#;

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

/// The fold of the mission whose rows are arriving.
struct Folding {
    key: Key,
    fold: Result<Fold, StoreError>,
    change_count: i64,
}

impl Folding {
    fn of(row: &RowFromView) -> Self {
        Self { key: (row.user_id.clone(), row.record_id.clone()), fold: Ok(Fold::default()), change_count: 0 }
    }

    fn is_of(&self, row: &RowFromView) -> bool {
        self.key.0 == row.user_id && self.key.1 == row.record_id
    }

    fn apply(&mut self, row: RowFromView) {
        let (data, times) = (fields(row.field_values), fields(row.field_times));
        let row = change_row(row.id, row.created_at, &row.op, row.schema_version, data, times);
        apply(&mut self.fold, row);
        self.change_count += 1;
    }

    fn finish(self) -> (Key, Result<Option<Timestamp>, String>, i64) {
        (self.key, slot(self.fold), self.change_count)
    }
}

fn fields(values: Vec<Option<Json<Box<RawValue>>>>) -> Fields {
    let named = SCHEDULE_FIELDS.into_iter().zip(values);
    named.filter_map(|(field, value)| Some((field.to_owned(), value?.0))).collect()
}

fn slot(fold: Result<Fold, StoreError>) -> Result<Option<Timestamp>, String> {
    let Some(record) = fold.map_err(|error| error.to_string())?.finish() else { return Ok(None) };
    match Standing::of(&record).map_err(|error| error.to_string())? {
        Standing::Scheduled(slot) => Ok(Some(slot)),
        Standing::Unscheduled | Standing::Off(_) => Ok(None),
    }
}

/// One delete and one upsert. A mission whose log says what the schedule already has is not even locked:
/// the overlap folds the same rows for minutes, and must not undo a wait, or hold up a lease. A new row ends
/// every wait; but only a quarantine forgets the attempts at a slot, or a device that writes all the time
/// would never let it fail.
#[tracing::instrument(level = "debug", skip_all)]
async fn write_batch(store: &Store, entries: Entries, refreshed: &mut Refreshed) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut tx = begin_long(store).await?;
    let (off, on): (Entries, Entries) = entries.into_iter().partition(|(_, slot, _)| *slot == Ok(None));
    refreshed.changed += remove(&mut tx, off, refreshed.whole).await?;
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
         SELECT new.* FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::bigint[])
             AS new (user_id, mission_id, next_run_at, unreadable, change_count)
         LEFT JOIN mana_ai.mission_schedule AS known USING (user_id, mission_id)
         WHERE (known.next_run_at, known.unreadable, known.change_count)
             IS DISTINCT FROM (new.next_run_at, new.unreadable, new.change_count)
         ON CONFLICT (user_id, mission_id) DO UPDATE SET
             next_run_at = excluded.next_run_at, unreadable = excluded.unreadable,
             change_count = excluded.change_count, not_before = '-infinity', waits = NULL,
             attempts = CASE WHEN old.next_run_at = excluded.next_run_at AND NOT old.quarantined THEN old.attempts ELSE 0 END,
             failed_slots = CASE WHEN excluded.change_count > old.change_count THEN 0 ELSE old.failed_slots END,
             lost = CASE WHEN old.quarantined THEN 0 ELSE old.lost END, refusals = 0, quarantined = false
         WHERE $6 OR excluded.change_count >= old.change_count
         RETURNING mission_id, unreadable",
    )
    .bind(users)
    .bind(missions)
    .bind(slots)
    .bind(reasons)
    .bind(counts)
    .bind(refreshed.whole)
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    refreshed.changed += changed.len() as u64;
    let unreadable = changed.into_iter().filter_map(|(mission, reason)| Some((mission, reason?)));
    refreshed.unreadable.extend(unreadable);
    Ok(())
}

/// Missions without a slot, but for one that an operator asked for and that is being planned now.
async fn remove(tx: &mut Tx, off: Entries, whole: bool) -> Result<u64, StoreError> {
    if off.is_empty() {
        return Ok(0);
    }
    let (mut users, mut missions, mut counts) = (vec![], vec![], vec![]);
    for ((user, mission), _, count) in off {
        users.push(user);
        missions.push(mission);
        counts.push(count);
    }
    let removed = sqlx::query(
        "DELETE FROM mana_ai.mission_schedule AS old
         USING unnest($1::text[], $2::text[], $3::bigint[]) AS off (user_id, mission_id, change_count)
         WHERE (old.user_id, old.mission_id) = (off.user_id, off.mission_id)
             AND ($4 OR off.change_count >= old.change_count)
             AND (old.lease_until IS NULL OR old.lease_until <= clock_timestamp())",
    );
    Ok(removed.bind(users).bind(missions).bind(counts).bind(whole).execute(&mut **tx).await?.rows_affected())
}

/// Schedule rows of missions that the log no longer knows.
async fn drop_orphans(store: &Store) -> Result<u64, StoreError> {
    let mut tx = begin_long(store).await?;
    let dropped = sqlx::query(
        "DELETE FROM mana_ai.mission_schedule AS old WHERE NOT EXISTS (SELECT FROM mana_ai.mission_changes
         WHERE (user_id, record_id) = (old.user_id, old.mission_id))",
    );
    let dropped = dropped.execute(&mut *tx).await?.rows_affected();
    tx.commit().await?;
    Ok(dropped)
}

/// Before the first fold, and committed at once: if somebody empties the schedule from now on, it is gone
/// at the end, and the next refresh begins anew.
async fn place_cursor(store: &Store) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    tx.execute(
        "INSERT INTO mana_ai.refresh_cursor (refreshed_at, reconciled_at) VALUES ('-infinity', '-infinity')
         ON CONFLICT DO NOTHING",
    )
    .await?;
    tx.commit().await
}

async fn move_cursor(store: &Store, now: Timestamp, whole: bool) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    sqlx::query(
        "UPDATE mana_ai.refresh_cursor
         SET refreshed_at = $1, reconciled_at = CASE WHEN $2 THEN $1 ELSE reconciled_at END",
    )
    .bind(sql_time(now))
    .bind(whole)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}
