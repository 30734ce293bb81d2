//! The schedule is compared with the whole log, a slice of missions at a time: whatever a refresh missed, because a
//! transaction stayed open for longer than the overlap or somebody put old rows into the log, is found within the hour.
//! The first comparison is what builds the schedule of a log that is older than the overlap.

use std::time::{Duration, Instant};

use super::cursor::{Comparison, Cursor};
use super::follow::{Found, follow};
use super::orphans::drop_orphans;
use super::write::begin_alone;
use crate::store::healing;
use crate::store::log::keys::{MissionKeys, count, missions_after};
use crate::store::{Blame, Store, StoreError, TRANSACTION, Tx, with_timeout};

/// From the beginning of one comparison to that of the next.
const EVERY: Duration = Duration::from_secs(3600);
/// Rows in the first slice of a call.
const FIRST_SLICE: i64 = 2_000;
/// Rows in the largest slice: they bound the memory, whatever the length of the log.
const LARGEST_SLICE: i64 = 32_000;
/// A slice that took less than this is followed by a larger one, one that took four times as long by a smaller one.
const SHORT: Duration = Duration::from_millis(200);

/// How far a comparison has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// None is due.
    Resting,
    /// Another replica is at the schedule at this moment, which may be comparing it.
    Elsewhere,
    /// The time was over before the log was.
    UnderWay,
    /// The last mission was compared.
    Ended,
}

/// What a call found, and what remains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// In the missions that were compared.
    pub found: Found,
    /// Rows of the log that the comparison has read so far, those of earlier calls included.
    pub rows: u64,
    /// What remains to be done.
    pub stage: Stage,
}

/// Compares the next missions for `budget`, at least a slice of them. A comparison begins an hour after the last one
/// began, or at once where `begin` is set; one that is under way is continued, whichever replica began it. Each slice has
/// a transaction of its own, whose statements take 5 s at most: a slice that takes longer is tried again with fewer
/// missions, and a single mission that takes longer is passed over and reported as unreadable.
///
/// # Errors
/// Whatever the database answers. What was compared before stays compared.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn compare(store: &Store, begin: bool, budget: Duration) -> Result<Compared, StoreError> {
    let began = Instant::now();
    let mut compared = Compared { found: Found::default(), rows: 0, stage: Stage::Resting };
    let (mut rows, mut pass_over) = (FIRST_SLICE, None);
    loop {
        let slice_began = Instant::now();
        let slice = compare_slice(store, begin, rows, pass_over.as_deref(), &mut compared);
        match with_timeout(TRANSACTION, slice).await {
            Ok(()) => {}
            Err(error) if error.blame() == Blame::Mission && pass_over.is_none() => {
                pass_over = (rows == 1).then(|| error.to_string());
                rows = (rows / 50).max(1);
                continue;
            }
            Err(error) => return Err(error),
        }
        pass_over = None;
        if compared.stage != Stage::UnderWay {
            store.progress.end();
            return Ok(compared);
        }
        if began.elapsed() >= budget {
            return Ok(compared);
        }
        rows = next_size(rows, slice_began.elapsed());
    }
}

/// A slice should take a fraction of a second: then nobody waits for its locks.
fn next_size(rows: i64, took: Duration) -> i64 {
    match took {
        short if short < SHORT => (rows * 2).min(LARGEST_SLICE),
        long if long > SHORT * 4 => (rows / 2).max(1),
        _ => rows,
    }
}

/// The next missions, of so many rows or of a few more; without reading them where `pass_over` says why not.
async fn compare_slice(
    store: &Store,
    begin: bool,
    rows: i64,
    pass_over: Option<&str>,
    compared: &mut Compared,
) -> Result<(), StoreError> {
    let Some(mut tx) = begin_alone(store).await? else {
        compared.stage = Stage::Elsewhere;
        return Ok(());
    };
    let cursor = Cursor::read(&mut tx).await?;
    let Some(mut comparison) = cursor.due_comparison(begin, EVERY) else {
        compared.stage = Stage::Resting;
        return tx.rollback().await;
    };
    count_rows(store, &mut tx, &comparison).await?;
    let slice = missions_after(&mut tx, comparison.up_to.as_deref(), rows).await?;
    let read: i64 = slice.iter().map(|mission| mission.rows).sum();
    let last = if read >= rows { slice.last().map(|mission| mission.mission_id.clone()) } else { None };
    let in_slice = match pass_over {
        Some(reason) => passed_over(&slice, reason),
        None => compare_missions(&mut tx, comparison.up_to.as_deref(), last.as_deref(), &slice).await?,
    };
    comparison.rows += read.unsigned_abs();
    comparison.up_to = last;
    if comparison.up_to.is_some() {
        comparison.keep(&mut tx).await?
    } else {
        comparison.end(&mut tx).await?
    }
    tx.commit().await?;
    store.progress.read(comparison.rows);
    compared.stage = if comparison.up_to.is_some() { Stage::UnderWay } else { Stage::Ended };
    compared.rows = comparison.rows;
    compared.found.add(in_slice);
    Ok(())
}

/// Only for whoever watches at a terminal.
async fn count_rows(store: &Store, tx: &mut Tx, comparison: &Comparison) -> Result<(), StoreError> {
    if comparison.up_to.is_none() && store.progress.is_watched() {
        store.progress.begin(count(tx).await?);
    }
    Ok(())
}

async fn compare_missions(
    tx: &mut Tx,
    after: Option<&str>,
    last: Option<&str>,
    slice: &[MissionKeys],
) -> Result<Found, StoreError> {
    let mut found = Found::default();
    follow(tx, slice, true, &mut found).await?;
    found.changed += drop_orphans(tx, after, last, slice).await?;
    healing::notice(tx, slice.iter().filter(|mission| mission.ours && mission.device)).await?;
    Ok(found)
}

fn passed_over(slice: &[MissionKeys], reason: &str) -> Found {
    let unreadable = slice.iter().map(|mission| (mission.mission_id.clone(), reason.to_owned())).collect();
    Found { unreadable, ..Found::default() }
}
