//! A claim of one mission that an operator asked for, due or not.

use std::time::Duration;

use uuid::Uuid;

use crate::domain::run::RunOutcome;
use crate::store::schedule::claim::ClaimedMission;
use crate::store::{Store, StoreError, TRANSACTION, within};

/// Claims the mission for `replica`, whether its slot has come or not: one that has is worked on as ever,
/// else the slot is this moment. `None` where somebody is at it, its user has `per_user` in flight already, it
/// is set aside, or the runner is paused.
///
/// A mission without a slot is not in the schedule: it gets a row for its lease, which the next refresh of it
/// takes away.
pub async fn claim_now(
    store: &Store,
    replica: Uuid,
    (user_id, mission_id): (&str, &str),
    per_user: u32,
    lease: Duration,
) -> Result<Option<ClaimedMission>, StoreError> {
    within(TRANSACTION, async {
        let mut tx = store.begin().await?;
        sqlx::query(
            "INSERT INTO mana_ai.mission_schedule (user_id, mission_id, change_count) VALUES ($1, $2, 0)
             ON CONFLICT DO NOTHING",
        )
        .bind(user_id)
        .bind(mission_id)
        .execute(&mut *tx)
        .await?;
        let claimed = sqlx::query_as(
            "WITH free AS (
                 SELECT s.*, coalesce(next_run_at > clock_timestamp(), true) AS forced FROM mana_ai.mission_schedule AS s
                 WHERE user_id = $1 AND mission_id = $2 AND unreadable IS NULL AND NOT quarantined
                     AND (lease_until IS NULL OR lease_until <= clock_timestamp())
                     AND NOT EXISTS (SELECT FROM mana_ai.pause)
                     AND (SELECT count(*) FROM mana_ai.mission_schedule
                          WHERE user_id = $1 AND lease_until > clock_timestamp()) < $3
                 FOR UPDATE),
             claimed AS (
                 UPDATE mana_ai.mission_schedule AS s
                 SET lease_token = gen_random_uuid(), lease_until = clock_timestamp() + $4, attempts = s.attempts + 1,
                     lost = CASE WHEN free.lease_token IS NULL THEN 0 ELSE s.lost + 1 END,
                     run_id = nextval(pg_get_serial_sequence('mana_ai.mission_runs', 'id'))
                 FROM free WHERE (s.user_id, s.mission_id) = (free.user_id, free.mission_id)
                 RETURNING s.user_id, s.mission_id, s.lease_token, s.change_count, s.run_id, s.attempts AS attempt, s.lost,
                     s.refusals, s.failed_slots, free.lease_token IS NOT NULL AS found_lost, clock_timestamp() AS claimed_at, free.forced,
                     CASE WHEN free.forced THEN date_trunc('milliseconds', clock_timestamp()) ELSE s.next_run_at END AS slot),
             begun AS (
                 INSERT INTO mana_ai.mission_runs (id, user_id, mission_id, slot, attempt, replica)
                 SELECT run_id, user_id, mission_id, slot, attempt, $5 FROM claimed),
             lost AS (
                 UPDATE mana_ai.mission_runs SET outcome = $6, finished_at = clock_timestamp(),
                     reason = 'nobody came back from it'
                 FROM free WHERE id = free.run_id AND free.lease_token IS NOT NULL AND outcome IS NULL)
             SELECT * FROM claimed",
        )
        .bind(user_id)
        .bind(mission_id)
        .bind(i64::from(per_user))
        .bind(lease)
        .bind(replica)
        .bind(RunOutcome::Lost.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        // A row that was made for a lease which is not given must not stay.
        if claimed.is_some() { tx.commit().await? } else { tx.rollback().await? }
        Ok(claimed)
    })
    .await
}
