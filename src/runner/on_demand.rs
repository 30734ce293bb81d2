//! One mission at once, because an operator asked for it.

use std::time::Instant;

use super::Runner;
use crate::llm::breaker::Permit;
use crate::runner::stats::TickStats;
use crate::store::runs::{self, Run, RunFilter};
use crate::store::schedule::claim::{ClaimScope, claim};
use crate::store::{Store, StoreError, preflight};

/// Why a mission is not tried now.
#[derive(Debug, thiserror::Error)]
pub enum NotRun {
    /// The database did not do as asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// mana-llm is not to be called.
    #[error("{0}")]
    CircuitOpen(String),
    /// So many are at work in this process.
    #[error("this process has no place free, try again")]
    Busy,
    /// It ends.
    #[error("this process is stopping, ask another")]
    Stopping,
    /// Somebody is at it, or at too many others of its user, or it is set aside, or the runner is paused.
    #[error(
        "it cannot be claimed now: in flight, set aside, too many of its user at work, or the runner is paused"
    )]
    Refused,
}

impl Runner {
    /// The database, for who only looks.
    pub fn store(&self) -> &Store {
        &self.worker.store
    }

    /// Tries the mission at once, due or not, under all guards, and tells how that went.
    pub async fn run_now(&self, user_id: &str, mission_id: &str) -> Result<Run, NotRun> {
        let _place = self.places.try_acquire().map_err(|_| NotRun::Busy)?;
        if self.stop.is_cancelled() {
            return Err(NotRun::Stopping);
        }
        self.worker.llm.retry_configuration();
        if let Permit::Denied { why, wait } = self.worker.llm.permit() {
            return Err(NotRun::CircuitOpen(format!("{why}; the next call in {} s", wait.as_secs())));
        }
        self.prepare().await?;
        let opening = preflight(self.store()).await?;
        self.refresh_schedule(&mut TickStats::at(opening.now)).await?;
        let (worker, scope) = (&self.worker, ClaimScope::One { user_id, mission_id });
        let claimed = claim(&worker.store, self.claim_terms(), scope).await?.pop().ok_or(NotRun::Refused)?;
        self.count_claim(std::slice::from_ref(&claimed));
        let began = Instant::now();
        worker.attempt(&claimed).await.log(&claimed, began.elapsed());
        let filter = RunFilter { id: Some(claimed.run_id), ..RunFilter::default() };
        runs::list(&worker.store, &filter, 1).await?.pop().ok_or(NotRun::Refused)
    }
}
