//! A run on demand: one mission at once, because an operator asked for it.

use std::time::Instant;

use super::Runner;
use super::claims::denied;
use crate::llm::breaker::Permit;
use crate::runner::stats::TickStats;
use crate::store::runs::{self, Run, RunFilter};
use crate::store::schedule::claim::{ClaimScope, claim};
use crate::store::{StoreError, preflight};

/// Why a mission is not run now.
#[derive(Debug, thiserror::Error)]
pub enum NotRun {
    /// The database did not answer as asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The circuit breaker denies calls of mana-llm.
    #[error("{0}")]
    CircuitOpen(String),
    /// As many runs on demand are in flight in this process as may be.
    #[error("this process has no place free, try again")]
    Busy,
    /// The process has been asked to stop.
    #[error("this process is stopping, ask another")]
    Stopping,
    /// It is in flight, quarantined or unreadable, or too many other missions of its user are in flight, or the
    /// runner is paused.
    #[error(
        "it cannot be claimed now: in flight, set aside, too many of its user at work, or the runner is paused"
    )]
    Refused,
}

impl Runner {
    /// Runs the mission at once, whether it is due or not, under the same guards as in a tick. Returns its run from
    /// the ledger.
    ///
    /// # Errors
    /// It was not run, and why. An attempt that failed is no error here: the run tells how it ended.
    pub async fn run_on_demand(&self, user_id: &str, mission_id: &str) -> Result<Run, NotRun> {
        let _permit = self.on_demand_permits.try_acquire().map_err(|_| NotRun::Busy)?;
        if self.stop.is_cancelled() {
            return Err(NotRun::Stopping);
        }
        self.worker.llm.retry_configuration();
        if let Permit::Denied { why, wait } = self.worker.llm.permit() {
            return Err(NotRun::CircuitOpen(denied(&why, wait)));
        }
        self.prepare().await?;
        let preflight = preflight(self.store()).await?;
        self.refresh_schedule(&mut TickStats::at(preflight.now)).await?;
        let (worker, scope) = (&self.worker, ClaimScope::One { user_id, mission_id });
        let claimed = claim(&worker.store, self.claim_terms(), scope).await?.pop().ok_or(NotRun::Refused)?;
        self.count_claim(std::slice::from_ref(&claimed));
        let began = Instant::now();
        worker.attempt(&claimed).await.log(&claimed, began.elapsed());
        let filter = RunFilter { id: Some(claimed.run_id), ..RunFilter::default() };
        runs::list(&worker.store, &filter, 1).await?.pop().ok_or(NotRun::Refused)
    }
}
