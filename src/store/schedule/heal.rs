//! The row of the schedule after a healing row.

use crate::store::{StoreError, UserTx};

/// Lets the schedule count our healing row, the last of `change_count` rows: else the next refresh would take it for a
/// device's row, and end every wait of the mission. A schedule that has not seen the rows before is left to the refresh,
/// for one of those is a device's.
///
/// # Errors
/// Whatever the database answers.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn follow_healing_row(
    tx: &mut UserTx,
    mission_id: &str,
    change_count: i64,
) -> Result<(), StoreError> {
    let followed = sqlx::query(
        "UPDATE mana_ai.mission_schedule SET change_count = $3
         WHERE user_id = $1 AND mission_id = $2 AND change_count = $3 - 1",
    );
    let followed = followed.bind(tx.user_id().to_owned()).bind(mission_id).bind(change_count);
    followed.execute(&mut **tx).await?;
    Ok(())
}

/// Is an attempt at work on the mission?
///
/// # Errors
/// Whatever the database answers.
pub async fn is_leased(tx: &mut UserTx, mission_id: &str) -> Result<bool, StoreError> {
    let leased = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM mana_ai.mission_schedule
         WHERE user_id = $1 AND mission_id = $2 AND lease_until > clock_timestamp())",
    );
    Ok(leased.bind(tx.user_id().to_owned()).bind(mission_id).fetch_one(&mut **tx).await?)
}
