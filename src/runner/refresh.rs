//! The steps of a tick that bring the schedule up to the log: the refresh for what is new, and a share of the comparison
//! with the whole log. Where one of them fails, the tick goes on with the schedule as it is, because an attempt folds its
//! mission afresh anyway; but where the database itself is gone, the tick ends.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Runner;
use crate::runner::stats::TickStats;
use crate::store::StoreError;
use crate::store::runs::prune;
use crate::store::schedule::compare::{Stage, compare};
use crate::store::schedule::refresh::refresh;

/// A quarter of the time between two ticks may go into the comparison with the whole log; of this one, where no loop runs.
const USUAL_INTERVAL: Duration = Duration::from_mins(1);
const SHARE: u32 = 4;

impl Runner {
    /// Follows what is new in the log.
    pub(super) async fn refresh_schedule(&self, stats: &mut TickStats) -> Result<(), StoreError> {
        let began = Instant::now();
        let mut seen = self.seen.lock().await;
        let refreshed = refresh(&self.worker.store, &mut seen, self.settings.refresh_overlap).await;
        drop(seen);
        let Some(refreshed) = go_on(refreshed, "schedule not refreshed", stats)? else { return Ok(()) };
        self.count_refresh(&refreshed, began.elapsed());
        if refreshed.elsewhere {
            tracing::info!("another replica refreshes the schedule, this tick takes it as it is");
        }
        stats.count_unreadable(refreshed.found.unreadable);
        Ok(())
    }

    /// Compares the schedule with the whole log, where that is due, for a share of the interval. `true` where the log is
    /// longer than that. The first tick of a process begins a comparison if none is under way.
    pub(super) async fn compare_schedule(&self, stats: &mut TickStats) -> Result<bool, StoreError> {
        let begin = !self.reconciled.load(Ordering::Relaxed);
        let budget = self.settings.interval.unwrap_or(USUAL_INTERVAL) / SHARE;
        let compared = compare(&self.worker.store, begin, budget).await;
        let Some(compared) = go_on(compared, "schedule not compared", stats)? else { return Ok(false) };
        self.count_comparison(&compared.found);
        stats.count_unreadable(compared.found.unreadable);
        let (rows, mended) = (compared.rows, compared.found.changed);
        match compared.stage {
            Stage::UnderWay => tracing::info!(rows, mended, "schedule is being compared with the whole log"),
            Stage::Ended => tracing::info!(rows, mended, "schedule compared with the whole log"),
            Stage::Resting | Stage::Elsewhere => {}
        }
        self.reconciled.fetch_or(compared.stage != Stage::Elsewhere, Ordering::Relaxed);
        if compared.stage == Stage::Ended || self.prunable.load(Ordering::Relaxed) {
            self.prune_runs().await;
        }
        Ok(compared.stage == Stage::UnderWay)
    }

    /// Removes old runs from the ledger. A failure is only logged: old runs stop no mission.
    async fn prune_runs(&self) {
        match prune(&self.worker.store, self.settings.run_retention).await {
            Ok(pruned) => {
                self.prunable.store(pruned.more, Ordering::Relaxed);
                tracing::debug!(removed = pruned.removed, "runs pruned");
            }
            Err(error) => tracing::warn!(%error, "runs not pruned"),
        }
    }
}

/// `None` where the tick goes on without it.
fn go_on<T>(
    done: Result<T, StoreError>,
    failed: &'static str,
    stats: &mut TickStats,
) -> Result<Option<T>, StoreError> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(
            error @ (StoreError::NoAnswer(_)
            | StoreError::Begin(sqlx::Error::Io(_))
            | StoreError::Database(sqlx::Error::Io(_))),
        ) => Err(error),
        Err(error) => {
            tracing::error!(%error, "{failed}");
            stats.errors.push(error.to_string());
            Ok(None)
        }
    }
}
