//! What a tick has in flight, and what it claims next.

use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;

use super::Runner;
use crate::attempt::{Report, Worker};
use crate::llm::breaker::{Permit, Why};
use crate::store::StoreError;
use crate::store::schedule::claim::{ClaimScope, ClaimTerms, claim};
use crate::store::schedule::claimed::ClaimedMission;

/// The attempts that a tick has begun, and why it begins no more.
#[derive(Default)]
pub(super) struct InFlight {
    pub(super) attempts: JoinSet<(ClaimedMission, Report)>,
    /// Is one of the attempts at a poison candidate? Then no second one is claimed beside it.
    pub(super) has_poison_candidate: bool,
    pub(super) stop_reason: Option<StopReason>,
}

/// Why a tick claims no more, though something may still be due.
pub(super) enum StopReason {
    /// The database did not answer the claim as asked.
    Database(StoreError),
    /// The circuit breaker denies calls of mana-llm; the text says why and until when.
    CircuitOpen(String),
    /// An attempt ended in a way in which every further attempt would end too. The attempt's own error is reported.
    AttemptsFail,
}

/// What there is to begin at this moment.
pub(super) enum Claimed {
    /// At least one mission. More may be due, of users who were not among the oldest.
    Missions(Vec<ClaimedMission>),
    /// Nothing more is due.
    NothingDue,
    /// As many attempts are in flight as may be; claim again once one has ended.
    Full,
    /// [`InFlight::stop_reason`] says why nothing more is claimed in this tick.
    Stopped,
}

/// Why the circuit breaker denies calls, and until when, for operators.
pub(super) fn denied(why: &Why, wait: Duration) -> String {
    format!("{why}; the next call in {} s", wait.as_secs())
}

impl Runner {
    /// Claims as many missions as there is room for: up to `concurrency` in flight, but one at a time while the
    /// circuit breaker allows only a probe.
    pub(super) async fn claim_next(&self, due_at: Timestamp, in_flight: &mut InFlight) -> Claimed {
        let missions = match self.worker.llm.permit() {
            Permit::Any => self.settings.concurrency.saturating_sub(in_flight.attempts.len()),
            Permit::Probe => usize::from(in_flight.attempts.is_empty()),
            Permit::Denied { why, wait } => {
                in_flight.stop_reason = Some(StopReason::CircuitOpen(denied(&why, wait)));
                return Claimed::Stopped;
            }
        };
        if missions == 0 {
            return Claimed::Full;
        }
        let poison_candidate = !in_flight.has_poison_candidate;
        let scope = ClaimScope::Due { at: due_at, missions, poison_candidate };
        match claim(&self.worker.store, self.claim_terms(), scope).await {
            Ok(claimed) if claimed.is_empty() => Claimed::NothingDue,
            Ok(claimed) => {
                self.count_claim(&claimed);
                Claimed::Missions(claimed)
            }
            Err(error) => {
                in_flight.stop_reason = Some(StopReason::Database(error));
                Claimed::Stopped
            }
        }
    }

    /// The terms of every claim of this process.
    pub(super) fn claim_terms(&self) -> ClaimTerms {
        let Worker { replica, lease, .. } = self.worker;
        ClaimTerms { replica, per_user: self.settings.per_user, lease }
    }
}
