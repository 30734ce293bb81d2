//! The end of an attempt in the database: our row, or a step back.

use jiff::Timestamp;

use super::recheck::{Finding, recheck, visible};
use super::write_retry::WriteRetry;
use super::{AttemptError, Report, Worker};
use crate::attempt::retry::rest_after;
use crate::domain::change::NewChange;
use crate::domain::iteration::{Iteration, iteration_id};
use crate::domain::mission::{Mission, Standing};
use crate::domain::run::{RunEnd, RunOutcome, Usage};
use crate::planner::plan::Plan;
use crate::store::log::append::{Advance, is_last_word, reschedule, write_back};
use crate::store::log::read::fold_mission;
use crate::store::runs::finish;
use crate::store::schedule::claim::{self, ClaimedMission};
use crate::store::{StoreError, TRANSACTION, UserTx, within};

/// What a slot ends with, and what goes with it.
#[derive(Clone, Copy)]
pub(super) enum Ending<'attempt> {
    Planned(&'attempt Plan),
    /// The last attempt failed.
    Failed(&'attempt AttemptError),
}

impl Worker {
    /// Repeats a write whose end is not known, and keeps the result while the database is gone.
    pub(super) async fn write(
        &self,
        claimed: &ClaimedMission,
        ending: Ending<'_>,
        usage: &Usage,
    ) -> Result<Report, AttemptError> {
        let mut write_retry = WriteRetry::new(self.lease, &self.abandon);
        loop {
            let again = write_retry.tries() > 0;
            match self.write_once(claimed, ending, usage, again).await {
                Ok(Some(report)) => return Ok(report),
                Ok(None) => {
                    let planned = matches!(ending, Ending::Planned(_));
                    return Ok(self.lease_lost(claimed, planned, usage).await);
                }
                Err(error) => write_retry.after(error).await?,
            }
        }
    }

    /// One transaction: lock, fold, check everything again, append to the *fresh* iterations, and move
    /// the schedule on. `None` where the lease is no longer ours.
    #[tracing::instrument(level = "debug", skip_all, fields(again = again))]
    async fn write_once(
        &self,
        claimed: &ClaimedMission,
        ending: Ending<'_>,
        usage: &Usage,
        again: bool,
    ) -> Result<Option<Report>, AttemptError> {
        let id = iteration_id(&claimed.mission_id, claimed.slot.0);
        let begin = async {
            let mut tx = UserTx::begin_locked(&self.store, &claimed.user_id, &claimed.mission_id).await?;
            let folded = fold_mission(&mut tx, &claimed.mission_id).await?;
            Ok((tx, folded))
        };
        let (mut tx, folded) = within(TRANSACTION, begin).await?;
        let now = tx.began_at();
        let (record, change_count) = (folded.record?, visible(folded.change_count)?);
        // The lease ended with the commit whose reply was lost, so this comes before the lease.
        let stands = |record| Mission::read(&claimed.mission_id, record).is_ok_and(|m| m.has_iteration(&id));
        if again && record.as_ref().is_some_and(stands) {
            tx.rollback().await?;
            return Ok(Some(ending.report()));
        }
        let mission = match recheck(record, claimed, now, &self.default_zone)? {
            Finding::Due(mission) => mission,
            finding => {
                return Ok(Some(self.skip_attempt(tx, claimed, finding, change_count, Some(usage)).await?));
            }
        };
        let next = match mission.standing {
            Standing::Scheduled(slot) if claimed.forced => Some(slot),
            Standing::Unscheduled => None,
            _ => mission.next_run(now, &self.default_zone)?,
        };
        // Rows that came after the claim are its user's: they end the count.
        let edited = change_count > claimed.change_count;
        let failed_slots = ending.failed_slots(if edited { 0 } else { claimed.failed_slots.0 });
        let advance =
            Advance { next, change_count: change_count + 1, failed_slots, rest: rest_after(failed_slots) };
        let iteration = ending.iteration(id, claimed, now, advance);
        let timestamp = mission.write_timestamp(now)?;
        let change =
            NewChange::append(&mission.iterations, &iteration, next, timestamp).map_err(StoreError::from)?;
        let end = RunEnd { iteration_id: Some(iteration.id), ..ending.end(usage) };
        let commit = async {
            if !write_back(&mut tx, claimed, &change, advance, &end).await? {
                tx.rollback().await?;
                return Ok(None);
            }
            if !is_last_word(&mut tx, &claimed.mission_id, change_count + 1).await? {
                tx.rollback().await?;
                return Err(StoreError::Busy);
            }
            tx.commit().await?;
            Ok(Some(ending.report()))
        };
        Ok(within(TRANSACTION, commit).await?)
    }

    /// Leaves a mission that is not to be planned now, and says why. `spent` where there was a plan.
    pub(super) async fn skip_attempt(
        &self,
        mut tx: UserTx,
        claimed: &ClaimedMission,
        finding: Finding,
        change_count: i64,
        usage: Option<&Usage>,
    ) -> Result<Report, StoreError> {
        let outcome = if usage.is_some() { RunOutcome::Outdated } else { RunOutcome::Skipped };
        let end = |reason| RunEnd::of(outcome, Some(reason), &usage.cloned().unwrap_or_default());
        let reason = match finding {
            Finding::Waits { retry, reason } => {
                within(TRANSACTION, tx.rollback()).await?;
                claim::release(&self.store, claimed, retry, &end(reason.clone())).await?;
                reason
            }
            Finding::Moved { next } => {
                let reason = "the mission changed, it is not due at this slot any more".to_owned();
                let end = end(reason.clone());
                let settled = async {
                    reschedule(&mut tx, claimed, next, change_count, &end).await?;
                    tx.commit().await
                };
                within(TRANSACTION, settled).await?;
                reason
            }
            Finding::Due(_) => unreachable!("a due mission is planned"),
        };
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

impl Ending<'_> {
    fn outcome(self) -> RunOutcome {
        match self {
            Self::Planned(_) => RunOutcome::Planned,
            Self::Failed(_) => RunOutcome::SlotFailed,
        }
    }

    fn iteration(
        self,
        id: String,
        claimed: &ClaimedMission,
        finished: Timestamp,
        advance: Advance,
    ) -> Iteration {
        let started = claimed.claimed_at.0;
        match self {
            Self::Planned(plan) => plan.clone().into_iteration(id, started, finished),
            Self::Failed(error) => {
                let summary =
                    error.told_to_user(claimed.attempt.0, advance.next.is_some(), advance.rest.is_some());
                Iteration::failed(id, started, finished, summary)
            }
        }
    }

    fn failed_slots(self, before: u32) -> u32 {
        match self {
            Self::Planned(_) => 0,
            Self::Failed(_) => before.saturating_add(1),
        }
    }

    fn end(self, usage: &Usage) -> RunEnd {
        let reason = match self {
            Self::Planned(_) => None,
            Self::Failed(error) => Some(error.to_string()),
        };
        RunEnd::of(self.outcome(), reason, usage)
    }

    fn report(self) -> Report {
        match self {
            Self::Planned(_) => Report::of(RunOutcome::Planned, true, None),
            Self::Failed(error) => Report::failed(RunOutcome::SlotFailed, error),
        }
    }
}
