//! What a tick did, as it is answered and printed.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::attempt::Report;
use crate::domain::run::RunOutcome;
use crate::domain::time::iso;

/// In `errors` where a tick found another one running.
pub const OVERLAP_SKIPPED: &str = "overlap-skipped";

/// What a tick did. The JSON of `POST /internal/tick`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TickStats {
    /// The database's clock at the scan, ISO 8601; ours where no database was asked.
    pub scanned_at: String,
    /// Missions that this tick took on.
    pub due_mission_count: usize,
    /// Plans that passed validation.
    pub plans_produced: usize,
    /// Plans that are in the log.
    pub plans_written_back: usize,
    /// Answers that were no usable plan.
    pub parse_failures: usize,
    /// Missions whose lease went before their plan was written: refused, nothing is written. In the log only.
    #[serde(skip)]
    pub leases_lost: usize,
    /// Missions that the database kept from their end.
    #[serde(skip)]
    put_off: usize,
    /// What it said to the first of them.
    #[serde(skip)]
    database: Option<String>,
    /// One line each; a mission's starts with `mission <id>: `.
    pub errors: Vec<String>,
}

impl TickStats {
    /// Of a tick that has done nothing yet.
    pub(crate) fn at(scanned_at: Timestamp) -> Self {
        Self { scanned_at: iso(scanned_at), ..Self::default() }
    }

    /// Adds missions, with the reason, that turned out unreadable.
    pub(crate) fn count_unreadable(&mut self, missions: Vec<(String, String)>) {
        for (mission_id, reason) in missions {
            tracing::warn!(mission_id, reason, "mission cannot be read");
            self.errors.push(format!("mission {mission_id}: {reason}"));
        }
    }

    /// Adds one attempt.
    pub(crate) fn count(&mut self, mission_id: &str, report: &Report) {
        self.plans_produced += usize::from(report.planned);
        self.plans_written_back += usize::from(report.outcome == RunOutcome::Planned);
        self.parse_failures += usize::from(report.unusable);
        self.leases_lost += usize::from(report.outcome == RunOutcome::LeaseLost);
        let reason = report.reason.as_deref().unwrap_or_default();
        if report.outcome == RunOutcome::Database {
            self.put_off += 1;
            self.database.get_or_insert_with(|| reason.to_owned());
        } else if report.is_error() {
            self.errors.push(format!("mission {mission_id}: {reason}"));
        }
    }

    /// For other eyes than the caller's: without the texts of the errors.
    pub(crate) fn counts(&self) -> serde_json::Value {
        serde_json::json!({
            "scannedAt": self.scanned_at,
            "dueMissionCount": self.due_mission_count,
            "plansProduced": self.plans_produced,
            "plansWrittenBack": self.plans_written_back,
            "parseFailures": self.parse_failures,
            "errors": self.errors.len(),
        })
    }

    /// One line for all that the same database kept from their end.
    pub(crate) fn sum_up(&mut self) {
        if let Some(reason) = self.database.take() {
            self.errors.push(format!("{} mission(s) put off: {reason}", self.put_off));
        }
    }
}
