//! An operator releases a mission from what it waits for.

use super::due::unleased;
use super::transition::TransitionKind;
use crate::store::{Store, StoreError};

/// Ends every wait of a mission: quarantine, backoff, rest. `false` where it has none to end, or is under a lease that runs.
/// [`TransitionKind::Released`] in the state machine.
///
/// # Errors
/// Whatever the database answers.
#[tracing::instrument(level = "debug", skip_all, fields(transition = TransitionKind::Released.name()))]
pub async fn release(store: &Store, user_id: &str, mission_id: &str) -> Result<bool, StoreError> {
    let released = sqlx::query(concat!(
        "UPDATE mana_ai.mission_schedule SET quarantined = false, not_before = '-infinity', waits = NULL,
             attempts = 0, lost = 0, refusals = 0, failed_slots = 0
         WHERE user_id = $1 AND mission_id = $2 AND unreadable IS NULL
             AND (quarantined OR not_before > clock_timestamp()) AND ",
        unleased!(),
    ));
    let released = released.bind(user_id).bind(mission_id);
    let released = store.transaction(async |tx| Ok(released.execute(&mut **tx).await?)).await?;
    Ok(released.rows_affected() > 0)
}
