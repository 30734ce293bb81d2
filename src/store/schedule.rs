//! Who works on what: claim a due mission under a lease, renew it, give it up without a plan. Due-ness
//! and leases go by the database's clock, so replicas need not agree on the time.

use std::time::Duration;

use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTime;
use uuid::Uuid;

use super::{Store, StoreError, sql_time};

/// How many of the oldest are looked at for each place: some are locked by another replica, some are
/// their user's third.
const CANDIDATES_PER_PLACE: i64 = 8;

/// A mission that is ours until the lease ends: nobody else plans it meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ClaimedMission {
    /// Whose.
    pub user_id: String,
    /// Which.
    pub mission_id: String,
    /// The slot that was due.
    #[sqlx(try_from = "SqlTime")]
    pub slot: Slot,
    /// Proof of the lease.
    pub lease_token: Uuid,
    /// How many rows of the mission the schedule knew of.
    pub change_count: i64,
}

/// A point of a mission's cadence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot(pub Timestamp);

impl From<SqlTime> for Slot {
    fn from(time: SqlTime) -> Self {
        Self(time.to_jiff())
    }
}

/// What bounds a claim.
#[derive(Debug, Clone, Copy)]
pub struct ClaimLimits {
    /// At most so many missions now.
    pub missions: usize,
    /// At most so many of one user in flight, over all replicas.
    pub per_user: u32,
    /// How long a lease lasts.
    pub lease: Duration,
}

/// Claims what was due at `due_at`, the oldest slot first. A mission that was released after `due_at` is
/// not claimed again: it is the next tick's. May return fewer than there are: call until it returns none.
///
/// Looks only at some of the oldest of users who have a place left, in the order of the index, so that a
/// backlog costs no more than that: without a join until there, for the planner's statistics are always
/// older than a burst.
pub async fn claim(
    store: &Store,
    due_at: Timestamp,
    limits: ClaimLimits,
) -> Result<Vec<ClaimedMission>, StoreError> {
    let missions = i64::try_from(limits.missions).unwrap_or(i64::MAX / 2 / CANDIDATES_PER_PLACE);
    let mut tx = store.begin().await?;
    // A mission that another replica claims at this moment is skipped, and where that has committed
    // already, the conditions on it are checked anew on the row as it is now. IS TRUE keeps them from the
    // index of what is due: one row by its key is what is wanted, whatever the planner thinks is due.
    let claimed = sqlx::query_as(
        "WITH in_flight AS MATERIALIZED (
             SELECT user_id, count(*) AS missions FROM mana_ai.mission_schedule
             WHERE lease_until > clock_timestamp() GROUP BY user_id),
         oldest AS MATERIALIZED (
             SELECT user_id, mission_id, next_run_at FROM mana_ai.mission_schedule
             WHERE next_run_at <= $1 AND not_before < 'infinity' AND not_before <= $1
                 AND (lease_until IS NULL OR lease_until <= clock_timestamp())
                 AND user_id <> ALL (ARRAY(SELECT user_id FROM in_flight WHERE missions >= $2))
             ORDER BY next_run_at LIMIT $5),
         ranked AS MATERIALIZED (
             SELECT user_id, mission_id, next_run_at, coalesce(in_flight.missions, 0)
                 + row_number() OVER (PARTITION BY user_id ORDER BY next_run_at, mission_id) AS turn
             FROM oldest LEFT JOIN in_flight USING (user_id)),
         mine AS MATERIALIZED (
             SELECT free.user_id, free.mission_id
             FROM (SELECT user_id, mission_id FROM ranked WHERE turn <= $2 ORDER BY next_run_at, mission_id) AS allowed,
                 LATERAL (SELECT user_id, mission_id FROM mana_ai.mission_schedule AS s
                          WHERE (s.user_id, s.mission_id) = (allowed.user_id, allowed.mission_id)
                              AND (s.next_run_at <= $1 AND s.not_before <= $1
                                   AND (s.lease_until IS NULL OR s.lease_until <= clock_timestamp())) IS TRUE
                          FOR UPDATE SKIP LOCKED) AS free
             LIMIT $3)
         UPDATE mana_ai.mission_schedule AS s
         SET lease_token = gen_random_uuid(), lease_until = clock_timestamp() + $4, attempts = attempts + 1
         FROM mine WHERE (s.user_id, s.mission_id) = (mine.user_id, mine.mission_id)
         RETURNING s.user_id, s.mission_id, s.next_run_at AS slot, s.lease_token, s.change_count",
    )
    .bind(sql_time(due_at))
    .bind(i64::from(limits.per_user))
    .bind(missions)
    .bind(limits.lease)
    .bind(missions * CANDIDATES_PER_PLACE + CANDIDATES_PER_PLACE)
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(claimed)
}

/// Extends the lease; `false` where it is no longer ours.
pub async fn renew(store: &Store, claimed: &ClaimedMission, lease: Duration) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let renewed = sqlx::query(
        "UPDATE mana_ai.mission_schedule SET lease_until = clock_timestamp() + $4
         WHERE user_id = $1 AND mission_id = $2 AND lease_token = $3 AND lease_until > clock_timestamp()",
    );
    let renewed = of(renewed, claimed).bind(lease).execute(&mut *tx).await?.rows_affected();
    tx.commit().await?;
    Ok(renewed == 1)
}

/// When a released mission may be claimed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// In the next tick.
    NextTick,
    /// Not before this.
    At(Timestamp),
    /// When a device writes a row of it.
    OnNewRow,
}

/// Ends the lease without a plan; `reason` is kept for whoever asks why it does not run.
pub async fn release(
    store: &Store,
    claimed: &ClaimedMission,
    retry: Retry,
    reason: Option<&str>,
) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    let released = sqlx::query(
        "UPDATE mana_ai.mission_schedule SET lease_token = NULL, lease_until = NULL, waits = $4,
             not_before = CASE WHEN $5 AND change_count = $7 THEN 'infinity'
                 ELSE coalesce($6, clock_timestamp()) END
         WHERE user_id = $1 AND mission_id = $2 AND lease_token = $3",
    );
    // A row that came after the claim may be the very one to wait for.
    let known = claimed.change_count;
    let at = if let Retry::At(at) = retry { Some(sql_time(at)) } else { None };
    of(released, claimed)
        .bind(reason)
        .bind(retry == Retry::OnNewRow)
        .bind(at)
        .bind(known)
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

pub(super) type Query = sqlx::query::Query<'static, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// Binds `$1` to `$3`: this mission, under this lease.
pub(super) fn of(query: Query, claimed: &ClaimedMission) -> Query {
    query.bind(claimed.user_id.clone()).bind(claimed.mission_id.clone()).bind(claimed.lease_token)
}
