//! `MAX_UNREAD_PER_USER`: April's clients make a user's proposals several times over where several plans wait at once, so an
//! operator may bound how many wait.

use std::time::Duration;

use super::Worker;
use crate::domain::mission::{has_ended, is_unread, iterations};
use crate::store::log::read::{FoldedMission, mission_ids, wait_and_fold};
use crate::store::{StoreError, TRANSACTION, UserTx, with_timeout};

/// A plan that is read writes a row of its own mission, not of the one that waits. So that one looks again.
pub(super) const LOOK_AGAIN_AFTER: Duration = Duration::from_mins(15);

impl Worker {
    /// Why the mission has to wait for other unread plans of its user; `None` where it need not. Folds all missions of the
    /// user, so it is asked only where the variable is set. Then the user's missions are also claimed one at a time, and
    /// none is planned between this look and our row.
    pub(super) async fn too_many_unread(
        &self,
        tx: &mut UserTx,
        mission_id: &str,
    ) -> Result<Option<String>, StoreError> {
        let Some(most) = self.max_unread_per_user else { return Ok(None) };
        let missions = with_timeout(TRANSACTION, mission_ids(tx)).await?;
        let mut unread = 0;
        for id in missions.iter().filter(|id| *id != mission_id) {
            let (mission, _room) = with_timeout(TRANSACTION, wait_and_fold(tx, id)).await?;
            unread += unread_plans(mission);
        }
        Ok((unread >= most).then(|| {
            format!("{unread} plans of other missions of this user are unread, MAX_UNREAD_PER_USER is {most}")
        }))
    }
}

fn unread_plans(mission: FoldedMission) -> usize {
    let Ok(Some(record)) = mission.record else { return 0 };
    match iterations(&record) {
        Ok(list) if !has_ended(&record) => {
            mission.history.heal(&list).iterations.iter().filter(|raw| is_unread(raw)).count()
        }
        _ => 0,
    }
}
