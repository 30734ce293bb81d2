//! What the schedule holds: a user's rows, how much is due, what is set aside.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::due::{due, leased, set_aside};
use super::scheduled::Scheduled;
use crate::store::budget::OVER_BUDGET;
use crate::store::{DbTime, Store, StoreError, TRANSACTION, UserTx, begin, with_timeout};

/// The schedule's rows of the transaction's user, or of the one mission named.
///
/// # Errors
/// Whatever the database answers.
pub async fn scheduled(tx: &mut UserTx, mission_id: Option<&str>) -> Result<Vec<Scheduled>, StoreError> {
    let user_id = tx.user_id().to_owned();
    // 'infinity' does not decode into a timestamp: it becomes NULL and a flag.
    let rows = sqlx::query_as(concat!(
        "SELECT mission_id, next_run_at, unreadable, waits, quarantined, attempts, lost, failed_slots,
             CASE WHEN isfinite(not_before) THEN not_before END AS not_before, not_before = 'infinity' AS until_new_row,
             CASE WHEN ",
        leased!(),
        " THEN lease_until END AS lease_until
         FROM mana_ai.mission_schedule WHERE user_id = $1 AND ($2::text IS NULL OR mission_id = $2)
         ORDER BY mission_id",
    ));
    Ok(rows.bind(user_id).bind(mission_id).fetch_all(&mut **tx).await?)
}

/// How many missions of the transaction's user are being planned.
///
/// # Errors
/// Whatever the database answers.
pub async fn leased_missions(tx: &mut UserTx) -> Result<i64, StoreError> {
    let leased = sqlx::query_scalar(concat!(
        "SELECT count(*) FROM mana_ai.mission_schedule WHERE user_id = $1 AND ",
        leased!(),
    ));
    Ok(leased.bind(tx.user_id().to_owned()).fetch_one(&mut **tx).await?)
}

/// How much there is in the schedule, over all replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct ScheduleCounts {
    /// The database's clock.
    pub now: DbTime,
    /// Missions that are due, at most 10,000.
    pub due: i64,
    /// The oldest slot among them.
    pub oldest_due: Option<DbTime>,
    /// Missions under a lease.
    pub leases: i64,
    /// Missions that are set aside, at most 10,000.
    pub quarantined: i64,
    /// Missions whose slot has come, and whose user has no call left; at most 10,000.
    pub over_budget: i64,
    /// When the schedule last followed the log.
    pub refreshed_at: Option<DbTime>,
    /// When the last comparison with the whole log that came to its end began.
    pub compared_at: Option<DbTime>,
    /// When the comparison under way began.
    pub comparing_since: Option<DbTime>,
    /// Rows of the log that it has read so far.
    pub compared_rows: i64,
}

impl ScheduleCounts {
    /// For how long the oldest due mission has been due; zero where none is.
    pub fn oldest_age(&self) -> Duration {
        let age = self.oldest_due.map(|slot| self.now.0.duration_since(slot.0));
        age.and_then(|age| Duration::try_from(age).ok()).unwrap_or_default()
    }

    /// How long ago the last comparison with the whole log began; zero where none has come to its end.
    pub fn comparison_age(&self) -> Duration {
        let age = self.compared_at.map(|began| self.now.0.duration_since(began.0));
        age.and_then(|age| Duration::try_from(age).ok()).unwrap_or_default()
    }
}

/// Counting stops here: no operator needs more, and each tick pays for it.
const COUNTED: i64 = 10_000;

/// Without statistics the planner takes nearly every row for one that is set aside, and so a scan of the whole
/// table for the shortest way to some of them.
const BEGIN_COUNTING: &str = begin!(
    "enable_seqscan = off",
    "statement_timeout = '25s'",
    "idle_in_transaction_session_timeout = '30s'"
);

/// Each index is read from one end, and no further than needed.
const COUNTS: &str = concat!(
    "WITH due AS MATERIALIZED (
         SELECT next_run_at FROM mana_ai.mission_schedule WHERE ",
    due!("now()"),
    "    ORDER BY next_run_at LIMIT $1),
     set_aside AS MATERIALIZED (
         SELECT FROM mana_ai.mission_schedule WHERE ",
    set_aside!(),
    "    LIMIT $1),
     over_budget AS MATERIALIZED (
         SELECT FROM mana_ai.mission_schedule
         WHERE next_run_at <= now() AND not_before < 'infinity' AND not_before > now() AND starts_with(waits, $2)
         LIMIT $1)
     SELECT now() AS now, (SELECT count(*) FROM due) AS due, (SELECT min(next_run_at) FROM due) AS oldest_due,
         (SELECT count(*) FROM mana_ai.mission_schedule WHERE ",
    leased!(),
    ") AS leases,
         (SELECT count(*) FROM set_aside) AS quarantined,
         (SELECT count(*) FROM over_budget) AS over_budget,
         nullif(refreshed_at, '-infinity') AS refreshed_at, nullif(reconciled_at, '-infinity') AS compared_at,
         comparison_began_at AS comparing_since, coalesce(compared_rows, 0) AS compared_rows
     FROM (VALUES (1)) AS one LEFT JOIN mana_ai.refresh_cursor ON true"
);

/// Counts what is due, leased and set aside.
///
/// # Errors
/// Whatever the database answers.
pub async fn counts(store: &Store) -> Result<ScheduleCounts, StoreError> {
    with_timeout(TRANSACTION, async {
        let mut tx = store.begin_with(BEGIN_COUNTING).await?;
        let counts = sqlx::query_as(COUNTS).bind(COUNTED).bind(OVER_BUDGET).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(counts)
    })
    .await
}

/// A mission that is set aside: unreadable, or quarantined.
#[derive(Debug, Clone, Serialize, ToSchema, sqlx::FromRow)]
#[serde(rename_all = "camelCase")]
pub struct Quarantined {
    /// The user whose mission it is.
    pub user_id: String,
    /// Its `record_id`.
    pub mission_id: String,
    /// Why it is set aside.
    pub reason: Option<String>,
}

/// Missions that are set aside, in the order of their ids, after the one named, at most `limit`.
///
/// # Errors
/// Whatever the database answers.
pub async fn quarantined(
    store: &Store,
    after: (&str, &str),
    limit: u32,
) -> Result<Vec<Quarantined>, StoreError> {
    let listed = sqlx::query_as(concat!(
        "SELECT user_id, mission_id, coalesce(unreadable, waits) AS reason FROM mana_ai.mission_schedule
         WHERE ",
        set_aside!(),
        " AND (user_id, mission_id) > ($1, $2) ORDER BY user_id, mission_id LIMIT $3"
    ));
    let listed = listed.bind(after.0).bind(after.1).bind(i64::from(limit));
    store.transaction(async |tx| Ok(listed.fetch_all(&mut **tx).await?)).await
}
