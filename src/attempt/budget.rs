//! `CALLS_PER_USER_PER_DAY`: a mission whose user has no call left waits for one, and is not charged.

use super::{AttemptError, Report, Worker};
use crate::domain::run::{RunEnd, RunOutcome, Usage};
use crate::store::budget::{OVER_BUDGET, reserve_call, wait_for_call};
use crate::store::schedule::claimed::ClaimedMission;

impl Worker {
    /// Counts a call in advance; `false` where the user has none left. Asks nothing where no budget is set.
    pub(super) async fn has_a_call(&self, claimed: &ClaimedMission) -> Result<bool, AttemptError> {
        let Some(budget) = self.calls_per_user_per_day else { return Ok(true) };
        Ok(reserve_call(&self.store, claimed, budget).await?)
    }

    /// Gives the mission back until its user may make another call.
    pub(super) async fn wait_for_budget(&self, claimed: &ClaimedMission) -> Result<Report, AttemptError> {
        let budget = self.calls_per_user_per_day.unwrap_or_default();
        let reason = format!("{OVER_BUDGET}, CALLS_PER_USER_PER_DAY is {budget}");
        let end = RunEnd::of(RunOutcome::Skipped, Some(reason.clone()), &Usage::default());
        wait_for_call(&self.store, claimed, budget, &end).await?;
        self.metrics.over_budget_total.inc();
        Ok(Report::of(RunOutcome::Skipped, false, Some(reason)))
    }
}
