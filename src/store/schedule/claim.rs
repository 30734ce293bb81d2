//! Who works on what: claim a due mission under a lease, renew it, give it up without a plan. Due-ness
//! and leases go by the database's clock, so replicas need not agree on the time.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::run::{RunEnd, RunOutcome};
use crate::store::runs::{bind_end, ending_run};
use crate::store::{DbTime, Store, StoreError, TRANSACTION, sql_time, within};

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
    /// The slot that was due: a point of its cadence.
    pub slot: DbTime,
    /// When.
    pub claimed_at: DbTime,
    /// Asked for by an operator, and not due: the slot is this moment, and the mission's own one stays.
    pub forced: bool,
    /// Proof of the lease. Random, and new for each attempt.
    pub lease_token: Uuid,
    /// How many rows of the mission the schedule knew of.
    pub change_count: i64,
    /// This attempt in the ledger.
    pub run_id: i64,
    /// Of this slot, from 1. Charged at the claim, for who crashes cannot do it later.
    #[sqlx(try_from = "i32")]
    pub attempt: Count,
    /// How many attempts before this one nobody came back from, in a row.
    #[sqlx(try_from = "i32")]
    pub lost: Count,
    /// How many attempts before this one mana-llm refused without a charge, in a row.
    #[sqlx(try_from = "i32")]
    pub refusals: Count,
    /// How many slots before this one failed, in a row.
    #[sqlx(try_from = "i32")]
    pub failed_slots: Count,
    /// Was the attempt before this one still running in the ledger? It is lost there now.
    pub found_lost: bool,
}

/// A number of attempts or slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub u32);

impl From<i32> for Count {
    fn from(count: i32) -> Self {
        Self(count.max(0).unsigned_abs())
    }
}

/// After so many attempts without a sign of life a mission may be what killed its replicas, or have been
/// beside it: whoever has one of these at work takes no second one, so that it shows which it was.
pub const SUSPECT_AFTER: u32 = 2;

impl ClaimedMission {
    /// See [`SUSPECT_AFTER`].
    pub fn is_suspect(&self) -> bool {
        self.lost.0 >= SUSPECT_AFTER
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
    /// May one of them be suspect? See [`SUSPECT_AFTER`].
    pub suspect: bool,
}

/// Claims what was due at `due_at`, the oldest slot first, for the process `replica`. A mission that was
/// released after `due_at` is not claimed again: it is the next tick's. May return fewer than there are: call
/// until it returns none.
///
/// Looks only at some of the oldest of users who have a place left, in the order of the index, so that a
/// backlog costs no more than that: without a join until there, for the planner's statistics are always
/// older than a burst.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn claim(
    store: &Store,
    replica: Uuid,
    due_at: Timestamp,
    limits: ClaimLimits,
) -> Result<Vec<ClaimedMission>, StoreError> {
    let missions = i64::try_from(limits.missions).unwrap_or(i64::MAX / 2 / CANDIDATES_PER_PLACE);
    within(TRANSACTION, async {
        let mut tx = store.begin().await?;
        let claimed = sqlx::query_as(CLAIM)
            .bind(sql_time(due_at))
            .bind(i64::from(limits.per_user))
            .bind(missions)
            .bind(limits.lease)
            .bind(missions * CANDIDATES_PER_PLACE + CANDIDATES_PER_PLACE)
            .bind(i64::from(limits.suspect))
            .bind(i64::from(SUSPECT_AFTER))
            .bind(replica)
            .bind(RunOutcome::Lost.as_str())
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(claimed)
    })
    .await
}

/// A mission that another replica claims at this moment is skipped, and where that has committed already,
/// the conditions on it are checked anew on the row as it is now. IS TRUE keeps them from the index of what
/// is due: one row by its key is what is wanted, whatever the planner thinks is due.
///
/// A lease that is there has ended, or it would not be found: nobody came back from that attempt.
const CLAIM: &str = "
WITH in_flight AS MATERIALIZED (
    SELECT user_id, count(*) AS missions FROM mana_ai.mission_schedule
    WHERE lease_until > clock_timestamp() GROUP BY user_id),
oldest AS MATERIALIZED (
    SELECT user_id, mission_id, next_run_at, lost + (lease_token IS NOT NULL)::int >= $7 AS suspect
    FROM mana_ai.mission_schedule
    WHERE next_run_at <= $1 AND not_before < 'infinity' AND not_before <= $1
        AND (lease_until IS NULL OR lease_until <= clock_timestamp())
        AND user_id <> ALL (ARRAY(SELECT user_id FROM in_flight WHERE missions >= $2))
        AND NOT EXISTS (SELECT FROM mana_ai.pause)
        AND ($6 > 0 OR lost + (lease_token IS NOT NULL)::int < $7)
    ORDER BY next_run_at LIMIT $5),
ranked AS MATERIALIZED (
    SELECT user_id, mission_id, next_run_at, coalesce(in_flight.missions, 0)
        + row_number() OVER (PARTITION BY user_id ORDER BY next_run_at, mission_id) AS turn
    FROM (SELECT *, row_number() OVER (PARTITION BY suspect ORDER BY next_run_at, mission_id) AS place FROM oldest) AS oldest
    LEFT JOIN in_flight USING (user_id)
    WHERE NOT suspect OR place <= $6),
mine AS MATERIALIZED (
    SELECT free.*
    FROM (SELECT user_id, mission_id FROM ranked WHERE turn <= $2 ORDER BY next_run_at, mission_id) AS allowed,
        LATERAL (SELECT user_id, mission_id, run_id AS lost_run, lease_token IS NOT NULL AS lost
                 FROM mana_ai.mission_schedule AS s
                 WHERE (s.user_id, s.mission_id) = (allowed.user_id, allowed.mission_id)
                     AND (s.next_run_at <= $1 AND s.not_before <= $1
                          AND (s.lease_until IS NULL OR s.lease_until <= clock_timestamp())) IS TRUE
                 FOR UPDATE SKIP LOCKED) AS free
    LIMIT $3),
claimed AS (
    UPDATE mana_ai.mission_schedule AS s
    SET lease_token = gen_random_uuid(), lease_until = clock_timestamp() + $4, attempts = attempts + 1,
        lost = CASE WHEN mine.lost THEN s.lost + 1 ELSE 0 END,
        run_id = nextval(pg_get_serial_sequence('mana_ai.mission_runs', 'id'))
    FROM mine WHERE (s.user_id, s.mission_id) = (mine.user_id, mine.mission_id)
    RETURNING s.user_id, s.mission_id, s.next_run_at AS slot, s.lease_token, s.change_count, s.run_id,
        s.attempts AS attempt, s.lost, s.refusals, s.failed_slots, clock_timestamp() AS claimed_at, false AS forced),
begun AS (
    INSERT INTO mana_ai.mission_runs (id, user_id, mission_id, slot, attempt, replica)
    SELECT run_id, user_id, mission_id, slot, attempt, $8 FROM claimed),
lost AS (
    UPDATE mana_ai.mission_runs SET outcome = $9, finished_at = clock_timestamp(), reason = 'nobody came back from it'
    FROM mine WHERE id = lost_run AND mine.lost AND outcome IS NULL RETURNING mine.user_id, mine.mission_id)
SELECT claimed.*, lost.user_id IS NOT NULL AS found_lost FROM claimed LEFT JOIN lost USING (user_id, mission_id)";

/// Extends the lease; `false` where it is no longer ours.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn renew(store: &Store, claimed: &ClaimedMission, lease: Duration) -> Result<bool, StoreError> {
    within(TRANSACTION, async {
        let mut tx = store.begin().await?;
        let renewed = sqlx::query(
            "UPDATE mana_ai.mission_schedule SET lease_until = clock_timestamp() + $4
             WHERE user_id = $1 AND mission_id = $2 AND lease_token = $3 AND lease_until > clock_timestamp()",
        );
        let renewed = renewed.bind(&claimed.user_id).bind(&claimed.mission_id).bind(claimed.lease_token);
        let renewed = renewed.bind(lease).execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
        Ok(renewed == 1)
    })
    .await
}

/// When a released mission may be claimed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// So long after now. Nothing means: in the next tick.
    After(Duration),
    /// Not before this.
    At(Timestamp),
    /// When a device writes a row of it.
    OnNewRow,
}

/// Ends the lease without a plan, and the run. The reason is kept for whoever asks why it does not run.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn release(
    store: &Store,
    claimed: &ClaimedMission,
    retry: Retry,
    end: &RunEnd,
) -> Result<(), StoreError> {
    // A row that came after the claim may be the very one to wait for. What an operator asked for before its
    // slot leaves the waits of that slot alone.
    let released = sqlx::query(ending_run!(
        "UPDATE mana_ai.mission_schedule SET lease_token = NULL, lease_until = NULL, lost = 0, waits = $3,
             quarantined = $12 AND $13 AND change_count = $14,
             attempts = greatest(attempts - CASE WHEN $15 THEN 1 ELSE 0 END, 0),
             refusals = CASE WHEN $18 THEN refusals + 1 ELSE 0 END,
             not_before = CASE WHEN $19 THEN not_before
                 WHEN change_count <> $14 THEN clock_timestamp()
                 WHEN $13 THEN 'infinity'
                 ELSE coalesce($16, clock_timestamp() + $17) END
         WHERE user_id = $9 AND mission_id = $10 AND lease_token = $11"
    ));
    let (at, after) = match retry {
        Retry::At(at) => (Some(sql_time(at)), Duration::ZERO),
        Retry::After(after) => (None, after),
        Retry::OnNewRow => (None, Duration::ZERO),
    };
    let released = of(bind_end(released, claimed, end), claimed)
        .bind(end.outcome == RunOutcome::Quarantined)
        .bind(retry == Retry::OnNewRow)
        .bind(claimed.change_count)
        .bind(end.outcome.is_refunded() || claimed.forced)
        .bind(at)
        .bind(after)
        .bind(matches!(end.outcome, RunOutcome::Misconfigured | RunOutcome::RateLimited))
        .bind(claimed.forced && retry != Retry::OnNewRow);
    within(TRANSACTION, async {
        let mut tx = store.begin().await?;
        released.execute(&mut *tx).await?;
        tx.commit().await
    })
    .await
}

/// A mission that is set aside until a device writes a row of it.
#[derive(Debug, Clone, Serialize, ToSchema, sqlx::FromRow)]
#[serde(rename_all = "camelCase")]
pub struct Quarantined {
    /// Whose.
    pub user_id: String,
    /// Which.
    pub mission_id: String,
    /// Why.
    pub reason: Option<String>,
}

/// Missions that cannot be read or that were given up for what they do, in the order of their ids, after
/// the one named, at most `limit`.
pub async fn quarantined(
    store: &Store,
    after: (&str, &str),
    limit: u32,
) -> Result<Vec<Quarantined>, StoreError> {
    within(TRANSACTION, async {
        let mut tx = store.begin().await?;
        let listed = sqlx::query_as(
            "SELECT user_id, mission_id, coalesce(unreadable, waits) AS reason FROM mana_ai.mission_schedule
             WHERE (unreadable IS NOT NULL OR quarantined) AND (user_id, mission_id) > ($1, $2)
             ORDER BY user_id, mission_id LIMIT $3",
        );
        let listed = listed.bind(after.0).bind(after.1).bind(i64::from(limit)).fetch_all(&mut *tx).await?;
        tx.commit().await?;
        Ok(listed)
    })
    .await
}

pub(in crate::store) type Query = sqlx::query::Query<'static, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// Binds the next three: this mission, under this lease.
pub(in crate::store) fn of(query: Query, claimed: &ClaimedMission) -> Query {
    query.bind(claimed.user_id.clone()).bind(claimed.mission_id.clone()).bind(claimed.lease_token)
}
