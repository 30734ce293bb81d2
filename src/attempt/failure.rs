//! What comes after a failed attempt.

use std::time::Duration;

use super::ending::Ending;
use super::write_retry::WriteRetry;
use super::{AttemptError, Report, Worker};
use crate::attempt::retry::{NextAttempt, Tried};
use crate::domain::run::{Disposition, RunEnd, RunOutcome, Usage};
use crate::store::preflight;
use crate::store::schedule::claimed::ClaimedMission;
use crate::store::schedule::transition::{RetryAt, Transition, give_back};

/// The mission may be claimed again in the next tick.
const AT_ONCE: Transition = Transition::RetryAt(RetryAt::After(Duration::ZERO));

impl Worker {
    /// Decides what comes after a failure, and writes it.
    pub(super) async fn fail(&self, claimed: &ClaimedMission, error: AttemptError, usage: &Usage) -> Report {
        let disposition = self.disposition(claimed, &error).await;
        let (transition, outcome) = match self.policy.next(disposition, Tried::of(claimed)) {
            NextAttempt::After(wait) => (Transition::RetryAt(RetryAt::After(wait)), error.outcome()),
            NextAttempt::OnNewRow => (Transition::Parked, RunOutcome::Quarantined),
            // A run on demand before its slot is no attempt at a slot: its caller gets the outcome, nobody else.
            NextAttempt::NextSlot if claimed.forced => (AT_ONCE, error.outcome()),
            NextAttempt::NextSlot => return self.fail_slot(claimed, error, usage).await,
        };
        self.give_back(claimed, transition, outcome, &error, usage).await
    }

    /// What the failure means for the next attempt. A refusal by the server looks like its own fault; whether it is well
    /// otherwise, only another statement tells.
    async fn disposition(&self, claimed: &ClaimedMission, error: &AttemptError) -> Disposition {
        if !error.is_refusal_by_server() || preflight(&self.store).await.is_err() {
            return error.disposition();
        }
        let (mission_id, user_id) = (&claimed.mission_id, &claimed.user_id);
        tracing::warn!(mission_id, user_id, %error, "the database is well, and refuses this mission");
        Disposition::RefusedByDatabase
    }

    /// Ends the slot visibly for its user. Where that cannot be stored, the mission is deferred.
    async fn fail_slot(&self, claimed: &ClaimedMission, error: AttemptError, usage: &Usage) -> Report {
        match self.write(claimed, Ending::Failed(&error), None, usage).await {
            Ok(report) => report,
            Err(error) => self.defer(claimed, error, usage).await,
        }
    }

    /// The row that tells the user of the failed slot could not be written. Retries where that may help, else parks the
    /// mission.
    async fn defer(&self, claimed: &ClaimedMission, error: AttemptError, usage: &Usage) -> Report {
        let outcome = error.outcome();
        let disposition = self.disposition(claimed, &error).await;
        let conflict = disposition == Disposition::Transient;
        let (transition, outcome) = match outcome {
            RunOutcome::Database if disposition == Disposition::RefusedByDatabase => {
                (Transition::RetryAt(RetryAt::After(self.policy.longest)), outcome)
            }
            RunOutcome::Database | RunOutcome::Interrupted => (AT_ONCE, outcome),
            // A conflict with another writer is charged and retried, up to twice the usual number of attempts.
            _ if conflict && claimed.attempt.0 < 2 * self.policy.max_attempts => {
                (Transition::RetryAt(RetryAt::After(self.policy.longest)), outcome)
            }
            _ => (Transition::Parked, RunOutcome::Quarantined),
        };
        self.give_back(claimed, transition, outcome, &error, usage).await
    }

    /// Gives the lease back, also while the database is gone: else the attempt would count as lost.
    async fn give_back(
        &self,
        claimed: &ClaimedMission,
        transition: Transition,
        outcome: RunOutcome,
        error: &AttemptError,
        usage: &Usage,
    ) -> Report {
        let end = RunEnd::of(outcome, Some(error.to_string()), usage);
        let mut write_retry = WriteRetry::new(self);
        while let Err(gone) = give_back(&self.store, claimed, transition, &end).await {
            let Err(error) = write_retry.after(gone.into()).await else { continue };
            // That the database is gone has been logged, once for all missions. Anything else is a fault of ours.
            if error.disposition() == Disposition::Uncharged {
                tracing::debug!(mission_id = claimed.mission_id, %error, "lease not given back, it will expire");
            } else {
                tracing::error!(mission_id = claimed.mission_id, %error, "lease not given back, it will expire");
            }
            break;
        }
        Report::failed(outcome, error)
    }
}
