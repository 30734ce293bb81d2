//! The metrics of the runner: what a tick adds to them, and what is looked up when `/metrics` is asked for.

use std::sync::Arc;
use std::time::Duration;

use super::Runner;
use crate::domain::run::RunOutcome;
use crate::metrics::Metrics;
use crate::store::schedule::claimed::ClaimedMission;
use crate::store::schedule::follow::Found;
use crate::store::schedule::queries::counts;
use crate::store::schedule::refresh::Refreshed;

impl Runner {
    /// The metrics of this process.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.worker.metrics
    }

    /// All series as Prometheus text. Asks no database: only the breaker and the pool are looked up now.
    ///
    /// # Errors
    /// A series cannot be written as text, which would be a fault of the code.
    pub fn exposition(&self) -> prometheus::Result<String> {
        self.metrics().set_breaker_state(self.worker.llm.state().into());
        self.metrics().set_pool(self.worker.store.pool_use());
        self.metrics().text()
    }

    pub(super) fn count_refresh(&self, refreshed: &Refreshed, took: Duration) {
        let metrics = self.metrics();
        if !refreshed.elsewhere {
            metrics.refresh_duration_seconds.observe(took.as_secs_f64());
        }
        metrics.refresh_rows_total.inc_by(refreshed.found.rows);
        metrics.mission_errors_total.inc_by(refreshed.found.unreadable.len() as u64);
    }

    pub(super) fn count_comparison(&self, found: &Found) {
        let metrics = self.metrics();
        metrics.comparison_rows_total.inc_by(found.rows);
        metrics.mission_errors_total.inc_by(found.unreadable.len() as u64);
        metrics.schedule_mended_total.inc_by(found.changed);
    }

    pub(super) fn count_claim(&self, claimed: &[ClaimedMission]) {
        let lost = claimed.iter().filter(|claimed| claimed.found_lost).count();
        self.metrics().missions_claimed_total.inc_by(claimed.len() as u64);
        self.metrics().attempts_total.with_label_values(&[RunOutcome::Lost.as_str()]).inc_by(lost as u64);
    }

    /// Counts due and quarantined missions at the end of a tick. Not called after a tick that was broken off, which
    /// would only wait for the same database once more: then the gauges keep their values.
    pub(super) async fn sample_schedule(&self) {
        match counts(&self.worker.store).await {
            Ok(counts) => self.metrics().set_schedule(&counts),
            Err(error) => tracing::debug!(%error, "schedule not counted"),
        }
    }
}
