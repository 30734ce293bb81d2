//! What a tick did: the answer of `POST /internal/tick` and the output of `mana-ai tick`.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::attempt::Report;
use crate::domain::run::RunOutcome;
use crate::domain::time::iso;

/// The entry of `errors` where no tick ran because another one was running.
pub const OVERLAP_SKIPPED: &str = "overlap-skipped";

/// What a tick did. The JSON of `POST /internal/tick`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[cfg_attr(feature = "demo", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct TickStats {
    /// The database's clock at the start of the tick, ISO 8601; this machine's where no database was asked.
    pub scanned_at: String,
    /// Missions that this tick claimed.
    pub due_mission_count: usize,
    /// Plans that passed validation.
    pub plans_produced: usize,
    /// Plans that were written to the log.
    pub plans_written_back: usize,
    /// Attempts without a usable plan though the model answered.
    pub parse_failures: usize,
    /// Attempts whose lease was lost before the plan was written, so that nothing was written. Logged, not answered.
    #[serde(skip)]
    pub leases_lost: usize,
    /// Attempts that could not end because of the database. They are reported as one error.
    #[serde(skip)]
    deferred: usize,
    /// What the database said to the first of them.
    #[serde(skip)]
    database_error: Option<String>,
    /// One line per error. The line of a mission starts with `mission <id>: `.
    pub errors: Vec<String>,
}

impl TickStats {
    /// The stats of a tick that has done nothing yet.
    pub(crate) fn at(scanned_at: Timestamp) -> Self {
        Self { scanned_at: iso(scanned_at), ..Self::default() }
    }

    /// Adds the missions that the refresh could not read, each with the reason.
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
            self.deferred += 1;
            self.database_error.get_or_insert_with(|| reason.to_owned());
        } else if report.is_error() {
            self.errors.push(format!("mission {mission_id}: {reason}"));
        }
    }

    /// How many attempts could not end because of the database.
    pub(crate) fn deferred(&self) -> usize {
        self.deferred
    }

    /// The numbers alone, for the status page: texts of errors are for the caller of the tick only.
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

    /// Adds one error for all attempts that could not end because of the database.
    pub(crate) fn sum_up_deferred(&mut self) {
        if let Some(reason) = self.database_error.take() {
            self.errors.push(format!("{} mission(s) put off: {reason}", self.deferred));
        }
    }
}
