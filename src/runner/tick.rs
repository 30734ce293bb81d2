//! One pass over what is due: refresh the schedule, then claim and plan until nothing is left.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::Runner;
use crate::attempt::{Report, Worker};
use crate::domain::run::RunOutcome;
use crate::domain::time::iso;
use crate::llm::breaker::Permit;
use crate::runner::stats::TickStats;
use crate::store::replicas::heartbeat;
use crate::store::runs::prune;
use crate::store::schedule::claim::{ClaimScope, ClaimTerms, claim};
use crate::store::schedule::claimed::ClaimedMission;
use crate::store::schedule::refresh::refresh;
use crate::store::{DbTime, Preflight, StoreError, preflight};
use crate::telemetry::ms;

/// Who waits for a step of a tick waits at most so long, beyond what the step itself allows.
const GRACE: Duration = Duration::from_mins(5);
/// The longest of them: setting the database up, folding the whole log.
const LONG_STEP: Duration = Duration::from_mins(45);

/// The end of an attempt's task.
type Attempts = JoinSet<(ClaimedMission, Report)>;

/// What a pass has at work, and why it takes on nothing more.
#[derive(Default)]
struct InFlight {
    attempts: Attempts,
    poison_candidate: bool,
    ended: Option<StopReason>,
}

/// Why no more is claimed, though something may be due.
enum StopReason {
    /// The database does not do as asked.
    Broken(StoreError),
    /// mana-llm is not to be called, and why.
    CircuitOpen(String),
    /// What has ended tells the reason.
    Enough,
}

impl Runner {
    #[tracing::instrument(name = "tick", skip_all)]
    pub(super) async fn pass(&self, claim_for: Option<Duration>) -> TickStats {
        let began = Instant::now();
        #[expect(clippy::disallowed_methods, reason = "stands in until the database has told its time")]
        let mut stats = TickStats::at(Timestamp::now());
        if let Err(error) = self.work(claim_for, &mut stats).await {
            tracing::error!(%error, "tick broken off");
            stats.errors.push(error.to_string());
            self.metrics().ticks_broken_off_total.inc();
            // A database that is away would only be waited for once more.
            if !matches!(error, StoreError::Database(_) | StoreError::NoAnswer(_) | StoreError::ReadOnly) {
                self.heartbeat_row(&stats).await;
            }
        } else {
            self.sample().await;
            self.heartbeat_row(&stats).await;
        }
        stats.sum_up();
        self.metrics().ticks_total.inc();
        self.metrics().tick_duration_seconds.observe(began.elapsed().as_secs_f64());
        tracing::info!(
            due = stats.due_mission_count,
            produced = stats.plans_produced,
            written = stats.plans_written_back,
            parse_failures = stats.parse_failures,
            leases_lost = stats.leases_lost,
            errors = stats.errors.len(),
            elapsed_ms = ms(began.elapsed()),
            "tick"
        );
        stats
    }

    /// For the status page. A database that does not take it has been complained about.
    async fn heartbeat_row(&self, stats: &TickStats) {
        let breaker = self.worker.llm.why().map(|why| why.to_string());
        let signed = heartbeat(&self.worker.store, self.worker.replica, breaker, &stats.counts()).await;
        if let Err(error) = signed {
            tracing::debug!(%error, "not signed in");
        }
    }

    async fn work(&self, claim_for: Option<Duration>, stats: &mut TickStats) -> Result<(), StoreError> {
        self.heartbeat.expect_within(LONG_STEP);
        // Until missions are in flight a stop need not wait for anything.
        let opened = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Ok(()),
            opened = self.open(stats) => opened?,
        };
        self.metrics().paused.set(i64::from(opened.paused_since.is_some()));
        if let Some(DbTime(since)) = opened.paused_since {
            stats.errors.push(format!("paused since {}: POST /internal/resume ends it", iso(since)));
            return Ok(());
        }
        self.worker.llm.retry_configuration();
        self.plan_all(opened.now, claim_for, stats).await?;
        if stats.due_mission_count == 0 && !self.stop.is_cancelled() {
            self.worker.llm.probe_configuration().await;
        }
        Ok(())
    }

    async fn open(&self, stats: &mut TickStats) -> Result<Preflight, StoreError> {
        self.prepare().await?;
        // Before anything else: where nothing can be stored, no model is asked.
        let opening = preflight(&self.worker.store).await?;
        stats.scanned_at = iso(opening.now);
        self.refresh_schedule(stats).await?;
        Ok(opening)
    }

    /// Refreshes the schedule. What is scheduled already can be planned even if that fails, since each
    /// claim is folded afresh; not so where the database itself is gone.
    pub(super) async fn refresh_schedule(&self, stats: &mut TickStats) -> Result<(), StoreError> {
        let whole = !self.reconciled.load(Ordering::Relaxed);
        let began = Instant::now();
        let refreshed = match refresh(&self.worker.store, self.settings.refresh_overlap, whole).await {
            Ok(refreshed) => refreshed,
            Err(error @ (StoreError::NoAnswer(_) | StoreError::Database(sqlx::Error::Io(_)))) => {
                return Err(error);
            }
            Err(error) => {
                tracing::error!(%error, "schedule not refreshed");
                stats.errors.push(error.to_string());
                return Ok(());
            }
        };
        self.count_refresh(&refreshed, began.elapsed());
        self.reconciled.fetch_or(refreshed.whole, Ordering::Relaxed);
        if refreshed.elsewhere {
            tracing::info!("another replica refreshes the schedule, this tick takes it as it is");
        }
        stats.count_unreadable(refreshed.unreadable);
        if refreshed.whole {
            tracing::info!(mended = refreshed.changed, "schedule compared with the whole log");
        }
        if refreshed.whole || self.prunable.load(Ordering::Relaxed) {
            self.prune().await;
        }
        Ok(())
    }

    /// What is old may wait: that it cannot be removed stops no mission.
    async fn prune(&self) {
        match prune(&self.worker.store, self.settings.run_retention).await {
            Ok(pruned) => {
                self.prunable.store(pruned.more, Ordering::Relaxed);
                tracing::debug!(removed = pruned.removed, "runs pruned");
            }
            Err(error) => tracing::warn!(%error, "runs not pruned"),
        }
    }

    /// Keeps `concurrency` missions at work until none is left that was due at `due_at`, or the time to
    /// claim is over, or there is no use in more.
    async fn plan_all(
        &self,
        due_at: Timestamp,
        claim_for: Option<Duration>,
        stats: &mut TickStats,
    ) -> Result<(), StoreError> {
        let mut flight = InFlight::default();
        let began = Instant::now();
        loop {
            self.heartbeat.expect_within(self.longest_attempt());
            let in_time = claim_for.is_none_or(|claim_for| began.elapsed() < claim_for);
            if in_time && flight.ended.is_none() && !self.stop.is_cancelled() {
                let claimed = self.claim(due_at, &mut flight).await;
                // More may be due of users who were not among the oldest.
                if !claimed.is_empty() {
                    stats.due_mission_count += claimed.len();
                    claimed.into_iter().for_each(|claimed| self.spawn(claimed, &mut flight));
                    continue;
                }
            }
            // What is in flight is worth finishing in any case.
            let Some(attempt) = flight.attempts.join_next().await else { break };
            self.reap(attempt, &mut flight, stats);
            while let Some(attempt) = flight.attempts.try_join_next() {
                self.reap(attempt, &mut flight, stats);
            }
            if claim_for.is_none() {
                // A tick that was asked for works off a backlog for hours, if need be: that is progress.
                self.heartbeat.finished();
            }
        }
        match flight.ended {
            Some(StopReason::Broken(error)) => return Err(error),
            Some(StopReason::CircuitOpen(why)) => stats.errors.push(why),
            Some(StopReason::Enough) | None => {}
        }
        Ok(())
    }

    /// What may begin now: as many as there are places, but one at a time while it is not known whether
    /// mana-llm is well.
    async fn claim(&self, due_at: Timestamp, flight: &mut InFlight) -> Vec<ClaimedMission> {
        let missions = match self.worker.llm.permit() {
            Permit::Any => self.settings.concurrency - flight.attempts.len(),
            Permit::Probe => usize::from(flight.attempts.is_empty()),
            Permit::Denied { why, wait } => {
                let why = format!("{why}; the next call in {} s", wait.as_secs());
                flight.ended = Some(StopReason::CircuitOpen(why));
                0
            }
        };
        if missions == 0 {
            return Vec::new();
        }
        let scope = ClaimScope::Due { at: due_at, missions, poison_candidate: !flight.poison_candidate };
        let claimed = claim(&self.worker.store, self.claim_terms(), scope).await;
        let claimed = claimed.unwrap_or_else(|error| {
            flight.ended = Some(StopReason::Broken(error));
            Vec::new()
        });
        self.count_claim(&claimed);
        claimed
    }

    /// What holds for each claim of this process.
    pub(super) fn claim_terms(&self) -> ClaimTerms {
        let Worker { replica, lease, .. } = self.worker;
        ClaimTerms { replica, per_user: self.settings.per_user, lease }
    }

    fn spawn(&self, claimed: ClaimedMission, flight: &mut InFlight) {
        flight.poison_candidate |= claimed.is_poison_candidate();
        let worker = self.worker.clone();
        let attempt = async move {
            let began = Instant::now();
            let report = worker.attempt(&claimed).await;
            report.log(&claimed, began.elapsed());
            (claimed, report)
        };
        flight.attempts.spawn(attempt.in_current_span());
    }

    fn reap(
        &self,
        attempt: Result<(ClaimedMission, Report), tokio::task::JoinError>,
        flight: &mut InFlight,
        stats: &mut TickStats,
    ) {
        let (claimed, report) = match attempt {
            Ok(ended) => ended,
            // Its lease expires, and the attempt counts as lost. The log has the place; the message may repeat
            // what was at hand.
            Err(_) => {
                self.metrics().mission_errors_total.inc();
                return stats.errors.push("an attempt panicked, see the log".into());
            }
        };
        flight.poison_candidate &= !claimed.is_poison_candidate();
        // The next call would be refused as well, the next plan not stored either.
        if matches!(report.outcome, RunOutcome::Misconfigured | RunOutcome::Database) {
            flight.ended.get_or_insert(StopReason::Enough);
        }
        stats.count(&claimed.mission_id, &report);
    }

    /// Two calls; and as long as a lease may last for the plan, for telling its user that there is none, and for
    /// giving the lease back.
    fn longest_attempt(&self) -> Duration {
        2 * self.settings.llm_timeout + 3 * self.worker.lease + GRACE
    }
}
