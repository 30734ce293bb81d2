//! The ledger of attempts, `mana_ai.mission_runs`: what became of each, without a word of any mission.

use std::time::Duration;

use serde::Serialize;
use sqlx::Executor as _;
use utoipa::ToSchema;
use uuid::Uuid;

use super::schedule::claim::{ClaimedMission, Query};
use super::{DbTime, Store, StoreError, TRANSACTION, within};
use crate::domain::run::{RunEnd, RunOutcome};

/// The statement that ends a run, as the first part of one that also moves the schedule: binds `$1` to
/// `$8`. What has ended stays as it is: a late release must not hide a plan that was written. A macro,
/// because queries are literals.
macro_rules! ending_run {
    ($rest:literal) => {
        concat!(
            "WITH run AS (UPDATE mana_ai.mission_runs SET finished_at = clock_timestamp(), outcome = $2, reason = $3,
                 iteration_id = $4, model = $5, prompt_tokens = $6, completion_tokens = $7, latency_ms = $8
             WHERE id = $1 AND (outcome IS NULL OR outcome = 'lost')) ",
            $rest
        )
    };
}
pub(super) use ending_run;

/// Binds what [`ending_run`] takes.
pub(super) fn bind_end(query: Query, claimed: &ClaimedMission, end: &RunEnd) -> Query {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let usage = end.usage.latency.map(|_| &end.usage);
    query
        .bind(claimed.run_id)
        .bind(end.outcome.as_str())
        .bind(end.reason.clone())
        .bind(end.iteration_id.clone())
        .bind(end.usage.model.clone())
        .bind(usage.map(|usage| number(usage.prompt_tokens)))
        .bind(usage.map(|usage| number(usage.completion_tokens)))
        .bind(end.usage.latency.map(|latency| i64::try_from(latency.as_millis()).unwrap_or(i64::MAX)))
}

/// Ends a run whose mission is no longer ours.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn finish(store: &Store, claimed: &ClaimedMission, end: &RunEnd) -> Result<(), StoreError> {
    let finished = bind_end(sqlx::query(ending_run!("SELECT")), claimed, end);
    within(TRANSACTION, async {
        let mut tx = store.begin().await?;
        finished.execute(&mut *tx).await?;
        tx.commit().await
    })
    .await
}

/// One attempt, as the ledger has it.
#[derive(Debug, Clone, Serialize, ToSchema, sqlx::FromRow)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Grows with time.
    pub id: i64,
    /// Whose mission.
    pub user_id: String,
    /// Which.
    pub mission_id: String,
    /// The slot it was for.
    #[schema(value_type = String, format = DateTime)]
    pub slot: DbTime,
    /// Of this slot, from 1.
    pub attempt: i32,
    /// The process that made it.
    pub replica: Uuid,
    /// When it was claimed.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: DbTime,
    /// Null while it runs.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<DbTime>,
    /// How it ended; null while it runs.
    pub outcome: Option<String>,
    /// Why, where that is not plain.
    pub reason: Option<String>,
    /// The iteration that it wrote.
    pub iteration_id: Option<String>,
    /// The model that answered.
    pub model: Option<String>,
    /// Tokens in; null where mana-llm was not called.
    pub prompt_tokens: Option<i64>,
    /// Tokens out.
    pub completion_tokens: Option<i64>,
    /// Time with mana-llm, in milliseconds.
    pub latency_ms: Option<i64>,
}

/// Which runs.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// This one.
    pub id: Option<i64>,
    /// Of this user.
    pub user_id: Option<String>,
    /// Of this mission.
    pub mission_id: Option<String>,
    /// With this outcome.
    pub outcome: Option<RunOutcome>,
    /// Older than this one: the last `id` of the page before.
    pub before: Option<i64>,
}

/// The newest first. One that began days ago and never ended was lost, with its row of the schedule.
pub async fn list(store: &Store, filter: &RunFilter, limit: u32) -> Result<Vec<Run>, StoreError> {
    within(TRANSACTION, async {
        let mut tx = store.begin().await?;
        // The filters that are set decide the plan.
        tx.execute("SET LOCAL plan_cache_mode = force_custom_plan").await?;
        let runs = sqlx::query_as(
            "SELECT * FROM (SELECT id, user_id, mission_id, slot, attempt, replica, started_at, finished_at, reason,
                     iteration_id, model, prompt_tokens, completion_tokens, latency_ms,
                     CASE WHEN outcome IS NULL AND started_at < clock_timestamp() - interval '2 days'
                         THEN 'lost' ELSE outcome END AS outcome FROM mana_ai.mission_runs) AS runs
             WHERE ($1::text IS NULL OR user_id = $1) AND ($2::text IS NULL OR mission_id = $2)
                 AND ($3::text IS NULL OR outcome = $3) AND ($4::bigint IS NULL OR id < $4)
                 AND ($5::bigint IS NULL OR id = $5)
             ORDER BY id DESC LIMIT $6",
        )
        .bind(&filter.user_id)
        .bind(&filter.mission_id)
        .bind(filter.outcome.map(RunOutcome::as_str))
        .bind(filter.before)
        .bind(filter.id)
        .bind(i64::from(limit))
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(runs)
    })
    .await
}

/// Runs looked at per transaction.
const PRUNED_AT_ONCE: i64 = 5_000;
/// Transactions per call: where the retention was shortened, the next ticks do the rest.
const BATCHES: usize = 20;

/// What a call of [`prune`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// So many are gone.
    pub removed: u64,
    /// Call again: there are more.
    pub more: bool,
}

/// Removes runs older than `retention`, the oldest first.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn prune(store: &Store, retention: Duration) -> Result<Pruned, StoreError> {
    let mut removed = 0;
    for _ in 0..BATCHES {
        let batch = within(TRANSACTION, prune_batch(store, retention)).await?;
        removed += batch;
        if batch < PRUNED_AT_ONCE.unsigned_abs() {
            return Ok(Pruned { removed, more: false });
        }
    }
    Ok(Pruned { removed, more: true })
}

/// Ids grow with time, so the oldest are at the front of the key: no index by time is needed.
async fn prune_batch(store: &Store, retention: Duration) -> Result<u64, StoreError> {
    let mut tx = store.begin().await?;
    let removed = sqlx::query(
        "DELETE FROM mana_ai.mission_runs WHERE id IN (
             SELECT id FROM (SELECT id, started_at FROM mana_ai.mission_runs ORDER BY id LIMIT $1) AS oldest
             WHERE started_at < clock_timestamp() - $2)",
    );
    let removed = removed.bind(PRUNED_AT_ONCE).bind(retention).execute(&mut *tx).await?.rows_affected();
    tx.commit().await?;
    Ok(removed)
}
