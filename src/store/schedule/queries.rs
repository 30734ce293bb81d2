//! How much there is: of work in the schedule, of connections in the pool.

use std::time::Duration;

use crate::store::{Store, StoreError, TRANSACTION, within};

/// The schedule, over all replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleGauges {
    /// Missions that could be claimed now, at most [`COUNTED`].
    pub due: i64,
    /// For how long the oldest of them has been due; zero where none is.
    pub oldest_age: Duration,
    /// Missions that are set aside, at most [`COUNTED`].
    pub quarantined: i64,
}

/// Beyond that an operator needs no figure, and no tick should pay for one.
const COUNTED: i64 = 10_000;

/// Without statistics nearly every row is taken for one that is set aside, and so the whole table for the
/// shortest way to some of them.
const BEGIN: &str = "BEGIN; SET LOCAL ROLE mana_ai; SET LOCAL jit = off; SET LOCAL enable_seqscan = off; \
    SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '25s'; SET LOCAL idle_in_transaction_session_timeout = '30s'";

/// Conditions as in the claim. Both indexes are read from one end, and no further than needed.
const GAUGES: &str = "
WITH due AS MATERIALIZED (
    SELECT next_run_at FROM mana_ai.mission_schedule
    WHERE next_run_at <= now() AND not_before < 'infinity' AND not_before <= now()
        AND (lease_until IS NULL OR lease_until <= now())
    ORDER BY next_run_at LIMIT $1),
quarantined AS MATERIALIZED (
    SELECT FROM mana_ai.mission_schedule WHERE unreadable IS NOT NULL OR quarantined LIMIT $1)
SELECT (SELECT count(*) FROM due), (SELECT extract(epoch FROM now() - min(next_run_at))::float8 FROM due),
    (SELECT count(*) FROM quarantined)";

/// One look at the schedule.
pub async fn gauges(store: &Store) -> Result<ScheduleGauges, StoreError> {
    within(TRANSACTION, async {
        let mut tx = store.begin_with(BEGIN).await?;
        let (due, age, quarantined): (i64, Option<f64>, i64) =
            sqlx::query_as(GAUGES).bind(COUNTED).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        let oldest_age = Duration::try_from_secs_f64(age.unwrap_or_default()).unwrap_or_default();
        Ok(ScheduleGauges { due, oldest_age, quarantined })
    })
    .await
}

/// The connections of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// Open, and free.
    pub idle: usize,
    /// In a transaction, or on the way.
    pub used: usize,
    /// How many there may be.
    pub max: usize,
}

impl Store {
    /// At this moment. Asks no database.
    pub fn pool_use(&self) -> PoolUse {
        let status = self.pool.status();
        PoolUse {
            idle: status.available,
            used: status.size.saturating_sub(status.available),
            max: status.max_size,
        }
    }
}
