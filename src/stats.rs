//! What a tick did, as it is answered and printed.

use serde::Serialize;
use tokio::task::JoinError;

use crate::attempt::{AttemptError, Outcome};

/// In `errors` where a tick found another one running.
pub const OVERLAP_SKIPPED: &str = "overlap-skipped";

/// What a tick did. The JSON of `POST /internal/tick`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
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
    /// One line each; a mission's starts with `mission <id>: `.
    pub errors: Vec<String>,
}

/// The end of an attempt's task: mission id and result.
type Joined = Result<(String, Result<Outcome, AttemptError>), JoinError>;

impl TickStats {
    /// Adds missions, with the reason, that turned out unreadable.
    pub(crate) fn count_unreadable(&mut self, missions: Vec<(String, String)>) {
        for (mission_id, reason) in missions {
            tracing::warn!(mission_id, reason, "mission cannot be read");
            self.errors.push(format!("mission {mission_id}: {reason}"));
        }
    }

    /// Adds one attempt.
    pub(crate) fn count(&mut self, attempt: Joined) {
        match attempt {
            Ok((_, Ok(Outcome::Written { .. }))) => {
                self.plans_produced += 1;
                self.plans_written_back += 1;
            }
            Ok((_, Ok(Outcome::Outdated(_)))) => self.plans_produced += 1,
            Ok((_, Ok(Outcome::LeaseLost { planned }))) => {
                self.leases_lost += 1;
                self.plans_produced += usize::from(planned);
            }
            Ok((_, Ok(Outcome::Skipped(_)))) => {}
            Ok((mission_id, Err(error))) => {
                self.plans_produced += usize::from(matches!(error, AttemptError::WriteBack(_)));
                self.parse_failures += usize::from(matches!(error, AttemptError::Plan(_)));
                self.errors.push(format!("mission {mission_id}: {error}"));
            }
            // The panic itself is in the log; the lease of its mission expires.
            Err(error) => self.errors.push(format!("an attempt ended early: {error}")),
        }
    }
}
