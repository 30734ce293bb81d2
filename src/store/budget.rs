//! `CALLS_PER_USER_PER_DAY`: the calls of mana-llm of one user, counted in the ledger over all replicas.

pub use super::calls::OVER_BUDGET;
use super::calls::{lock_user, waiting};
use super::schedule::claimed::ClaimedMission;
use super::schedule::transition::{RetryAt, Transition, apply};
use super::{DbTime, Store, StoreError};
use crate::domain::run::RunEnd;

/// The calls of the user `$1` in the last 24 hours. A run of an older version tells only that it was answered, by its tokens.
macro_rules! day {
    () => {
        "day AS MATERIALIZED (
            SELECT id, started_at, greatest(calls, (prompt_tokens > 0)::int) AS calls FROM mana_ai.mission_runs
            WHERE user_id = $1 AND started_at > clock_timestamp() - interval '24 hours')"
    };
}

/// Counts one more call for the attempt `$2`, if the user has made fewer than `$3`.
const RESERVE: &str = concat!(
    "WITH ",
    day!(),
    " UPDATE mana_ai.mission_runs SET calls = calls + 1
      WHERE id = $2 AND (SELECT coalesce(sum(calls), 0) FROM day) < $3"
);

/// When the next call becomes free that no waiting mission waits for yet: the first one waits until fewer than `$3` calls
/// are younger than 24 hours, the second one until there is one less, and so on; who comes after the last of them shares
/// its time with the first one. Without it all would come back at one moment, and all but one in vain.
const FREE_AT: &str = concat!(
    "WITH ",
    day!(),
    ", since AS (SELECT started_at, sum(calls) OVER (ORDER BY started_at DESC, id DESC) AS calls FROM day),
     waiting AS (SELECT count(*) AS missions FROM mana_ai.mission_schedule WHERE mission_id <> $4 AND ",
    waiting!(),
    ") SELECT coalesce(max(started_at) + interval '24 hours', clock_timestamp())
     FROM since, waiting WHERE calls >= $3 - missions % $3"
);

/// Counts a call of mana-llm before it is made, so that replicas which ask at the same time make no more calls than
/// `budget` together, and a process that is killed during a call has paid for it. `false` where the user has none left.
///
/// # Errors
/// Whatever the database answers.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn reserve_call(store: &Store, claimed: &ClaimedMission, budget: u32) -> Result<bool, StoreError> {
    store
        .transaction(async |tx| {
            lock_user(tx, &claimed.user_id).await?;
            let reserve =
                sqlx::query(RESERVE).bind(&claimed.user_id).bind(claimed.run_id).bind(i64::from(budget));
            Ok(reserve.execute(&mut **tx).await?.rows_affected() == 1)
        })
        .await
}

/// Gives the mission back until its user may make a call that no other mission waits for.
///
/// # Errors
/// Whatever the database answers.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn wait_for_call(
    store: &Store,
    claimed: &ClaimedMission,
    budget: u32,
    end: &RunEnd,
) -> Result<(), StoreError> {
    store
        .transaction(async |tx| {
            lock_user(tx, &claimed.user_id).await?;
            let free_at = sqlx::query_scalar(FREE_AT).bind(&claimed.user_id).bind(OVER_BUDGET);
            let free_at = free_at.bind(i64::from(budget)).bind(&claimed.mission_id);
            let DbTime(free_at) = free_at.fetch_one(&mut **tx).await?;
            let transition = Transition::RetryAt(RetryAt::Time(free_at));
            apply(tx, claimed, transition, end).await.map(drop)
        })
        .await
}
