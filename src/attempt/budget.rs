//! `CALLS_PER_USER_PER_DAY`: a mission whose user has no call left waits for one, and is not charged.

use super::{AttemptError, Report, Worker};
use crate::domain::run::{RunEnd, RunOutcome, Usage};
use crate::store::DbTime;
use crate::store::budget::{OVER_BUDGET, reserve_call};
use crate::store::schedule::claimed::ClaimedMission;
use crate::store::schedule::transition::{RetryAt, Transition, give_back};

impl Worker {
    /// Counts a call in advance; `Some` time where the user has none left before it. Asks nothing where no budget is set.
    pub(super) async fn calls_used_up(
        &self,
        claimed: &ClaimedMission,
    ) -> Result<Option<DbTime>, AttemptError> {
        let Some(budget) = self.calls_per_user_per_day else { return Ok(None) };
        Ok(reserve_call(&self.store, claimed, budget).await?)
    }

    /// Gives the mission back until its user may make the next call.
    pub(super) async fn wait_for_budget(
        &self,
        claimed: &ClaimedMission,
        until: DbTime,
    ) -> Result<Report, AttemptError> {
        let budget = self.calls_per_user_per_day.unwrap_or_default();
        let reason = format!("{OVER_BUDGET}, CALLS_PER_USER_PER_DAY is {budget}");
        let end = RunEnd::of(RunOutcome::Skipped, Some(reason.clone()), &Usage::default());
        give_back(&self.store, claimed, Transition::RetryAt(RetryAt::Time(until.0)), &end).await?;
        self.metrics.over_budget_total.inc();
        Ok(Report::of(RunOutcome::Skipped, false, Some(reason)))
    }
}
