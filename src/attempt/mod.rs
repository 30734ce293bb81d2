//! One attempt at a claimed mission: read, prompt, call, parse, write back.
//!
//! The model is called with no transaction and no connection held; everything that was true before the
//! call is checked again in the transaction that writes. Every attempt ends in the ledger.

mod budget;
mod commit;
mod ending;
mod error;
mod failure;
mod heal;
mod read;
mod recheck;
mod report;
pub mod retry;
mod unread;
mod write_retry;

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;
use uuid::Uuid;

use ending::Ending;
pub use error::AttemptError;
use read::Read;
pub use report::Report;

use crate::attempt::retry::RetryPolicy;
use crate::domain::run::Usage;
use crate::llm::client::Completion;
use crate::llm::error::FinishReason;
use crate::llm::service::LlmService;
use crate::metrics::{GaugeGuard, Metrics};
use crate::planner::plan::{Plan, PlanError};
use crate::planner::prompt::{self, Messages};
use crate::planner::tools::TOOLS;
use crate::planner::version::PROMPT_VERSION;
use crate::store::schedule::claim;
use crate::store::schedule::claimed::{ClaimedMission, POISON_CANDIDATE_AFTER};
use crate::store::{Store, preflight};

/// What an attempt works with.
#[derive(Debug, Clone)]
pub struct Worker {
    /// The database.
    pub store: Store,
    /// The model.
    pub llm: Arc<LlmService>,
    /// The zone of cadences whose user's zone nothing tells.
    pub default_zone: TimeZone,
    /// How long a lease lasts; it is renewed at a third of that.
    pub lease: Duration,
    /// How often a slot is tried, and when.
    pub policy: RetryPolicy,
    /// The id of this process in the ledger. Random, so two processes of one host differ.
    pub replica: Uuid,
    /// `MAX_UNREAD_PER_USER`; `None` sets no bound.
    pub max_unread_per_user: Option<usize>,
    /// `CALLS_PER_USER_PER_DAY`; `None` sets no bound.
    pub calls_per_user_per_day: Option<u32>,
    /// Cancelled shortly before `DRAIN_TIMEOUT_MS` is over: calls in flight are dropped and their leases given back.
    pub abandon: CancellationToken,
    /// The metrics that count attempts.
    pub metrics: Arc<Metrics>,
}

impl Worker {
    /// Makes one attempt at the mission, and writes its end into the schedule and the ledger.
    #[tracing::instrument(name = "mission", skip_all, fields(mission_id = claimed.mission_id, user_id = claimed.user_id,
        slot = %claimed.slot.0, attempt = claimed.attempt.0, run_id = claimed.run_id, prompt_version, outcome, otel.status_code))]
    pub async fn attempt(&self, claimed: &ClaimedMission) -> Report {
        let _in_flight = GaugeGuard::by(&self.metrics.in_flight_missions);
        let mut usage = Usage::default();
        // Parked only after POISON_CANDIDATE_AFTER + 1 losses, so that at least one attempt ran without another
        // poison candidate beside it.
        let attempt = if claimed.lost.0 >= self.policy.max_attempts.max(POISON_CANDIDATE_AFTER + 1) {
            Err(AttemptError::NeverReturned(claimed.lost.0))
        } else {
            self.plan(claimed, &mut usage).await
        };
        let report = match attempt {
            Ok(report) => report,
            Err(error) => self.fail(claimed, error, &usage).await,
        };
        report.record();
        report.count(&self.metrics);
        report
    }

    async fn plan(&self, claimed: &ClaimedMission, usage: &mut Usage) -> Result<Report, AttemptError> {
        // Before the mission is read, which costs far more. The end of an attempt that calls nobody gives the call back.
        if !self.has_a_call(claimed).await? {
            return self.wait_for_budget(claimed).await;
        }
        let (messages, kept) = match self.read(claimed).await? {
            Read::Due(messages, kept) => (messages, kept),
            Read::Skipped(report) => return Ok(report),
        };
        usage.prompt_version = Some(PROMPT_VERSION.clone());
        tracing::Span::current().record("prompt_version", PROMPT_VERSION.as_str());
        // A task of its own, because renewals must go on while the plan is written.
        let mut renewal =
            AbortOnDropHandle::new(tokio::spawn(self.clone().renew(claimed.clone()).in_current_span()));
        let plan = tokio::select! {
            plan = self.ask(claimed, &messages, usage) => plan?,
            () = self.abandon.cancelled() => return Err(AttemptError::Interrupted),
            _ = &mut renewal => return Ok(self.lease_lost(claimed, false, usage).await),
        };
        let written = self.write(claimed, Ending::Planned(&plan), kept, usage).await;
        written.map_err(|error| AttemptError::WriteBack(Box::new(error)))
    }

    /// Asks for a plan. Where the answer is none, asks once more and says what was wrong, if the user has a call left.
    async fn ask(
        &self,
        claimed: &ClaimedMission,
        messages: &Messages,
        usage: &mut Usage,
    ) -> Result<Plan, AttemptError> {
        let answer = self.llm.complete(messages, usage).await?;
        let fault = match read_plan(&answer) {
            Ok(plan) => return Ok(plan),
            Err(fault) => fault,
        };
        tracing::debug!(%fault, "no usable plan, asking for a repair");
        // The first call took its time: could the result of another one still be stored?
        preflight(&self.store).await?;
        if !self.has_a_call(claimed).await? {
            return Err(fault.into());
        }
        self.metrics.repairs_total.inc();
        let repair = prompt::repair(messages, &answer.content, &fault);
        Ok(read_plan(&self.llm.complete(&repair, usage).await?)?)
    }

    /// Renews the lease at each third of it; returns once it is no longer ours. After a database error it goes on,
    /// because the lease may still be ours.
    async fn renew(self, claimed: ClaimedMission) {
        loop {
            tokio::time::sleep(self.lease / 3).await;
            let renewed = claim::renew(&self.store, &claimed, self.lease).await;
            self.metrics.count_renewal(renewed.as_ref().ok().copied());
            match renewed {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => tracing::debug!(mission_id = claimed.mission_id, %error, "lease not renewed"),
            }
        }
    }
}

/// The plan of an answer. JSON that ends too early is named by its cause, where mana-llm told that the model reached its
/// limit: a repair then needs a shorter plan, not better JSON.
fn read_plan(answer: &Completion) -> Result<Plan, PlanError> {
    Plan::read(&answer.content, &TOOLS).map_err(|fault| match fault {
        PlanError::NotJson { .. } | PlanError::OpenFence if answer.stopped == Some(FinishReason::Length) => {
            PlanError::CutAtLimit
        }
        fault => fault,
    })
}
