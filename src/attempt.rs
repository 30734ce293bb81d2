//! One attempt at a claimed mission: read, prompt, call, parse, write back.
//!
//! The model is called with no transaction and no connection held; everything that was true before the
//! call is checked again in the transaction that writes.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use tokio_util::sync::CancellationToken;

use crate::domain::change::NewChange;
use crate::domain::fold::Record;
use crate::domain::iteration::iteration_id;
use crate::domain::mission::{Mission, Standing, Unreadable, Waiting};
use crate::planner::llm::{LlmClient, LlmError};
use crate::planner::plan::{Plan, PlanError};
use crate::planner::{prompt, tools::TOOLS};
use crate::store::changes::fold_mission;
use crate::store::schedule::{self, ClaimedMission, Retry};
use crate::store::write_back::{is_last_word, lock, settle, write_back};
use crate::store::{Store, StoreError, UserTx};

/// A COMMIT whose reply was lost, a deadlock: the write-back is repeated, for it can tell what is done.
const WRITE_TRIES: u32 = 3;
const WRITE_RETRY_DELAY: Duration = Duration::from_millis(200);

/// What an attempt works with.
#[derive(Debug, Clone)]
pub struct Worker {
    /// The database.
    pub store: Store,
    /// The model.
    pub llm: LlmClient,
    /// The zone of cadences whose user's zone nothing tells.
    pub default_zone: TimeZone,
    /// How long a lease lasts; it is renewed at a third of that.
    pub lease: Duration,
}

/// How an attempt ended without a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The plan is in the log.
    Written {
        /// How many steps it has.
        steps: usize,
    },
    /// A plan was made and thrown away, because of what happened during the call.
    Outdated(String),
    /// The lease was no longer ours, so nothing was written.
    LeaseLost {
        /// Was there a plan already?
        planned: bool,
    },
    /// No plan was made, for this reason.
    Skipped(String),
}

/// Why an attempt failed. None of the messages holds text of the mission or of the model.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each is the error of the part that it names")]
pub enum AttemptError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error(transparent)]
    Llm(#[from] LlmError),
    #[error("no usable plan: {0}")]
    Plan(#[from] PlanError),
    #[error("plan not written: {0}")]
    WriteBack(Box<AttemptError>),
}

/// What the log says of a claimed mission at this moment.
enum Finding {
    /// To be planned, for exactly the claimed slot.
    Due(Box<Mission>),
    /// Paused, deleted, or at another slot.
    Moved { next: Option<Timestamp> },
    /// Due, but to be left for now.
    Waits { retry: Retry, reason: String },
}

/// A mission that was found due, and when that was.
struct Due {
    mission: Mission,
    found_at: Timestamp,
}

impl Worker {
    /// Works on the mission to the end, and gives up its lease if that is no plan.
    pub async fn attempt(&self, claimed: &ClaimedMission) -> Result<Outcome, AttemptError> {
        let attempt = self.plan(claimed).await;
        if let Err(error) = &attempt {
            let released =
                schedule::release(&self.store, claimed, error.retry(), Some(&error.to_string())).await;
            if let Err(error) = released {
                tracing::warn!(mission_id = claimed.mission_id, %error, "lease not released, it will expire");
            }
        }
        attempt
    }

    async fn plan(&self, claimed: &ClaimedMission) -> Result<Outcome, AttemptError> {
        let due = match self.read(claimed).await? {
            Ok(due) => due,
            Err(reason) => return Ok(Outcome::Skipped(reason)),
        };
        let zone = due.mission.zone(&self.default_zone);
        let messages = prompt::messages(&due.mission, &TOOLS, due.found_at, &zone);
        // In a task that ends between two renewals: one that is dropped in the middle of a statement would
        // leave its connection in a transaction.
        let done = CancellationToken::new();
        let renewal = self.clone().renew_until(done.clone(), claimed.clone());
        let mut renewal = tokio::spawn(renewal);
        let _ends_renewal = done.drop_guard();
        let completion = tokio::select! {
            completion = self.llm.complete(&messages) => completion?,
            _ = &mut renewal => return Ok(Outcome::LeaseLost { planned: false }),
        };
        tracing::debug!(
            mission_id = claimed.mission_id,
            model = completion.resolved_model,
            prompt_tokens = completion.usage.prompt_tokens,
            completion_tokens = completion.usage.completion_tokens,
            "mana-llm answered"
        );
        let plan = Plan::read(&completion.content, &TOOLS)?;
        let written = self.write_until_known(claimed, &plan, due.found_at).await;
        written.map_err(|error| AttemptError::WriteBack(Box::new(error)))
    }

    /// Folds the mission: the schedule may be behind the log, which alone decides. `Err` is the reason
    /// to leave it.
    async fn read(&self, claimed: &ClaimedMission) -> Result<Result<Due, String>, AttemptError> {
        let mut tx = UserTx::begin(&self.store, &claimed.user_id).await?;
        let found_at = tx.began_at();
        let folded = fold_mission(&mut tx, &claimed.mission_id).await?;
        let change_count = visible(folded.change_count)?;
        match examine(folded.record?, claimed, found_at, &self.default_zone)? {
            // Nothing was written: the transaction ends with `tx`, without waiting for it.
            Finding::Due(mission) => Ok(Ok(Due { mission: *mission, found_at })),
            finding => Ok(Err(self.step_back(tx, claimed, finding, change_count).await?)),
        }
    }

    /// Repeats a write whose end is not known.
    async fn write_until_known(
        &self,
        claimed: &ClaimedMission,
        plan: &Plan,
        started: Timestamp,
    ) -> Result<Outcome, AttemptError> {
        let mut tries = 1;
        loop {
            match self.write(claimed, plan.clone(), started, tries > 1).await {
                Err(AttemptError::Store(error @ (StoreError::Database(_) | StoreError::Busy)))
                    if tries < WRITE_TRIES =>
                {
                    tracing::warn!(mission_id = claimed.mission_id, tries, %error, "write-back is repeated");
                    tokio::time::sleep(WRITE_RETRY_DELAY * tries).await;
                    tries += 1;
                }
                result => return result,
            }
        }
    }

    /// One transaction: lock, fold, check everything again, append to the *fresh* iterations, and move
    /// the schedule on.
    async fn write(
        &self,
        claimed: &ClaimedMission,
        plan: Plan,
        started: Timestamp,
        again: bool,
    ) -> Result<Outcome, AttemptError> {
        let steps = plan.steps.len();
        let id = iteration_id(&claimed.mission_id, claimed.slot.0);
        let mut tx = UserTx::begin(&self.store, &claimed.user_id).await?;
        let now = lock(&mut tx, &claimed.mission_id).await?;
        let folded = fold_mission(&mut tx, &claimed.mission_id).await?;
        let (record, change_count) = (folded.record?, visible(folded.change_count)?);
        // The lease ended with the commit whose reply was lost, so this comes before the lease.
        let stands = |record| Mission::read(&claimed.mission_id, record).is_ok_and(|m| m.has_iteration(&id));
        if again && record.as_ref().is_some_and(stands) {
            return Ok(Outcome::Written { steps });
        }
        let mission = match examine(record, claimed, now, &self.default_zone)? {
            Finding::Due(mission) => mission,
            finding => {
                return Ok(Outcome::Outdated(self.step_back(tx, claimed, finding, change_count).await?));
            }
        };
        let next = mission.next_run(now, &self.default_zone)?;
        let iteration = plan.into_iteration(id, started, now);
        let timestamp = mission.write_timestamp(now)?;
        let change =
            NewChange::append(&mission.iterations, &iteration, next, timestamp).map_err(StoreError::from)?;
        if !write_back(&mut tx, claimed, &change, next, change_count + 1).await? {
            return Ok(Outcome::LeaseLost { planned: true });
        }
        if !is_last_word(&mut tx, &claimed.mission_id, change_count + 1).await? {
            return Err(StoreError::Busy.into());
        }
        tx.commit().await?;
        Ok(Outcome::Written { steps })
    }

    /// Leaves a mission that is not to be planned now, and says why.
    async fn step_back(
        &self,
        mut tx: UserTx,
        claimed: &ClaimedMission,
        finding: Finding,
        change_count: i64,
    ) -> Result<String, StoreError> {
        match finding {
            Finding::Waits { retry, reason } => {
                drop(tx);
                schedule::release(&self.store, claimed, retry, Some(&reason)).await?;
                Ok(reason)
            }
            Finding::Moved { next } => {
                settle(&mut tx, claimed, next, change_count).await?;
                tx.commit().await?;
                Ok("the mission changed, it is not due at this slot any more".into())
            }
            Finding::Due(_) => unreachable!("a due mission is planned"),
        }
    }

    /// Ends when `done`, or when the lease is no longer ours. A database that does not answer is no such
    /// news.
    async fn renew_until(self, done: CancellationToken, claimed: ClaimedMission) {
        loop {
            tokio::select! {
                () = done.cancelled() => return,
                () = tokio::time::sleep(self.lease / 3) => {}
            }
            match schedule::renew(&self.store, &claimed, self.lease).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => tracing::warn!(mission_id = claimed.mission_id, %error, "lease not renewed"),
            }
        }
    }
}

/// A claimed mission had rows a moment ago, and the log only grows.
fn visible(change_count: i64) -> Result<i64, StoreError> {
    if change_count == 0 { Err(StoreError::Invisible) } else { Ok(change_count) }
}

/// Compares the log with what was claimed.
fn examine(
    record: Option<Record>,
    claimed: &ClaimedMission,
    now: Timestamp,
    default_zone: &TimeZone,
) -> Result<Finding, Unreadable> {
    let Some(record) = record else { return Ok(Finding::Moved { next: None }) };
    match Standing::of(&record)? {
        Standing::Scheduled(slot) if slot == claimed.slot.0 => {}
        Standing::Scheduled(slot) => return Ok(Finding::Moved { next: Some(slot) }),
        Standing::Off(_) => return Ok(Finding::Moved { next: None }),
    }
    let mission = Mission::read(&claimed.mission_id, &record)?;
    // Before anything is spent: could a result be written at all, and is there a slot to go to?
    mission.write_timestamp(now)?;
    mission.next_run(now, default_zone)?;
    Ok(match mission.waits(now) {
        Some(waiting) => {
            let retry = if let Waiting::ForegroundRunner { until } = waiting {
                Retry::At(until)
            } else {
                Retry::OnNewRow
            };
            Finding::Waits { retry, reason: waiting.to_string() }
        }
        None => Finding::Due(Box::new(mission)),
    })
}

impl AttemptError {
    /// When to try again. Nothing but a new row makes an unreadable mission readable.
    fn retry(&self) -> Retry {
        match self {
            Self::Unreadable(_) | Self::Store(StoreError::NewerSchema { .. } | StoreError::EmptyUser) => {
                Retry::OnNewRow
            }
            Self::WriteBack(error) => error.retry(),
            Self::Store(_) | Self::Llm(_) | Self::Plan(_) => Retry::NextTick,
        }
    }
}
