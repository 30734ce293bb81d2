//! The end of an attempt in the database: our row with the schedule's new state, or a skip.

use jiff::Timestamp;

use super::ending::{Ending, SlotWrite};
use super::recheck::{Recheck, recheck};
use super::write_retry::WriteRetry;
use super::{AttemptError, Report, Worker};
use crate::domain::iteration::iteration_id;
use crate::domain::mission::{Mission, Standing};
use crate::domain::run::{RunEnd, RunOutcome, Usage};
use crate::store::healing::{Look, keep, pass};
use crate::store::log::append::{append, is_last_word};
use crate::store::log::kept::{Kept, lock_and_fold};
use crate::store::log::read::FoldedMission;
use crate::store::runs::finish;
use crate::store::schedule::claimed::ClaimedMission;
use crate::store::schedule::transition::{Transition, apply, give_back};
use crate::store::{StoreError, TRANSACTION, UserTx, with_timeout};

/// How one try to write ended.
enum Written {
    /// In the log, or skipped for a reason.
    Done(Report),
    /// The lease is no longer ours: nothing is written.
    LeaseLost,
}

impl Worker {
    /// Repeats a write whose end is not known, and keeps the result while the database is gone. Only the first try takes the
    /// mission that was kept: a later one may find its own row.
    pub(super) async fn write(
        &self,
        claimed: &ClaimedMission,
        ending: Ending<'_>,
        mut kept: Option<Box<Kept>>,
        usage: &Usage,
    ) -> Result<Report, AttemptError> {
        let mut write_retry = WriteRetry::new(self);
        loop {
            let may_be_written = write_retry.tries() > 0;
            match self.write_once(claimed, ending, kept.take(), usage, may_be_written).await {
                Ok(Written::Done(report)) => return Ok(report),
                Ok(Written::LeaseLost) => {
                    let planned = matches!(ending, Ending::Planned(_));
                    return Ok(self.lease_lost(claimed, planned, usage).await);
                }
                Err(error) => write_retry.after(error).await?,
            }
        }
    }

    /// One transaction: lock, fold, check everything again, append to the *fresh* iterations, and move
    /// the schedule on. `may_be_written`: an earlier try may have been committed without our seeing the reply.
    #[tracing::instrument(level = "debug", skip_all, fields(again = may_be_written))]
    async fn write_once(
        &self,
        claimed: &ClaimedMission,
        ending: Ending<'_>,
        kept: Option<Box<Kept>>,
        usage: &Usage,
        may_be_written: bool,
    ) -> Result<Written, AttemptError> {
        // The room is kept to the end of this function: our row has all iterations once more.
        let (tx, folded, _room) =
            lock_and_fold(&self.store, &claimed.user_id, &claimed.mission_id, kept).await?;
        // The lease ended with the commit whose reply was lost, so this comes before every look at the lease.
        if may_be_written && is_written(&folded, claimed) {
            with_timeout(TRANSACTION, tx.rollback()).await?;
            return Ok(Written::Done(ending.report()));
        }
        let (now, change_count) = (tx.began_at(), folded.change_count);
        let mission = match recheck(folded, claimed, now, &self.default_zone)? {
            Recheck::Due(mission) => mission,
            Recheck::Skip { transition, reason } => {
                let skipped = self.skip_attempt(tx, claimed, transition, reason, Some(usage)).await?;
                return Ok(Written::Done(skipped));
            }
        };
        let next_run_at = self.next_slot(&mission, claimed, now)?;
        let outcome = ending.outcome(claimed, &mission, now, next_run_at, change_count, usage)?;
        // The statement takes two copies of our row, so the mission gives back its memory before.
        drop(mission);
        let committed = with_timeout(TRANSACTION, commit(tx, claimed, &outcome)).await?;
        if !committed {
            return Ok(Written::LeaseLost);
        }
        self.metrics.count_healed(outcome.lost);
        Ok(Written::Done(ending.report()))
    }

    /// Where the mission goes from here. Claimed before its slot, it keeps that slot: a plan for tomorrow's slot
    /// would use it up.
    fn next_slot(
        &self,
        mission: &Mission,
        claimed: &ClaimedMission,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, AttemptError> {
        Ok(match mission.standing {
            Standing::Scheduled(slot) if claimed.forced => Some(slot),
            Standing::Unscheduled => None,
            _ => mission.next_run(now, &self.default_zone)?,
        })
    }

    /// Leaves a mission that is not to be planned now, and says why. `usage` where there was a plan.
    pub(super) async fn skip_attempt(
        &self,
        mut tx: UserTx,
        claimed: &ClaimedMission,
        transition: Transition,
        reason: String,
        usage: Option<&Usage>,
    ) -> Result<Report, StoreError> {
        let outcome = if usage.is_some() { RunOutcome::Outdated } else { RunOutcome::Skipped };
        let end = RunEnd::of(outcome, Some(reason.clone()), &usage.cloned().unwrap_or_default());
        if let Transition::Moved(_) = transition {
            // Under the lock that the fold was read under: the row is what that fold says.
            let moved = async {
                apply(&mut tx, claimed, transition, &end).await?;
                tx.commit().await
            };
            with_timeout(TRANSACTION, moved).await?;
        } else {
            with_timeout(TRANSACTION, tx.rollback()).await?;
            give_back(&self.store, claimed, transition, &end).await?;
        }
        Ok(Report::of(outcome, outcome == RunOutcome::Outdated, Some(reason)))
    }

    /// Another replica has the mission, or soon will: only the ledger is ours to write.
    pub(super) async fn lease_lost(&self, claimed: &ClaimedMission, planned: bool, usage: &Usage) -> Report {
        let outcome = RunOutcome::LeaseLost;
        if let Err(error) = finish(&self.store, claimed, &RunEnd::of(outcome, None, usage)).await {
            tracing::debug!(mission_id = claimed.mission_id, %error, "run not ended");
        }
        Report::of(outcome, planned, None)
    }
}

/// Does the slot's iteration stand in the log already? Its id derives from the slot, so it is ours.
fn is_written(folded: &FoldedMission, claimed: &ClaimedMission) -> bool {
    let id = iteration_id(&claimed.mission_id, claimed.slot.0);
    let Ok(Some(record)) = &folded.record else { return false };
    let mission = Mission::read(&claimed.mission_id, record);
    mission.is_ok_and(|mission| mission.healed(&folded.history).has_iteration(&id))
}

/// Schedule, ledger and log together or not at all; `false` where the lease is no longer ours.
async fn commit(mut tx: UserTx, claimed: &ClaimedMission, outcome: &SlotWrite) -> Result<bool, StoreError> {
    if !write_back(&mut tx, claimed, outcome).await? {
        tx.rollback().await?;
        return Ok(false);
    }
    if outcome.lost.is_anything() {
        keep(&mut tx, &claimed.mission_id, outcome.change_count, &Look::Planned(outcome.lost)).await?;
    } else {
        pass(&mut tx, &claimed.mission_id, outcome.change_count).await?;
    }
    if !is_last_word(&mut tx, &claimed.mission_id, outcome.change_count).await? {
        tx.rollback().await?;
        return Err(StoreError::Busy);
    }
    tx.commit().await?;
    Ok(true)
}

/// Our row comes last, since its `created_at` should be close to COMMIT.
#[tracing::instrument(level = "debug", skip_all)]
async fn write_back(
    tx: &mut UserTx,
    claimed: &ClaimedMission,
    outcome: &SlotWrite,
) -> Result<bool, StoreError> {
    let held = apply(tx, claimed, outcome.transition, &outcome.end).await?;
    if held {
        append(tx, &claimed.mission_id, &outcome.change).await?;
    }
    Ok(held)
}
