//! One attempt at a claimed mission: read, prompt, call, parse, write back.
//!
//! The model is called with no transaction and no connection held; everything that was true before the
//! call is checked again in the transaction that writes. Every attempt ends in the ledger.

mod error;
mod examine;
mod patience;
mod report;

use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

pub use error::AttemptError;
use examine::{Finding, examine, visible};
use patience::Patience;
pub use report::Report;

use crate::domain::change::NewChange;
use crate::domain::iteration::{Iteration, iteration_id};
use crate::domain::mission::Mission;
use crate::gate::Gate;
use crate::planner::plan::Plan;
use crate::planner::prompt::{self, Messages};
use crate::planner::retry::{Next, RetryPolicy, rest_after};
use crate::planner::tools::TOOLS;
use crate::store::changes::fold_mission;
use crate::store::runs::{RunEnd, RunOutcome, Spent, finish};
use crate::store::schedule::{self, ClaimedMission, Retry};
use crate::store::write_back::{Advance, is_last_word, lock, settle, write_back};
use crate::store::{Store, StoreError, TRANSACTION, UserTx, within};

/// What an attempt works with.
#[derive(Debug, Clone)]
pub struct Worker {
    /// The database.
    pub store: Store,
    /// The model.
    pub gate: Arc<Gate>,
    /// The zone of cadences whose user's zone nothing tells.
    pub default_zone: TimeZone,
    /// How long a lease lasts; it is renewed at a third of that.
    pub lease: Duration,
    /// How often a slot is tried, and when.
    pub policy: RetryPolicy,
    /// Who this process is, in the ledger: random, so that two of one host are two.
    pub replica: Uuid,
    /// Cancelled when what runs has had its time: calls are dropped, leases given back.
    pub abandon: CancellationToken,
}

/// What a slot ends with, and what goes with it.
#[derive(Clone, Copy)]
enum Ending<'attempt> {
    Planned(&'attempt Plan),
    /// The last attempt failed.
    Failed(&'attempt AttemptError),
}

impl Worker {
    /// Works on the mission to the end, and gives up its lease if that is no plan.
    pub async fn attempt(&self, claimed: &ClaimedMission) -> Report {
        let mut spent = Spent::default();
        let attempt = if claimed.lost.0 >= self.policy.max_attempts {
            Err(AttemptError::NeverReturned(claimed.lost.0))
        } else {
            self.plan(claimed, &mut spent).await
        };
        match attempt {
            Ok(report) => report,
            Err(error) => self.fail(claimed, error, &spent).await,
        }
    }

    async fn plan(&self, claimed: &ClaimedMission, spent: &mut Spent) -> Result<Report, AttemptError> {
        let mission = match self.read(claimed).await? {
            Ok(mission) => mission,
            Err(report) => return Ok(report),
        };
        let zone = mission.zone(&self.default_zone);
        let messages = prompt::messages(&mission, &TOOLS, claimed.claimed_at.0, &zone);
        // In a task of its own, for it goes on while the result is written.
        let mut renewal = AbortOnDropHandle::new(tokio::spawn(self.clone().renew(claimed.clone())));
        let plan = tokio::select! {
            plan = self.ask(&messages, spent) => plan?,
            () = self.abandon.cancelled() => return Err(AttemptError::Interrupted),
            _ = &mut renewal => return Ok(self.lease_lost(claimed, false, spent).await),
        };
        let written = self.write(claimed, Ending::Planned(&plan), spent).await;
        written.map_err(|error| AttemptError::WriteBack(Box::new(error)))
    }

    /// The plan, after one chance to repair an answer that is none.
    async fn ask(&self, messages: &Messages, spent: &mut Spent) -> Result<Plan, AttemptError> {
        let answer = self.gate.complete(messages, spent).await?.content;
        let fault = match Plan::read(&answer, &TOOLS) {
            Ok(plan) => return Ok(plan),
            Err(fault) => fault,
        };
        tracing::debug!(%fault, "no usable plan, asking for a repair");
        let answer = self.gate.complete(&prompt::repair(messages, &answer, &fault), spent).await?.content;
        Ok(Plan::read(&answer, &TOOLS)?)
    }

    /// Folds the mission: the schedule may be behind the log, which alone decides. `Err` is the end of an
    /// attempt that has nothing to do.
    async fn read(&self, claimed: &ClaimedMission) -> Result<Result<Mission, Report>, AttemptError> {
        let read = async {
            let mut tx = UserTx::begin(&self.store, &claimed.user_id).await?;
            let folded = fold_mission(&mut tx, &claimed.mission_id).await?;
            Ok((tx, folded))
        };
        let (tx, folded) = within(TRANSACTION, read).await?;
        let change_count = visible(folded.change_count)?;
        match examine(folded.record?, claimed, tx.began_at(), &self.default_zone)? {
            Finding::Due(mission) => {
                within(TRANSACTION, tx.rollback()).await?;
                Ok(Ok(*mission))
            }
            finding => Ok(Err(self.step_back(tx, claimed, finding, change_count, None).await?)),
        }
    }

    /// Repeats a write whose end is not known, and keeps the result while the database is gone.
    async fn write(
        &self,
        claimed: &ClaimedMission,
        ending: Ending<'_>,
        spent: &Spent,
    ) -> Result<Report, AttemptError> {
        let mut patience = Patience::new(self.lease, &self.abandon);
        loop {
            let again = patience.tries() > 0;
            match self.write_once(claimed, ending, spent, again).await {
                Ok(Some(report)) => return Ok(report),
                Ok(None) => {
                    let planned = matches!(ending, Ending::Planned(_));
                    return Ok(self.lease_lost(claimed, planned, spent).await);
                }
                Err(error) => patience.after(error).await?,
            }
        }
    }

    /// One transaction: lock, fold, check everything again, append to the *fresh* iterations, and move
    /// the schedule on. `None` where the lease is no longer ours.
    async fn write_once(
        &self,
        claimed: &ClaimedMission,
        ending: Ending<'_>,
        spent: &Spent,
        again: bool,
    ) -> Result<Option<Report>, AttemptError> {
        let id = iteration_id(&claimed.mission_id, claimed.slot.0);
        let begin = async {
            let mut tx = UserTx::begin(&self.store, &claimed.user_id).await?;
            let now = lock(&mut tx, &claimed.mission_id).await?;
            let folded = fold_mission(&mut tx, &claimed.mission_id).await?;
            Ok((tx, now, folded))
        };
        let (mut tx, now, folded) = within(TRANSACTION, begin).await?;
        let (record, change_count) = (folded.record?, visible(folded.change_count)?);
        // The lease ended with the commit whose reply was lost, so this comes before the lease.
        let stands = |record| Mission::read(&claimed.mission_id, record).is_ok_and(|m| m.has_iteration(&id));
        if again && record.as_ref().is_some_and(stands) {
            tx.rollback().await?;
            return Ok(Some(ending.report()));
        }
        let mission = match examine(record, claimed, now, &self.default_zone)? {
            Finding::Due(mission) => mission,
            finding => {
                return Ok(Some(self.step_back(tx, claimed, finding, change_count, Some(spent)).await?));
            }
        };
        let next = mission.next_run(now, &self.default_zone)?;
        let iteration = ending.iteration(id, claimed, now, next.is_some());
        let timestamp = mission.write_timestamp(now)?;
        let change =
            NewChange::append(&mission.iterations, &iteration, next, timestamp).map_err(StoreError::from)?;
        let failed_slots = ending.failed_slots(claimed);
        let advance =
            Advance { next, change_count: change_count + 1, failed_slots, rest: rest_after(failed_slots) };
        let end = RunEnd { iteration_id: Some(iteration.id), ..ending.end(spent) };
        let commit = async {
            if !write_back(&mut tx, claimed, &change, advance, &end).await? {
                tx.rollback().await?;
                return Ok(None);
            }
            if !is_last_word(&mut tx, &claimed.mission_id, change_count + 1).await? {
                tx.rollback().await?;
                return Err(StoreError::Busy);
            }
            tx.commit().await?;
            Ok(Some(ending.report()))
        };
        Ok(within(TRANSACTION, commit).await?)
    }

    /// Leaves a mission that is not to be planned now, and says why. `spent` where there was a plan.
    async fn step_back(
        &self,
        mut tx: UserTx,
        claimed: &ClaimedMission,
        finding: Finding,
        change_count: i64,
        spent: Option<&Spent>,
    ) -> Result<Report, StoreError> {
        let outcome = if spent.is_some() { RunOutcome::Outdated } else { RunOutcome::Skipped };
        let end = |reason| RunEnd::of(outcome, Some(reason), &spent.cloned().unwrap_or_default());
        let reason = match finding {
            Finding::Waits { retry, reason } => {
                within(TRANSACTION, tx.rollback()).await?;
                schedule::release(&self.store, claimed, retry, &end(reason.clone())).await?;
                reason
            }
            Finding::Moved { next } => {
                let reason = "the mission changed, it is not due at this slot any more".to_owned();
                let end = end(reason.clone());
                let settled = async {
                    settle(&mut tx, claimed, next, change_count, &end).await?;
                    tx.commit().await
                };
                within(TRANSACTION, settled).await?;
                reason
            }
            Finding::Due(_) => unreachable!("a due mission is planned"),
        };
        Ok(Report::of(outcome, outcome == RunOutcome::Outdated, Some(reason)))
    }

    /// Another replica has the mission, or soon will: only the ledger is ours to write.
    async fn lease_lost(&self, claimed: &ClaimedMission, planned: bool, spent: &Spent) -> Report {
        let outcome = RunOutcome::LeaseLost;
        if let Err(error) = finish(&self.store, claimed, &RunEnd::of(outcome, None, spent)).await {
            tracing::debug!(mission_id = claimed.mission_id, %error, "run not ended");
        }
        Report::of(outcome, planned, None)
    }

    /// Decides what comes after a failure, and sees to it.
    async fn fail(&self, claimed: &ClaimedMission, error: AttemptError, spent: &Spent) -> Report {
        let luck = f64::from(claimed.lease_token.as_fields().0) / f64::from(u32::MAX);
        let (attempt, failed_slots) = (claimed.attempt.0, claimed.failed_slots.0);
        match self.policy.next(error.disposition(), attempt, failed_slots, luck) {
            Next::Again(after) => {
                self.release(claimed, Retry::After(after), error.outcome(), &error, spent).await
            }
            Next::OnNewRow => {
                self.release(claimed, Retry::OnNewRow, RunOutcome::Quarantined, &error, spent).await
            }
            Next::GiveUp => self.give_up(claimed, error, spent).await,
        }
    }

    /// Ends the slot visibly. Where not even that can be stored, the mission is set aside.
    async fn give_up(&self, claimed: &ClaimedMission, error: AttemptError, spent: &Spent) -> Report {
        match self.write(claimed, Ending::Failed(&error), spent).await {
            Ok(report) => report,
            Err(error) => self.put_off(claimed, error, spent).await,
        }
    }

    /// What could not be told to the user: later, if the database is to blame.
    async fn put_off(&self, claimed: &ClaimedMission, error: AttemptError, spent: &Spent) -> Report {
        let (retry, outcome) = match error.outcome() {
            outcome @ (RunOutcome::Database | RunOutcome::Interrupted) => {
                (Retry::After(Duration::ZERO), outcome)
            }
            _ => (Retry::OnNewRow, RunOutcome::Quarantined),
        };
        self.release(claimed, retry, outcome, &error, spent).await
    }

    /// Gives the lease back, also while the database is gone: else the attempt would count as lost.
    async fn release(
        &self,
        claimed: &ClaimedMission,
        retry: Retry,
        outcome: RunOutcome,
        error: &AttemptError,
        spent: &Spent,
    ) -> Report {
        let end = RunEnd::of(outcome, Some(error.to_string()), spent);
        let mut patience = Patience::new(self.lease, &self.abandon);
        while let Err(gone) = schedule::release(&self.store, claimed, retry, &end).await {
            if let Err(gone) = patience.after(gone.into()).await {
                tracing::debug!(mission_id = claimed.mission_id, %gone, "lease not given back, it will expire");
                break;
            }
        }
        Report::failed(outcome, error)
    }

    /// Ends when the lease is no longer ours. A database that does not answer is no such news.
    async fn renew(self, claimed: ClaimedMission) {
        loop {
            tokio::time::sleep(self.lease / 3).await;
            match schedule::renew(&self.store, &claimed, self.lease).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => tracing::debug!(mission_id = claimed.mission_id, %error, "lease not renewed"),
            }
        }
    }
}

impl Ending<'_> {
    fn outcome(self) -> RunOutcome {
        match self {
            Self::Planned(_) => RunOutcome::Planned,
            Self::Failed(_) => RunOutcome::SlotFailed,
        }
    }

    fn iteration(
        self,
        id: String,
        claimed: &ClaimedMission,
        finished: Timestamp,
        comes_again: bool,
    ) -> Iteration {
        let started = claimed.claimed_at.0;
        match self {
            Self::Planned(plan) => plan.clone().into_iteration(id, started, finished),
            Self::Failed(error) => {
                let summary = error.told_to_user(claimed.attempt.0, comes_again);
                Iteration::failed(id, started, finished, summary)
            }
        }
    }

    fn failed_slots(self, claimed: &ClaimedMission) -> u32 {
        match self {
            Self::Planned(_) => 0,
            Self::Failed(_) => claimed.failed_slots.0.saturating_add(1),
        }
    }

    fn end(self, spent: &Spent) -> RunEnd {
        let reason = match self {
            Self::Planned(_) => None,
            Self::Failed(error) => Some(error.to_string()),
        };
        RunEnd::of(self.outcome(), reason, spent)
    }

    fn report(self) -> Report {
        match self {
            Self::Planned(_) => Report::of(RunOutcome::Planned, true, None),
            Self::Failed(error) => Report::failed(RunOutcome::SlotFailed, error),
        }
    }
}
