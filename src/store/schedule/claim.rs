//! Who works on what: a claim puts a mission under a lease, a renewal extends it. Due-ness and leases go by the
//! database's clock, so replicas need not agree on the time.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;
use uuid::Uuid;

use super::claimed::{ClaimedMission, POISON_CANDIDATE_AFTER};
use super::due::{due, leased, runnable};
use crate::domain::run::RunOutcome;
use crate::store::{Store, StoreError, TRANSACTION, Tx, sql_time, with_timeout};

/// How many of the oldest due missions are read for each place: some are locked by another replica, some are
/// beyond their user's limit.
const CANDIDATES_PER_PLACE: i64 = 8;

/// What holds for every claim of a replica.
#[derive(Debug, Clone, Copy)]
pub struct ClaimTerms {
    /// The process that claims, as the ledger names it.
    pub replica: Uuid,
    /// At most so many missions of one user under a lease, over all replicas.
    pub per_user: u32,
    /// How long the lease lasts.
    pub lease: Duration,
}

/// Which missions a claim asks for.
#[derive(Debug, Clone, Copy)]
pub enum ClaimScope<'mission> {
    /// What was due at a time, the oldest slot first. A mission whose lease was given back after `at` is not claimed
    /// again: it belongs to the next tick.
    Due {
        /// The time, by the database's clock.
        at: Timestamp,
        /// At most so many missions.
        missions: usize,
        /// May one of them be a poison candidate? See [`POISON_CANDIDATE_AFTER`].
        poison_candidate: bool,
    },
    /// One mission that an operator asks for. Where its slot has come, the attempt is for that slot, even while the
    /// mission waits; else the attempt's slot is the moment of the claim. A mission that is not in the schedule gets a row for its lease, which the next
    /// refresh of the mission removes.
    One {
        /// The user whose mission it is.
        user_id: &'mission str,
        /// Its `record_id`.
        mission_id: &'mission str,
    },
}

/// Claims what `scope` asks for. May return fewer missions than are due: call until it returns none. Of
/// one mission it returns none where somebody works on it, its user has no place left, it is set aside, or the
/// runner is paused.
///
/// # Errors
/// Whatever the database answers.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn claim(
    store: &Store,
    terms: ClaimTerms,
    scope: ClaimScope<'_>,
) -> Result<Vec<ClaimedMission>, StoreError> {
    with_timeout(TRANSACTION, async {
        let mut tx = store.begin().await?;
        if let ClaimScope::One { user_id, mission_id } = scope {
            make_row(&mut tx, user_id, mission_id).await?;
        }
        let claimed = scope.query(terms).fetch_all(&mut *tx).await?;
        // A row that was made for a lease which is not given must not stay.
        if claimed.is_empty() {
            tx.rollback().await?
        } else {
            tx.commit().await?
        }
        Ok(claimed)
    })
    .await
}

async fn make_row(tx: &mut Tx, user_id: &str, mission_id: &str) -> Result<(), StoreError> {
    let made = sqlx::query(
        "INSERT INTO mana_ai.mission_schedule (user_id, mission_id, change_count) VALUES ($1, $2, 0)
         ON CONFLICT DO NOTHING",
    );
    made.bind(user_id).bind(mission_id).execute(&mut **tx).await?;
    Ok(())
}

type ClaimQuery<'mission> = QueryAs<'mission, sqlx::Postgres, ClaimedMission, PgArguments>;

impl<'mission> ClaimScope<'mission> {
    /// The statement with all that it binds: `$1` to `$4` are the terms, the rest is the scope's.
    fn query(self, terms: ClaimTerms) -> ClaimQuery<'mission> {
        let sql = match self {
            Self::Due { .. } => CLAIM_DUE,
            Self::One { .. } => CLAIM_ONE,
        };
        let query = sqlx::query_as(sql)
            .bind(terms.lease)
            .bind(terms.replica)
            .bind(RunOutcome::Lost.as_str())
            .bind(i64::from(terms.per_user));
        match self {
            Self::Due { at, missions, poison_candidate } => {
                let missions = i64::try_from(missions).unwrap_or(i64::MAX / 2 / CANDIDATES_PER_PLACE);
                query
                    .bind(sql_time(at))
                    .bind(missions)
                    .bind(missions * CANDIDATES_PER_PLACE + CANDIDATES_PER_PLACE)
                    .bind(i64::from(poison_candidate))
                    .bind(i64::from(POISON_CANDIDATE_AFTER))
            }
            Self::One { user_id, mission_id } => query.bind(user_id).bind(mission_id),
        }
    }
}

/// Completes CTEs that end with `locked`: the rows to claim, with a lock on each. `locked.lost` tells whether a
/// lease is still there. It has ended, or the row would not be locked: the attempt before never came back.
macro_rules! claim_locked {
    ($locked:expr) => {
        concat!(
            $locked,
            // The lease, and the attempt charged: a process that crashes cannot charge it later.
            ", claimed AS (
    UPDATE mana_ai.mission_schedule AS s
    SET lease_token = gen_random_uuid(), lease_until = clock_timestamp() + $1, attempts = s.attempts + 1,
        lost = CASE WHEN locked.lost THEN s.lost + 1 ELSE 0 END,
        run_id = nextval(pg_get_serial_sequence('mana_ai.mission_runs', 'id'))
    FROM locked WHERE (s.user_id, s.mission_id) = (locked.user_id, locked.mission_id)
    RETURNING s.user_id, s.mission_id, s.lease_token, s.change_count, s.run_id, s.attempts AS attempt, s.lost,
        s.refusals, s.failed_slots, clock_timestamp() AS claimed_at, locked.forced,
        CASE WHEN locked.forced THEN date_trunc('milliseconds', clock_timestamp()) ELSE s.next_run_at END AS slot),",
            // Each attempt is in the ledger from its claim on.
            "begun AS (
    INSERT INTO mana_ai.mission_runs (id, user_id, mission_id, slot, attempt, replica)
    SELECT run_id, user_id, mission_id, slot, attempt, $2 FROM claimed),",
            // The attempts that never came back, where the ledger still takes them for running.
            "lost_run AS (
    UPDATE mana_ai.mission_runs SET outcome = $3, finished_at = clock_timestamp(), reason = 'nobody came back from it'
    FROM locked WHERE id = locked.run_id AND locked.lost AND outcome IS NULL
    RETURNING locked.user_id, locked.mission_id)
SELECT claimed.*, lost_run.user_id IS NOT NULL AS found_lost
FROM claimed LEFT JOIN lost_run USING (user_id, mission_id)"
        )
    };
}

/// Nobody claims while the runner is paused. Asked in the statement itself, so a pause holds from the next
/// claim on, in every replica, also in a tick that has begun.
macro_rules! not_paused {
    () => {
        "NOT EXISTS (SELECT FROM mana_ai.pause)"
    };
}

/// Binds `$5` the time, `$6` how many missions, `$7` how many candidates, `$8` how many poison candidates,
/// `$9` how many losses make one.
///
/// The planner's statistics are older than any burst, so every step must be good under a guess of one row: it
/// reads some of the oldest in the order of the index, joins nothing before that LIMIT, and fetches each row to
/// lock by its key.
const CLAIM_DUE: &str = claim_locked!(concat!(
    // Missions under a lease, by user. Materialized: counted once, not for each candidate.
    "WITH in_flight AS MATERIALIZED (
    SELECT user_id, count(*) AS missions FROM mana_ai.mission_schedule
    WHERE ",
    leased!(),
    " GROUP BY user_id),",
    // The oldest due missions of users who have a place left. ORDER BY with LIMIT and without a join follows
    // the index, so that a backlog costs no more than the candidates.
    "oldest AS MATERIALIZED (
    SELECT user_id, mission_id, next_run_at, lost + (lease_token IS NOT NULL)::int >= $9 AS poison
    FROM mana_ai.mission_schedule
    WHERE ",
    due!("$5"),
    " AND user_id <> ALL (ARRAY(SELECT user_id FROM in_flight WHERE missions >= $4))
        AND ($8 > 0 OR lost + (lease_token IS NOT NULL)::int < $9)
        AND ",
    not_paused!(),
    " ORDER BY next_run_at LIMIT $7),",
    // How many missions their user would have in flight with each of them; at most $8 poison candidates stay.
    "ranked AS MATERIALIZED (
    SELECT user_id, mission_id, next_run_at, coalesce(in_flight.missions, 0)
        + row_number() OVER (PARTITION BY user_id ORDER BY next_run_at, mission_id) AS of_user
    FROM (SELECT *, row_number() OVER (PARTITION BY poison ORDER BY next_run_at, mission_id) AS place FROM oldest) AS oldest
    LEFT JOIN in_flight USING (user_id)
    WHERE NOT poison OR place <= $8),",
    // The rows themselves, one by its key for each candidate that its user's limit allows, until there are
    // enough. A row that another replica claims at this moment is skipped; where that claim has committed, the
    // condition is checked again on the row as it is now. IS TRUE hides the condition from the index on
    // what is due, which the planner would else scan once per candidate.
    "locked AS MATERIALIZED (
    SELECT free.*
    FROM (SELECT user_id, mission_id FROM ranked WHERE of_user <= $4 ORDER BY next_run_at, mission_id) AS allowed,
        LATERAL (SELECT user_id, mission_id, run_id, lease_token IS NOT NULL AS lost, false AS forced
                 FROM mana_ai.mission_schedule AS s
                 WHERE (s.user_id, s.mission_id) = (allowed.user_id, allowed.mission_id) AND ",
    due!("$5"),
    " IS TRUE
                 FOR UPDATE SKIP LOCKED) AS free
    LIMIT $6)"
));

/// Binds `$5` the user, `$6` the mission.
const CLAIM_ONE: &str = claim_locked!(concat!(
    // The one row, unless somebody works on it or its user has no place left. Waits for a replica that claims
    // it at this moment, then checks the condition again. It is forced where its slot has not come.
    "WITH locked AS MATERIALIZED (
    SELECT user_id, mission_id, run_id, lease_token IS NOT NULL AS lost,
        coalesce(next_run_at > clock_timestamp(), true) AS forced
    FROM mana_ai.mission_schedule WHERE user_id = $5 AND mission_id = $6 AND ",
    runnable!(),
    " AND ",
    not_paused!(),
    " AND (SELECT count(*) FROM mana_ai.mission_schedule WHERE user_id = $5 AND ",
    leased!(),
    ") < $4
    FOR UPDATE)"
));

/// Extends the lease; `false` where it is no longer ours.
///
/// # Errors
/// Whatever the database answers.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn renew(store: &Store, claimed: &ClaimedMission, lease: Duration) -> Result<bool, StoreError> {
    let renewed = sqlx::query(concat!(
        "UPDATE mana_ai.mission_schedule SET lease_until = clock_timestamp() + $4
         WHERE user_id = $1 AND mission_id = $2 AND lease_token = $3 AND ",
        leased!(),
    ));
    let renewed =
        renewed.bind(&claimed.user_id).bind(&claimed.mission_id).bind(claimed.lease_token).bind(lease);
    let renewed = store.transaction(async |tx| Ok(renewed.execute(&mut **tx).await?)).await?;
    Ok(renewed.rows_affected() == 1)
}
