//! What an attempt tells the tick.

use std::time::Duration;

use super::AttemptError;
use crate::domain::run::RunOutcome;
use crate::metrics::Metrics;
use crate::store::schedule::claimed::ClaimedMission;
use crate::telemetry::ms;

/// The end of an attempt, as it is counted and logged.
#[derive(Debug)]
pub struct Report {
    /// How it ended; the ledger says the same, where the database could take it.
    pub outcome: RunOutcome,
    /// Was there a plan that passed validation?
    pub planned: bool,
    /// Why it failed, or why nothing came of it; no text of the mission or the model.
    pub reason: Option<String>,
    /// Was the model's answer no usable plan?
    pub unusable: bool,
}

impl Report {
    pub(super) fn of(outcome: RunOutcome, planned: bool, reason: Option<String>) -> Self {
        Self { outcome, planned, reason, unusable: false }
    }

    pub(super) fn failed(outcome: RunOutcome, error: &AttemptError) -> Self {
        Self {
            outcome,
            planned: matches!(error, AttemptError::WriteBack(_)),
            reason: Some(error.to_string()),
            unusable: matches!(error, AttemptError::Plan(_)),
        }
    }

    /// Is this an error for operators? A wait, an outdated plan and a stop are none.
    pub fn is_error(&self) -> bool {
        matches!(
            self.outcome,
            RunOutcome::SlotFailed
                | RunOutcome::Failed
                | RunOutcome::RateLimited
                | RunOutcome::Misconfigured
                | RunOutcome::Database
                | RunOutcome::Quarantined
        )
    }

    /// Writes the outcome into the mission's span.
    pub(super) fn record(&self) {
        let span = tracing::Span::current();
        span.record("outcome", self.outcome.as_str());
        if self.is_error() {
            span.record("otel.status_code", "ERROR");
        }
    }

    /// Counts the attempt, of a tick or a run on demand.
    pub(super) fn count(&self, metrics: &Metrics) {
        let refused = match self.outcome {
            RunOutcome::Outdated => true,
            RunOutcome::LeaseLost => self.planned,
            _ => false,
        };
        metrics.attempts_total.with_label_values(&[self.outcome.as_str()]).inc();
        for (counter, counts) in [
            (&metrics.plans_produced_total, self.planned),
            (&metrics.plans_written_back_total, self.outcome == RunOutcome::Planned),
            (&metrics.parse_failures_total, self.unusable),
            (&metrics.mission_errors_total, self.is_error()),
            (&metrics.slots_failed_total, self.outcome == RunOutcome::SlotFailed),
            (&metrics.stale_writes_refused_total, refused),
        ] {
            counter.inc_by(u64::from(counts));
        }
    }

    /// One line: ids, never a word of the mission.
    pub fn log(&self, claimed: &ClaimedMission, elapsed: Duration) {
        let (mission_id, user_id, slot) = (&claimed.mission_id, &claimed.user_id, claimed.slot.0);
        let (attempt, elapsed_ms) = (claimed.attempt.0, ms(elapsed));
        let (outcome, reason) = (self.outcome.as_str(), self.reason.as_deref());
        match self.outcome {
            RunOutcome::SlotFailed | RunOutcome::Quarantined => {
                tracing::error!(mission_id, user_id, %slot, attempt, outcome, reason, elapsed_ms, "mission failed");
            }
            // At debug: the store logs once that the database is gone, the breaker once that the circuit is open.
            RunOutcome::Database | RunOutcome::Held => {
                tracing::debug!(mission_id, user_id, %slot, attempt, outcome, reason, elapsed_ms, "mission put off");
            }
            _ if self.is_error() || self.outcome == RunOutcome::LeaseLost => {
                tracing::warn!(mission_id, user_id, %slot, attempt, outcome, reason, elapsed_ms, "mission not planned");
            }
            _ => {
                tracing::info!(mission_id, user_id, %slot, attempt, outcome, reason, elapsed_ms, "mission done")
            }
        }
    }
}
