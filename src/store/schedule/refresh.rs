//! The schedule follows the log: whenever rows of a mission appear, all its rows are folded again over
//! the few fields that decide due-ness. Nothing is merged, so a late, repeated or reordered row cannot
//! leave it wrong.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTime;
use sqlx::{Connection as _, Executor as _};

use super::write::{Changed, MissionSlot, begin_long, drop_orphans, write_batch};
use crate::domain::fold::Fold;
use crate::domain::mission::Standing;
use crate::store::healing;
use crate::store::log::read::apply;
use crate::store::log::view::{self, MissionRow, mission_rows};
use crate::store::{Store, StoreError, Tx, sql_time, with_timeout};

/// Missions per write: bounds the memory, whatever the length of the log.
const BATCH: usize = 2_000;
const RECONCILE_EVERY: Duration = Duration::from_secs(3600);
/// A long fold logs how far it is, every so many rows.
const ROWS_PER_LINE: u64 = 1_000_000;
/// While a fold runs, a login is tried this often to see that the database lives.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// How long a fold of the whole log may take. Longer than the server's own timeout, whose error says more.
const LONGEST: Duration = Duration::from_mins(31);

/// What a refresh found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Refreshed {
    /// Rows of the log that were read.
    pub rows: u64,
    /// Rows of the schedule that were not as the log has them.
    pub changed: u64,
    /// Missions that turned out unreadable in this refresh, with the reason.
    pub unreadable: Vec<(String, String)>,
    /// The whole log was folded.
    pub whole: bool,
    /// Another replica was refreshing, so nothing was done.
    pub elsewhere: bool,
}

impl Refreshed {
    fn add(&mut self, changed: Vec<Changed>) {
        self.changed += changed.len() as u64;
        let unreadable = changed.into_iter().filter_map(|row| Some((row.mission_id, row.unreadable?)));
        self.unreadable.extend(unreadable);
    }
}

/// Brings the schedule up to the log. Rows become visible later than their `created_at`, so each refresh reads
/// again what is younger than `overlap`: that is how long another transaction may stay open and still be
/// seen. `whole` folds the whole log; so do the hourly reconcile and a schedule that was emptied. Where another
/// replica refreshes at this moment, nothing is done.
///
/// # Errors
/// Whatever the database answers. What was written before stays written: the cursor does not move, and the
/// next refresh repeats it.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn refresh(store: &Store, overlap: Duration, whole: bool) -> Result<Refreshed, StoreError> {
    with_timeout(LONGEST, with_liveness_probe(store, refresh_now(store, overlap, whole))).await
}

/// Lets long work take its time while the database still accepts a login.
async fn with_liveness_probe<T>(
    store: &Store,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(PROBE_EVERY, &mut work).await {
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
    let cursor = Cursor::read(&mut reader).await?;
    if cursor.refreshed_at.is_none() {
        place_cursor(store).await?;
    }
    let since = cursor.since(overlap, whole);
    let mut refreshed = Refreshed { whole: since.is_none(), ..Refreshed::default() };
    if refreshed.whole {
        refreshed.changed += drop_orphans(store).await?;
        if store.progress.is_watched() {
            store.progress.begin(view::count(&mut reader).await?);
        }
    }
    let folded = fold_touched(store, &mut reader, since, &mut refreshed).await;
    store.progress.end();
    folded?;
    // After the fold, whose rows it must not miss.
    healing::notice(store, since).await?;
    move_cursor(store, cursor.now, refreshed.whole).await?;
    reader.commit().await?;
    Ok(refreshed)
}

/// How far the log was folded into the schedule.
struct Cursor {
    /// The time before the first row is read. What becomes visible while we read belongs to the next refresh.
    now: Timestamp,
    refreshed_at: Option<Timestamp>,
    reconciled_at: Option<Timestamp>,
}

impl Cursor {
    async fn read(tx: &mut Tx) -> Result<Self, StoreError> {
        let (now, refreshed_at, reconciled_at): (SqlTime, Option<SqlTime>, Option<SqlTime>) = sqlx::query_as(
            "SELECT clock_timestamp(), refreshed_at, reconciled_at FROM (VALUES (1)) AS one
             LEFT JOIN mana_ai.refresh_cursor ON isfinite(reconciled_at)",
        )
        .fetch_one(&mut **tx)
        .await?;
        let known = |at: Option<SqlTime>| at.map(SqlTime::to_jiff);
        let (refreshed_at, reconciled_at) = (known(refreshed_at), known(reconciled_at));
        Ok(Self { now: now.to_jiff(), refreshed_at, reconciled_at })
    }

    /// From when on rows have to be read; `None` for all of them.
    fn since(&self, overlap: Duration, whole: bool) -> Option<Timestamp> {
        let recent = |at: &Timestamp| !whole && self.now < *at + RECONCILE_EVERY;
        self.reconciled_at.filter(recent).and(self.refreshed_at).map(|refreshed_at| refreshed_at - overlap)
    }
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
    let mut rows = std::pin::pin!(mission_rows(reader, since));
    let mut batch = Vec::new();
    let mut current: Option<MissionFold> = None;
    while let Some(row) = rows.try_next().await? {
        refreshed.rows += 1;
        if refreshed.rows.is_multiple_of(ROWS_PER_LINE) {
            tracing::info!(rows = refreshed.rows, "folding the log");
        }
        if current.as_ref().is_none_or(|fold| !fold.is_of(&row)) {
            batch.extend(current.replace(MissionFold::of(&row)).map(MissionFold::finish));
            if batch.len() == BATCH {
                store.progress.read(refreshed.rows);
                refreshed.add(write_batch(store, std::mem::take(&mut batch), refreshed.whole).await?);
            }
        }
        if let Some(fold) = &mut current {
            fold.apply(row);
        }
    }
    batch.extend(current.map(MissionFold::finish));
    refreshed.add(write_batch(store, batch, refreshed.whole).await?);
    Ok(())
}

/// The fold of the mission whose rows are arriving.
struct MissionFold {
    user_id: String,
    mission_id: String,
    fold: Result<Fold<'static>, StoreError>,
    change_count: i64,
}

impl MissionFold {
    fn of(row: &MissionRow) -> Self {
        let (user_id, mission_id) = (row.user_id.clone(), row.mission_id.clone());
        Self { user_id, mission_id, fold: Ok(Fold::default()), change_count: 0 }
    }

    fn is_of(&self, row: &MissionRow) -> bool {
        self.user_id == row.user_id && self.mission_id == row.mission_id
    }

    fn apply(&mut self, row: MissionRow) {
        apply(&mut self.fold, row.change);
        self.change_count += 1;
    }

    fn finish(self) -> MissionSlot {
        let Self { user_id, mission_id, fold, change_count } = self;
        MissionSlot { user_id, mission_id, slot: slot(fold), change_count }
    }
}

/// The next slot of what was folded, `None` where it has none; `Err` where it is no readable mission.
fn slot(fold: Result<Fold<'static>, StoreError>) -> Result<Option<Timestamp>, String> {
    let Some(record) = fold.map_err(|error| error.to_string())?.finish() else { return Ok(None) };
    match Standing::of(&record).map_err(|error| error.to_string())? {
        Standing::Scheduled(slot) => Ok(Some(slot)),
        Standing::Unscheduled | Standing::Off(_) => Ok(None),
    }
}

/// Commits an empty cursor before the first fold. If somebody empties the schedule during the fold, a trigger deletes the
/// cursor, `move_cursor` finds no row, and the next refresh folds the whole log.
async fn place_cursor(store: &Store) -> Result<(), StoreError> {
    let place =
        "INSERT INTO mana_ai.refresh_cursor (refreshed_at, reconciled_at) VALUES ('-infinity', '-infinity')
        ON CONFLICT DO NOTHING";
    store.transaction(async |tx| Ok(tx.execute(place).await.map(drop)?)).await
}

async fn move_cursor(store: &Store, now: Timestamp, whole: bool) -> Result<(), StoreError> {
    let moved = sqlx::query(
        "UPDATE mana_ai.refresh_cursor
         SET refreshed_at = $1, reconciled_at = CASE WHEN $2 THEN $1 ELSE reconciled_at END",
    );
    let moved = moved.bind(sql_time(now)).bind(whole);
    store.transaction(async |tx| Ok(moved.execute(&mut **tx).await.map(drop)?)).await
}
