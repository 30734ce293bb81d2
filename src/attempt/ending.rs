//! What a slot ends with: the row for the log, and where the schedule and the ledger go with it.

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::{AttemptError, Report};
use crate::attempt::retry::rest_after;
use crate::domain::change::NewChange;
use crate::domain::healing::Lost;
use crate::domain::iteration::{Iteration, iteration_id};
use crate::domain::mission::Mission;
use crate::domain::run::{RunEnd, RunOutcome, Usage};
use crate::planner::plan::Plan;
use crate::store::StoreError;
use crate::store::schedule::change::NextSlot;
use crate::store::schedule::claimed::ClaimedMission;
use crate::store::schedule::transition::Transition;

/// What a slot ends with, and what goes with it.
#[derive(Clone, Copy)]
pub(super) enum Ending<'attempt> {
    Planned(&'attempt Plan),
    /// The last attempt failed.
    Failed(&'attempt AttemptError),
}

/// Our row of the slot, and where the schedule goes with it.
pub(super) struct SlotWrite {
    pub change: NewChange,
    pub transition: Transition,
    pub end: RunEnd,
    /// Rows of the mission with ours.
    pub change_count: i64,
    /// What our row restores.
    pub lost: Lost,
}

impl Ending<'_> {
    /// What is to be written for a mission that has `change_count` rows.
    pub(super) fn outcome(
        self,
        claimed: &ClaimedMission,
        mission: &Mission,
        now: Timestamp,
        next_run_at: Option<Timestamp>,
        change_count: i64,
        usage: &Usage,
    ) -> Result<SlotWrite, AttemptError> {
        let next = NextSlot { next_run_at, change_count: change_count + 1 };
        // Rows that came after the claim are a device's: they end the count of failed slots.
        let edited = change_count > claimed.change_count;
        let transition = self.transition(next, if edited { 0 } else { claimed.failed_slots.0 });
        let iteration = self.iteration(claimed, now, transition);
        let timestamp = mission.write_timestamp(now)?;
        let change = NewChange::append(self.kept(mission), &iteration, next_run_at, timestamp)
            .map_err(StoreError::from)?;
        let end = RunEnd { iteration_id: Some(iteration.id), ..self.end(usage) };
        Ok(SlotWrite {
            change,
            transition,
            end,
            change_count: change_count + 1,
            lost: self.restored(mission),
        })
    }

    /// A plan takes the place of an unread one. Word of a slot that failed does not.
    fn kept(self, mission: &Mission) -> Vec<&RawValue> {
        match self {
            Self::Planned(_) => mission.read_iterations().collect(),
            Self::Failed(_) => mission.iterations.iter().map(AsRef::as_ref).collect(),
        }
    }

    /// Of what the record's list does not have: all but the plan whose place ours takes.
    fn restored(self, mission: &Mission) -> Lost {
        match self {
            Self::Planned(_) => {
                let iterations = mission.lost.iterations.saturating_sub(mission.lost_unread);
                Lost { iterations, ..mission.lost }
            }
            Self::Failed(_) => mission.lost,
        }
    }

    fn transition(self, next: NextSlot, failed_before: u32) -> Transition {
        match self {
            Self::Planned(_) => Transition::Planned(next),
            Self::Failed(_) => {
                let failed_slots = failed_before.saturating_add(1);
                Transition::SlotFailed { next, failed_slots, rest: rest_after(failed_slots) }
            }
        }
    }

    fn iteration(self, claimed: &ClaimedMission, finished: Timestamp, transition: Transition) -> Iteration {
        let id = iteration_id(&claimed.mission_id, claimed.slot.0);
        let started = claimed.claimed_at.0;
        match (self, transition) {
            (Self::Planned(plan), _) => plan.clone().into_iteration(id, started, finished),
            (Self::Failed(error), transition) => {
                let (comes_again, rests) = match transition {
                    Transition::SlotFailed { next, rest, .. } => (next.next_run_at.is_some(), rest.is_some()),
                    _ => (false, false),
                };
                Iteration::failed(
                    id,
                    started,
                    finished,
                    error.told_to_user(claimed.attempt.0, comes_again, rests),
                )
            }
        }
    }

    fn end(self, usage: &Usage) -> RunEnd {
        match self {
            Self::Planned(_) => RunEnd::of(RunOutcome::Planned, None, usage),
            Self::Failed(error) => RunEnd::of(RunOutcome::SlotFailed, Some(error.to_string()), usage),
        }
    }

    pub(super) fn report(self) -> Report {
        match self {
            Self::Planned(_) => Report::of(RunOutcome::Planned, true, None),
            Self::Failed(error) => Report::failed(RunOutcome::SlotFailed, error),
        }
    }
}
