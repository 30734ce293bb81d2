//! A look at a mission that a device wrote after us: what the device's old list hid is written once more.

use jiff::Timestamp;

use super::Worker;
use crate::domain::change::NewChange;
use crate::domain::healing::{Lost, MAX_IN_A_ROW};
use crate::domain::mission::{has_ended, iterations, runs_in_browser};
use crate::domain::time;
use crate::store::healing::{Look, QueuedLook, due_look, keep};
use crate::store::log::append::{append, is_last_word};
use crate::store::log::read::{FoldedMission, fold_mission};
use crate::store::schedule::heal::{follow_healing_row, is_leased};
use crate::store::{StoreError, TRANSACTION, UserTx, with_timeout};

/// What a look decides.
enum Decision {
    /// Nothing for now: the mission stays queued.
    Later,
    /// There is nothing to write, for this reason.
    Keep(Look),
    /// This row restores so much.
    Restore(NewChange, Lost),
}

impl Worker {
    /// Looks at a queued mission under its lock, and appends a healing row where something is lost: `iterations` with
    /// everything that devices should have, and no other field. `None` where the mission stays queued, or another
    /// replica has looked.
    ///
    /// # Errors
    /// Whatever the database answers; [`StoreError::Busy`] where a device wrote meanwhile. Nothing is written then, and
    /// the mission stays queued.
    #[tracing::instrument(name = "heal", skip_all, fields(mission_id = queued.mission_id, user_id = queued.user_id))]
    pub async fn heal(&self, queued: &QueuedLook) -> Result<Option<Look>, StoreError> {
        with_timeout(TRANSACTION, self.look(queued)).await
    }

    async fn look(&self, queued: &QueuedLook) -> Result<Option<Look>, StoreError> {
        let mission_id = &queued.mission_id;
        let mut tx = UserTx::begin_locked(&self.store, &queued.user_id, mission_id).await?;
        // Under the lock: another replica may have looked since the queue was read.
        let Some(in_a_row) = due_look(&mut tx, mission_id).await? else { return leave(tx).await };
        let (folded, _room) = match fold_mission(&mut tx, mission_id).await {
            // Attempts are at large missions: the next tick looks again.
            Err(StoreError::NoRoom(_)) => return leave(tx).await,
            folded => folded?,
        };
        let count = folded.change_count;
        let (look, change_count) = match decide(folded, in_a_row, tx.began_at())? {
            Decision::Later => return leave(tx).await,
            Decision::Keep(look) => (look, count),
            Decision::Restore(row, lost) => {
                append(&mut tx, mission_id, &row).await?;
                let change_count = count + 1;
                if !is_last_word(&mut tx, mission_id, change_count).await? {
                    tx.rollback().await?;
                    return Err(StoreError::Busy);
                }
                follow_healing_row(&mut tx, mission_id, change_count).await?;
                (Look::Healed(lost), change_count)
            }
        };
        // An attempt is at the mission: our row would look to it like a device's, and its own row restores the same.
        // Asked last, so that a claim that came meanwhile is seen.
        if is_leased(&mut tx, mission_id).await? {
            return leave(tx).await;
        }
        keep(&mut tx, mission_id, change_count, &look).await?;
        tx.commit().await?;
        Ok(Some(look))
    }
}

/// Ends a look that writes nothing.
async fn leave(tx: UserTx) -> Result<Option<Look>, StoreError> {
    tx.rollback().await.map(|()| None)
}

fn decide(folded: FoldedMission, in_a_row: u32, now: Timestamp) -> Result<Decision, StoreError> {
    let left = |problem: String| Ok(Decision::Keep(Look::Left(problem)));
    // A queued mission has rows: they are gone, or for the moment no policy shows them.
    if folded.change_count == 0 {
        return Ok(Decision::Later);
    }
    let record = match &folded.record {
        Ok(Some(record)) if !has_ended(record) => record,
        Ok(_) => return Ok(Decision::Keep(Look::Nothing)),
        Err(error) => return left(error.to_string()),
    };
    let current = match iterations(record) {
        Ok(current) => current,
        Err(unreadable) => return left(unreadable.to_string()),
    };
    // A foreground runner may be planning the very slot whose plan it hid.
    if runs_in_browser(&current, now) {
        return Ok(Decision::Later);
    }
    let healed = folded.history.heal(&current);
    if !healed.lost.is_anything() {
        return Ok(Decision::Keep(Look::Nothing));
    }
    if in_a_row >= MAX_IN_A_ROW {
        return left(format!(
            "{MAX_IN_A_ROW} healing rows in a row were overwritten; the next plan's row restores it"
        ));
    }
    let Some(timestamp) = time::after(now, &[&record.clock("iterations")]) else {
        return left("iterations has a clock that no later timestamp can pass".to_owned());
    };
    Ok(Decision::Restore(NewChange::heal(&healed.iterations, timestamp)?, healed.lost))
}
