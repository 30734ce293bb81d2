//! `CALLS_PER_USER_PER_DAY`: the calls of mana-llm of one user, counted in the ledger over all replicas.

use sqlx::postgres::PgConnection;

use super::schedule::claimed::ClaimedMission;
use super::{DbTime, Store, StoreError};

/// How the reason begins of a mission that waits for its user's budget. The summary counts missions by these words.
pub const OVER_BUDGET: &str = "its user's calls of the last 24 hours are used up";

/// Counts one more call for the attempt, or tells when its user may make the next one: when enough of the calls are 24
/// hours old. `$2` is the attempt, `$3` the budget. A run of an older version tells only that it was answered, by its tokens.
const RESERVE: &str = "
    WITH day AS MATERIALIZED (
        SELECT id, started_at, greatest(calls, (prompt_tokens > 0)::int) AS calls FROM mana_ai.mission_runs
        WHERE user_id = $1 AND started_at > clock_timestamp() - interval '24 hours'),
    reserved AS (
         UPDATE mana_ai.mission_runs AS run SET calls = run.calls + 1
         WHERE id = $2 AND (SELECT coalesce(sum(calls), 0) FROM day) < $3 RETURNING id),
     since AS (
         SELECT started_at, sum(calls) OVER (ORDER BY started_at DESC, id DESC) AS calls FROM day)
     SELECT max(started_at) + interval '24 hours' FROM since
     WHERE calls >= $3 AND NOT EXISTS (SELECT FROM reserved)";

/// Counts a call of mana-llm before it is made, so that replicas which ask at the same time make no more calls than
/// `budget` together, and a process that is killed during a call has paid for it. `None` where it may be made, else the
/// time at which the user may make the next one.
///
/// # Errors
/// Whatever the database answers.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn reserve_call(
    store: &Store,
    claimed: &ClaimedMission,
    budget: u32,
) -> Result<Option<DbTime>, StoreError> {
    store
        .transaction(async |tx| {
            lock_user(tx, &claimed.user_id).await?;
            let reserve = sqlx::query_scalar(RESERVE);
            let reserve = reserve.bind(&claimed.user_id).bind(claimed.run_id).bind(i64::from(budget));
            Ok(reserve.fetch_one(&mut **tx).await?)
        })
        .await
}

/// One attempt of a user counts at a time. A statement of its own: the next one then sees what others have counted.
async fn lock_user(tx: &mut PgConnection, user_id: &str) -> Result<(), StoreError> {
    let lock = sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('mana_ai.calls ' || $1, 0))");
    lock.bind(user_id).execute(tx).await?;
    Ok(())
}
