//! A look at a mission that a device wrote after us: what the device's old list hid is written once more.

use jiff::Timestamp;

use super::Worker;
use crate::domain::change::NewChange;
use crate::domain::healing::MAX_IN_A_ROW;
use crate::domain::mission::{has_ended, iterations};
use crate::domain::time;
use crate::store::healing::{Look, QueuedLook, keep};
use crate::store::log::append::{append, is_last_word};
use crate::store::log::read::{FoldedMission, fold_mission};
use crate::store::schedule::heal::follow_healing_row;
use crate::store::{StoreError, TRANSACTION, UserTx, with_timeout};

impl Worker {
    /// Looks at a queued mission under its lock, and appends a healing row where something is lost: `iterations` with
    /// everything that devices should have, and no other field.
    ///
    /// # Errors
    /// Whatever the database answers; [`StoreError::Busy`] where a device wrote meanwhile. Nothing is written then, and
    /// the mission stays queued.
    #[tracing::instrument(name = "heal", skip_all, fields(mission_id = queued.mission_id, user_id = queued.user_id))]
    pub async fn heal(&self, queued: &QueuedLook) -> Result<Look, StoreError> {
        with_timeout(TRANSACTION, self.look(queued)).await
    }

    async fn look(&self, queued: &QueuedLook) -> Result<Look, StoreError> {
        let mission_id = &queued.mission_id;
        let mut tx = UserTx::begin_locked(&self.store, &queued.user_id, mission_id).await?;
        let folded = fold_mission(&mut tx, mission_id).await?;
        let (look, row) = decide(&folded, queued.in_a_row, tx.began_at())?;
        let mut change_count = folded.change_count;
        if let Some(row) = row {
            append(&mut tx, mission_id, &row).await?;
            change_count += 1;
            if !is_last_word(&mut tx, mission_id, change_count).await? {
                tx.rollback().await?;
                return Err(StoreError::Busy);
            }
            follow_healing_row(&mut tx, mission_id, change_count).await?;
        }
        keep(&mut tx, mission_id, change_count, &look).await?;
        tx.commit().await?;
        Ok(look)
    }
}

/// What to do about a mission, and the row that does it.
fn decide(
    folded: &FoldedMission,
    in_a_row: i32,
    now: Timestamp,
) -> Result<(Look, Option<NewChange>), StoreError> {
    let left = |problem: String| Ok((Look::Left(problem), None));
    let record = match &folded.record {
        Ok(Some(record)) if !has_ended(record) => record,
        Ok(_) => return Ok((Look::Nothing, None)),
        Err(error) => return left(error.to_string()),
    };
    let current = match iterations(record) {
        Ok(current) => current,
        Err(unreadable) => return left(unreadable.to_string()),
    };
    let healed = folded.history.heal(&current);
    if !healed.lost.is_anything() {
        return Ok((Look::Nothing, None));
    }
    if u32::try_from(in_a_row).unwrap_or_default() >= MAX_IN_A_ROW {
        return left(format!(
            "{MAX_IN_A_ROW} healing rows in a row were overwritten; the next plan's row restores it"
        ));
    }
    let Some(timestamp) = time::after(now, &[&record.clock("iterations")]) else {
        return left("iterations has a clock that no later timestamp can pass".to_owned());
    };
    let row = NewChange::heal(&healed.iterations, timestamp)?;
    Ok((Look::Healed(healed.lost), Some(row)))
}
