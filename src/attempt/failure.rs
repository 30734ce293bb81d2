//! What comes after a failed attempt.

use std::time::Duration;

use super::commit::Ending;
use super::write_retry::WriteRetry;
use super::{AttemptError, Report, Worker};
use crate::attempt::retry::{Next, Tried};
use crate::domain::run::Disposition;
use crate::domain::run::{RunEnd, RunOutcome, Usage};
use crate::store::schedule::claim::{self, ClaimedMission, Retry};

impl Worker {
    /// Decides what comes after a failure, and sees to it.
    pub(super) async fn fail(&self, claimed: &ClaimedMission, error: AttemptError, usage: &Usage) -> Report {
        let jitter = f64::from(claimed.lease_token.as_fields().0) / f64::from(u32::MAX);
        let tried = Tried {
            attempt: claimed.attempt.0,
            failed_slots: claimed.failed_slots.0,
            refusals: claimed.refusals.0,
            jitter,
        };
        let next = self.policy.next(error.disposition(), tried);
        match next {
            // Who asked for it is told; nobody waits for it.
            Next::Again(_) | Next::GiveUp if claimed.forced => {
                self.release(claimed, Retry::After(Duration::ZERO), error.outcome(), &error, usage).await
            }
            Next::Again(after) => {
                self.release(claimed, Retry::After(after), error.outcome(), &error, usage).await
            }
            Next::OnNewRow => {
                self.release(claimed, Retry::OnNewRow, RunOutcome::Quarantined, &error, usage).await
            }
            Next::GiveUp => self.give_up(claimed, error, usage).await,
        }
    }

    /// Ends the slot visibly. Where not even that can be stored, the mission is set aside.
    async fn give_up(&self, claimed: &ClaimedMission, error: AttemptError, usage: &Usage) -> Report {
        match self.write(claimed, Ending::Failed(&error), usage).await {
            Ok(report) => report,
            Err(error) => self.defer(claimed, error, usage).await,
        }
    }

    /// What could not be told to the user: later, if that may help.
    async fn defer(&self, claimed: &ClaimedMission, error: AttemptError, usage: &Usage) -> Report {
        let (retry, outcome) = match error.outcome() {
            outcome @ (RunOutcome::Database | RunOutcome::Interrupted) => {
                (Retry::After(Duration::ZERO), outcome)
            }
            // Somebody else was at the tables. The attempts stay used up, so this comes again; not for ever.
            outcome
                if error.disposition() == Disposition::Transient
                    && claimed.attempt.0 < 2 * self.policy.max_attempts =>
            {
                (Retry::After(self.policy.longest), outcome)
            }
            _ => (Retry::OnNewRow, RunOutcome::Quarantined),
        };
        self.release(claimed, retry, outcome, &error, usage).await
    }

    /// Gives the lease back, also while the database is gone: else the attempt would count as lost.
    async fn release(
        &self,
        claimed: &ClaimedMission,
        retry: Retry,
        outcome: RunOutcome,
        error: &AttemptError,
        usage: &Usage,
    ) -> Report {
        let end = RunEnd::of(outcome, Some(error.to_string()), usage);
        let mut write_retry = WriteRetry::new(self.lease, &self.abandon);
        while let Err(gone) = claim::release(&self.store, claimed, retry, &end).await {
            let Err(error) = write_retry.after(gone.into()).await else { continue };
            // That the database is gone has been said, once for all. Anything else is a fault of ours.
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
