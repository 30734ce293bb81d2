//! The end of a claimed mission: our row in the log and the schedule's new state, together or not at all.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::types::Json;

use crate::domain::change::{APP_ID, CLIENT_ID, NewChange, SCHEMA_VERSION, TABLE_NAME};
use crate::domain::iteration::MISSION_RUNNER;
use crate::domain::run::RunEnd;
use crate::store::runs::{bind_end, ending_run};
use crate::store::schedule::claim::{ClaimedMission, of};
use crate::store::{StoreError, UserTx, sql_time};

/// Has nobody written the mission since `change_count` rows? Devices do not take our lock: what one
/// commits after our fold and before this is seen here.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn is_last_word(tx: &mut UserTx, mission_id: &str, change_count: i64) -> Result<bool, StoreError> {
    let user_id = tx.user_id().to_owned();
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sync_changes WHERE user_id = $1 AND app_id = $2 AND table_name = $3 AND record_id = $4",
    )
    .bind(user_id)
    .bind(APP_ID)
    .bind(TABLE_NAME)
    .bind(mission_id)
    .fetch_one(&mut **tx)
    .await?;
    Ok(count == change_count)
}

/// Ends the lease and the run, and moves the schedule to what the log says after `change_count` rows,
/// because the claim was for a slot that is gone. A mission without a slot loses its row at the next refresh.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn reschedule(
    tx: &mut UserTx,
    claimed: &ClaimedMission,
    next: Option<Timestamp>,
    change_count: i64,
    end: &RunEnd,
) -> Result<(), StoreError> {
    // Not claimed again in this tick, whatever the slot is.
    let settled = sqlx::query(ending_run!(
        "UPDATE mana_ai.mission_schedule SET next_run_at = $12, unreadable = NULL, change_count = $13, attempts = 0,
             lost = 0, refusals = 0, failed_slots = 0, not_before = clock_timestamp(), waits = NULL,
             lease_token = NULL, lease_until = NULL
         WHERE user_id = $9 AND mission_id = $10 AND lease_token = $11"
    ));
    let settled = of(bind_end(settled, claimed, end), claimed);
    settled.bind(next.map(sql_time)).bind(change_count).execute(&mut **tx).await?;
    Ok(())
}

/// What the schedule says after a slot.
#[derive(Debug, Clone, Copy)]
pub struct Advance {
    /// The next slot.
    pub next: Option<Timestamp>,
    /// Rows of the mission with ours.
    pub change_count: i64,
    /// Slots that failed in a row, this one included.
    pub failed_slots: u32,
    /// What the mission waits at least, however soon that slot is.
    pub rest: Option<Duration>,
}

/// Appends our one row of the slot, moves the schedule on and ends the run, if the lease is still ours;
/// `false` if not, and neither row nor schedule is written. One statement, so they cannot come apart.
///
/// `created_at` is set to this moment instead of the transaction's start: the less time between it and
/// the commit, the smaller the chance that a device's cursor has passed it before the row is visible.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn write_back(
    tx: &mut UserTx,
    claimed: &ClaimedMission,
    change: &NewChange,
    advance: Advance,
    end: &RunEnd,
) -> Result<bool, StoreError> {
    let written = sqlx::query(ending_run!(
        ", held AS (
             UPDATE mana_ai.mission_schedule SET next_run_at = $12, change_count = $13, failed_slots = $14,
                 not_before = coalesce(clock_timestamp() + $15, '-infinity'), waits = $3, attempts = 0, lost = 0,
                 refusals = 0,
                 lease_token = NULL, lease_until = NULL
             WHERE user_id = $9 AND mission_id = $10 AND lease_token = $11
                 AND lease_until > clock_timestamp()
             RETURNING user_id, mission_id)
         INSERT INTO sync_changes (user_id, record_id, app_id, table_name, op, data, field_timestamps,
                                   client_id, schema_version, actor, created_at)
         SELECT user_id, mission_id, $16, $17, 'update', $18, $19, $20, $21, $22, clock_timestamp() FROM held"
    ));
    let written = of(bind_end(written, claimed, end), claimed)
        .bind(advance.next.map(sql_time))
        .bind(advance.change_count)
        .bind(i32::try_from(advance.failed_slots).unwrap_or(i32::MAX))
        .bind(advance.rest)
        .bind(APP_ID)
        .bind(TABLE_NAME)
        .bind(Json(&change.data))
        .bind(Json(change.field_timestamps()))
        .bind(CLIENT_ID)
        .bind(SCHEMA_VERSION)
        .bind(Json(MISSION_RUNNER))
        .execute(&mut **tx)
        .await?;
    Ok(written.rows_affected() == 1)
}
