//! What an attempt reads: its mission, and the records that this links.

use super::recheck::{Recheck, recheck};
use super::{AttemptError, Report, Worker, unread};
use crate::domain::mission::Mission;
use crate::inputs::linked::Linked;
use crate::inputs::links::Links;
use crate::planner::prompt::{Messages, messages};
use crate::planner::tools::TOOLS;
use crate::store::log::kept::Kept;
use crate::store::log::linked::read_linked;
use crate::store::log::read::begin_and_fold;
use crate::store::room::Room;
use crate::store::schedule::claimed::ClaimedMission;
use crate::store::schedule::transition::{RetryAt, Transition};
use crate::store::{StoreError, TRANSACTION, UserTx, with_timeout};

/// What reading a claimed mission leads to.
pub(super) enum Read {
    /// It is to be planned, and this is what the model is asked; with the mission, where it is small.
    Due(Messages, Option<Box<Kept>>),
    /// The attempt has nothing to do, and has ended.
    Skipped(Report),
}

impl Worker {
    /// Folds the mission: the schedule may be behind the log, which alone decides. Where its linked records find no room
    /// beside it, all is read anew: nobody waits in a transaction, or with room that others wait for.
    #[tracing::instrument(level = "debug", skip_all)]
    pub(super) async fn read(&self, claimed: &ClaimedMission) -> Result<Read, AttemptError> {
        loop {
            match self.read_once(claimed).await {
                Err(AttemptError::Store(StoreError::NoRoom(bytes))) => self.store.wait_for_room(bytes).await,
                read => return read,
            }
        }
    }

    async fn read_once(&self, claimed: &ClaimedMission) -> Result<Read, AttemptError> {
        let (mut tx, folded, mut room) =
            begin_and_fold(&self.store, &claimed.user_id, &claimed.mission_id, false).await?;
        // Between the claim and this the database may have become a standby: no call for what it cannot take.
        if !tx.is_writable() {
            return Err(StoreError::ReadOnly.into());
        }
        let kept = folded.kept();
        let mission = match recheck(folded, claimed, tx.began_at(), &self.default_zone)? {
            Recheck::Due(mission) => mission,
            Recheck::Skip { transition, reason } => {
                return Ok(Read::Skipped(self.skip_attempt(tx, claimed, transition, reason, None).await?));
            }
        };
        let messages = match self.ask_of(&mission, claimed, &mut tx, &mut room).await {
            Ok(messages) => messages,
            Err(error) => {
                if let StoreError::NoRoom(_) = error {
                    tx.leave();
                }
                return Err(error.into());
            }
        };
        // All that the call needs. A call takes its time, so a large mission gives back its memory before.
        drop((mission, room));
        if let Some(reason) = self.too_many_unread(&mut tx, &claimed.mission_id).await? {
            let later = Transition::RetryAt(RetryAt::After(unread::LOOK_AGAIN_AFTER));
            return Ok(Read::Skipped(self.skip_attempt(tx, claimed, later, reason, None).await?));
        }
        tx.leave();
        Ok(Read::Due(messages, kept))
    }

    /// The prompt: of the mission, and of its linked records as they are in the same transaction.
    async fn ask_of(
        &self,
        mission: &Mission,
        claimed: &ClaimedMission,
        tx: &mut UserTx,
        room: &mut Room,
    ) -> Result<Messages, StoreError> {
        let (zone, links) = (mission.zone(&self.default_zone), Links::of(&mission.inputs));
        let read = with_timeout(TRANSACTION, read_linked(tx, &links, room)).await?;
        let linked = Linked::of(links, read, &zone);
        Ok(messages(mission, &linked, &TOOLS, claimed.claimed_at.0, &zone))
    }
}
