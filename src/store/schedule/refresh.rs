//! The schedule follows the log: in each tick the missions of which rows became visible since are folded again.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::Connection as _;
use uuid::Uuid;

use super::cursor::Cursor;
use super::follow::{Found, follow};
use super::seen::{NowSeen, Seen};
use super::slices::{Slice, joined, slices};
use super::write::begin_alone;
use crate::store::healing;
use crate::store::log::keys::{Digest, MissionKeys, digests, ids_between, missions, missions_of_rows};
use crate::store::{Store, StoreError, Tx, with_timeout};

/// So many ids of rows are asked for at once.
const PAGE: i64 = 50_000;
/// The rows of so many missions are counted at once: some have thousands.
const MISSIONS: usize = 500;
/// While a long refresh runs, a login is tried this often to see that the database lives.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// How long a refresh may take. Its statements take 5 s each at most, but a flood of new rows takes many.
const LONGEST: Duration = Duration::from_mins(31);

/// What a refresh found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Refreshed {
    /// In the missions that were folded.
    pub found: Found,
    /// Another replica was at the schedule, so nothing was done.
    pub elsewhere: bool,
}

/// Brings the schedule up to the log. Rows become visible later than their `created_at`, so each refresh looks again at
/// those younger than `overlap`: that is how long another transaction may stay open and still be seen. It asks for a digest
/// of each slice of that time, then for the ids of the slices that changed, and folds only the missions of rows that are not
/// in `seen`. Where another replica is at the schedule at this moment, nothing is done.
///
/// # Errors
/// Whatever the database answers. What was committed before stays: the cursor does not move, and the next refresh repeats
/// it.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn refresh(store: &Store, seen: &mut Seen, overlap: Duration) -> Result<Refreshed, StoreError> {
    let mut now_seen = NowSeen::default();
    let refreshed = refresh_now(store, seen, &mut now_seen, overlap);
    let refreshed = with_timeout(LONGEST, with_liveness_probe(store, refreshed)).await?;
    if !refreshed.elsewhere {
        seen.take(now_seen);
    }
    Ok(refreshed)
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

/// The digests first: a row that comes between them and the ids is followed now, and changes its slice for the next
/// refresh.
async fn refresh_now(
    store: &Store,
    seen: &Seen,
    now_seen: &mut NowSeen,
    overlap: Duration,
) -> Result<Refreshed, StoreError> {
    let mut found = Found::default();
    let elsewhere = |found| Ok(Refreshed { found, elsewhere: true });
    let Some(mut tx) = begin_alone(store).await? else { return elsewhere(found) };
    let cursor = Cursor::read(&mut tx).await?;
    for changed in changed(&mut tx, &cursor, seen, now_seen, overlap).await? {
        let mut since = changed.before();
        // A page of ids, a transaction, while there are any. Without a flood that is one.
        loop {
            let page = ids_between(&mut tx, since, changed.until, PAGE).await?;
            follow_rows(&mut tx, &seen.unseen(&page.ids), &mut found).await?;
            now_seen.keep(&changed, &page.ids, seen);
            let Some(next) = page.next(PAGE) else { break };
            since = next;
            tx.commit().await?;
            let Some(begun) = begin_alone(store).await? else { return elsewhere(found) };
            tx = begun;
        }
    }
    cursor.move_on(&mut tx).await?;
    tx.commit().await?;
    Ok(Refreshed { found, elsewhere: false })
}

/// The stretches of the overlap that have other rows than `seen` knows of. After a pause that is longer than the overlap the
/// digests tell nothing, and one statement for them might never end: then it is all of that time, page by page.
async fn changed(
    tx: &mut Tx,
    cursor: &Cursor,
    seen: &Seen,
    now_seen: &mut NowSeen,
    overlap: Duration,
) -> Result<Vec<Slice>, StoreError> {
    let all = slices(cursor.refreshed_at, overlap, cursor.now);
    if cursor.refreshed_at.duration_until(cursor.now).unsigned_abs() > overlap {
        if let Some(last) = slices(cursor.now, overlap, cursor.now).last() {
            now_seen.digest(last, Digest::default());
        }
        return Ok(joined(all));
    }
    let from: Vec<Timestamp> = all.iter().map(|slice| slice.from).collect();
    let mut changed = Vec::new();
    for (slice, digest) in all.into_iter().zip(digests(tx, &from).await?) {
        if seen.is_changed(&slice, digest) {
            changed.push(slice);
        }
        now_seen.digest(&slice, digest);
    }
    Ok(joined(changed))
}

/// Folds the missions of these rows, and queues those to be looked at that a device wrote.
async fn follow_rows(tx: &mut Tx, ids: &[Uuid], found: &mut Found) -> Result<(), StoreError> {
    for touched in missions_of_rows(tx, ids).await?.chunks(MISSIONS) {
        let mission_ids: Vec<&str> = touched.iter().map(|mission| mission.mission_id.as_str()).collect();
        let whole = missions(tx, &mission_ids).await?;
        follow(tx, &whole, false, found).await?;
        let by_device: HashSet<_> =
            touched.iter().filter(|mission| mission.device).map(MissionKeys::key).collect();
        let by_both = whole.iter().filter(|mission| mission.ours && by_device.contains(&mission.key()));
        healing::notice(tx, by_both).await?;
    }
    Ok(())
}
