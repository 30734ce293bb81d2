//! The ledger of attempts, `mana_ai.mission_runs`: what became of each, without a word of any mission.

use std::time::Duration;

use serde::Serialize;
use sqlx::Executor as _;
use sqlx::postgres::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::calls::go_on;
use super::schedule::claimed::ClaimedMission;
use super::{DbTime, Store, StoreError, UserTx};
use crate::domain::run::{RunEnd, RunOutcome};

/// Ends the claimed mission's run. One that has ended stays as it is, so that a late end does not hide a plan that
/// was written; but one that a claim took for lost has come back. Calls that were counted in advance and not made are
/// given back.
pub(super) async fn end(
    db: &mut PgConnection,
    claimed: &ClaimedMission,
    end: &RunEnd,
) -> Result<(), StoreError> {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let usage = end.usage.latency.map(|_| &end.usage);
    let calls = i32::try_from(end.usage.calls).unwrap_or(i32::MAX);
    let ended = sqlx::query_scalar(
        "UPDATE mana_ai.mission_runs AS run SET finished_at = clock_timestamp(), outcome = $2, reason = $3,
             iteration_id = $4, model = $5, prompt_tokens = $6, completion_tokens = $7, latency_ms = $8, calls = $10,
             prompt_version = $11
         FROM (SELECT id, calls FROM mana_ai.mission_runs WHERE id = $1 FOR UPDATE) AS before
         WHERE run.id = before.id AND (outcome IS NULL OR outcome = $9) RETURNING before.calls",
    )
    .bind(claimed.run_id)
    .bind(end.outcome.as_str())
    .bind(&end.reason)
    .bind(&end.iteration_id)
    .bind(&end.usage.model)
    .bind(usage.map(|usage| number(usage.prompt_tokens)))
    .bind(usage.map(|usage| number(usage.completion_tokens)))
    .bind(end.usage.latency.map(|latency| i64::try_from(latency.as_millis()).unwrap_or(i64::MAX)))
    .bind(RunOutcome::Lost.as_str())
    .bind(calls)
    .bind(usage.and_then(|usage| usage.prompt_version.as_ref()));
    let reserved: Option<i32> = ended.fetch_optional(&mut *db).await?;
    match reserved.map(|reserved| reserved.saturating_sub(calls)) {
        Some(unused @ 1..) => go_on(db, &claimed.user_id, unused).await,
        _ => Ok(()),
    }
}

/// Ends a run whose mission is no longer ours: the schedule belongs to another replica.
///
/// # Errors
/// Whatever the database answers.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn finish(store: &Store, claimed: &ClaimedMission, run_end: &RunEnd) -> Result<(), StoreError> {
    store.transaction(async |tx| end(tx, claimed, run_end).await).await
}

/// One attempt, as the ledger has it.
#[derive(Debug, Clone, Serialize, ToSchema, sqlx::FromRow)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Grows with time.
    pub id: i64,
    /// The user whose mission it was.
    pub user_id: String,
    /// The mission's `record_id`.
    pub mission_id: String,
    /// The slot it was for.
    #[schema(value_type = String, format = DateTime)]
    pub slot: DbTime,
    /// The number of the attempt at its slot, from 1.
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
    /// Why it ended so, where that is not plain.
    pub reason: Option<String>,
    /// The iteration that it wrote.
    pub iteration_id: Option<String>,
    /// The model that answered.
    pub model: Option<String>,
    /// Tokens in, over all its calls; null where mana-llm was not called.
    pub prompt_tokens: Option<i64>,
    /// Tokens out, over all its calls.
    pub completion_tokens: Option<i64>,
    /// Time with mana-llm, in milliseconds.
    pub latency_ms: Option<i64>,
    /// Which version of the prompt was sent; null where mana-llm was not called, or by an older version of the service.
    pub prompt_version: Option<String>,
}

/// Which runs to list: those that pass every part that is set.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// The run with this id.
    pub id: Option<i64>,
    /// Runs of this user's missions.
    pub user_id: Option<String>,
    /// Runs of missions with this id.
    pub mission_id: Option<String>,
    /// Runs that ended so.
    pub outcome: Option<RunOutcome>,
    /// Runs older than this one: the last `id` of the page before.
    pub before: Option<i64>,
}

/// The runs that pass the filter, the newest first. One that began days ago and never ended was lost, together
/// with its row of the schedule.
///
/// # Errors
/// Whatever the database answers.
pub async fn list(store: &Store, filter: &RunFilter, limit: u32) -> Result<Vec<Run>, StoreError> {
    let runs = sqlx::query_as(
        "SELECT * FROM (SELECT id, user_id, mission_id, slot, attempt, replica, started_at, finished_at, reason,
                 iteration_id, model, prompt_tokens, completion_tokens, latency_ms, prompt_version,
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
    .bind(i64::from(limit));
    store
        .transaction(async |tx| {
            // The filters that are set decide the plan.
            tx.execute("SET LOCAL plan_cache_mode = force_custom_plan").await?;
            Ok(runs.fetch_all(&mut **tx).await?)
        })
        .await
}

/// How a slot of a mission ended, by its last attempt.
#[derive(Debug, Clone, Serialize, ToSchema, sqlx::FromRow)]
#[serde(rename_all = "camelCase")]
pub struct EndedSlot {
    /// The mission's `record_id`.
    #[serde(skip)]
    pub mission_id: String,
    /// The slot.
    #[schema(value_type = String, format = DateTime)]
    pub slot: DbTime,
    /// `planned` or `slot-failed`.
    pub outcome: String,
    /// Why it failed.
    pub reason: Option<String>,
    /// When its last attempt ended.
    #[schema(value_type = String, format = DateTime)]
    pub ended_at: DbTime,
}

/// How the last slot of each mission of the transaction's user ended, or of the one mission named. Of slots that the
/// ledger has forgotten nothing is told.
///
/// # Errors
/// Whatever the database answers.
pub async fn last_slots(tx: &mut UserTx, mission_id: Option<&str>) -> Result<Vec<EndedSlot>, StoreError> {
    let ended = sqlx::query_as(
        "SELECT DISTINCT ON (mission_id) mission_id, slot, outcome, reason, finished_at AS ended_at
         FROM mana_ai.mission_runs
         WHERE user_id = $1 AND ($2::text IS NULL OR mission_id = $2) AND outcome IN ($3, $4)
         ORDER BY mission_id, id DESC",
    );
    let ended = ended.bind(tx.user_id().to_owned()).bind(mission_id);
    let ended = ended.bind(RunOutcome::Planned.as_str()).bind(RunOutcome::SlotFailed.as_str());
    Ok(ended.fetch_all(&mut **tx).await?)
}

/// How many runs one transaction looks at.
const PRUNED_AT_ONCE: i64 = 5_000;
/// How many transactions one call makes: where the retention was shortened, the next ticks do the rest.
const BATCHES: usize = 20;

/// What a call of [`prune`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// How many runs are gone.
    pub removed: u64,
    /// Call again: there are more.
    pub more: bool,
}

/// Removes runs older than `retention`, the oldest first.
///
/// # Errors
/// Whatever the database answers; what was removed before stays removed.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn prune(store: &Store, retention: Duration) -> Result<Pruned, StoreError> {
    let mut removed = 0;
    for _ in 0..BATCHES {
        let batch = prune_batch(store, retention).await?;
        removed += batch;
        if batch < PRUNED_AT_ONCE.unsigned_abs() {
            return Ok(Pruned { removed, more: false });
        }
    }
    Ok(Pruned { removed, more: true })
}

/// Ids grow with time, so the oldest are at the front of the key: no index by time is needed.
async fn prune_batch(store: &Store, retention: Duration) -> Result<u64, StoreError> {
    let removed = sqlx::query(
        "DELETE FROM mana_ai.mission_runs WHERE id IN (
             SELECT id FROM (SELECT id, started_at FROM mana_ai.mission_runs ORDER BY id LIMIT $1) AS oldest
             WHERE started_at < clock_timestamp() - $2)",
    );
    let removed = removed.bind(PRUNED_AT_ONCE).bind(retention);
    Ok(store.transaction(async |tx| Ok(removed.execute(&mut **tx).await?)).await?.rows_affected())
}
