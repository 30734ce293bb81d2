//! One tick: set-up, preflight, refresh of the schedule, then claim and plan until nothing is left.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::JoinError;
use tracing::Instrument as _;

use super::Runner;
use super::claims::{Claimed, InFlight, StopReason};
use crate::attempt::Report;
use crate::domain::run::RunOutcome;
use crate::domain::time::iso;
use crate::runner::stats::TickStats;
use crate::store::replicas;
use crate::store::schedule::claimed::ClaimedMission;
use crate::store::{DbTime, Preflight, StoreError, preflight};
use crate::telemetry::ms;

/// Slack that the watchdog allows an attempt, beyond the attempt's own timeouts.
const ATTEMPT_SLACK: Duration = Duration::from_mins(5);
/// How long the watchdog lets the steps before a claim take: setting the database up and following a flood of new rows are
/// the longest of a tick.
const BEFORE_CLAIMS_ALLOWANCE: Duration = Duration::from_mins(45);

impl Runner {
    /// One whole tick, with its log line, its metrics and the report of this replica. Claims for `claim_for` at most.
    #[tracing::instrument(name = "tick", skip_all)]
    pub(super) async fn run_tick(&self, claim_for: Option<Duration>) -> TickStats {
        let began = Instant::now();
        #[expect(clippy::disallowed_methods, reason = "stands in until the database has told its time")]
        let mut stats = TickStats::at(Timestamp::now());
        match self.run_steps(claim_for, &mut stats).await {
            Ok(()) => {
                self.sample_schedule().await;
                self.report_replica(&stats).await;
            }
            Err(error) => self.break_off(&error, &mut stats).await,
        }
        stats.sum_up_deferred();
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

    async fn break_off(&self, error: &StoreError, stats: &mut TickStats) {
        tracing::error!(%error, "tick broken off");
        stats.errors.push(error.to_string());
        self.metrics().ticks_broken_off_total.inc();
        // Where the database does not answer or takes no writes, the report would only wait for it once more.
        use StoreError::{Begin, Database, NoAnswer, ReadOnly};
        if !matches!(error, Begin(_) | Database(_) | NoAnswer(_) | ReadOnly) {
            self.report_replica(stats).await;
        }
    }

    /// Stores this replica's last tick for the status page. A failure is logged at debug level only, because the
    /// database that refuses it has been reported by the steps before.
    async fn report_replica(&self, stats: &TickStats) {
        let breaker = self.worker.llm.why().map(|why| why.to_string());
        let stored = replicas::report_tick(
            &self.worker.store,
            self.worker.replica,
            self.settings.per_user,
            breaker,
            &stats.counts(),
        )
        .await;
        if let Err(error) = stored {
            tracing::debug!(%error, "replica not reported");
        }
    }

    async fn run_steps(&self, claim_for: Option<Duration>, stats: &mut TickStats) -> Result<(), StoreError> {
        let Some((preflight, mut more)) = self.unless_stopped(self.before_claims(stats)).await? else {
            return Ok(());
        };
        self.metrics().paused.set(i64::from(preflight.paused_since.is_some()));
        if let Some(DbTime(since)) = preflight.paused_since {
            stats.errors.push(format!("paused since {}: POST /internal/resume ends it", iso(since)));
            return Ok(());
        }
        self.worker.llm.retry_configuration();
        loop {
            self.heal_missions().await?;
            self.plan_all(preflight.now, claim_for, stats).await?;
            // A tick on request works off the whole log, and plans in between; one of the loop leaves it to the next.
            if !more || claim_for.is_some() {
                break;
            }
            self.heartbeat.tick_finished();
            more = self.unless_stopped(self.compare_schedule(stats)).await?.unwrap_or(false);
        }
        if stats.due_mission_count == 0 && !self.stop.is_cancelled() {
            self.worker.llm.probe_configuration().await;
        }
        Ok(())
    }

    /// Before a claim a stop need not wait for anything: `None` where `steps` were cut off.
    async fn unless_stopped<T>(
        &self,
        steps: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<Option<T>, StoreError> {
        self.heartbeat.expect_within(BEFORE_CLAIMS_ALLOWANCE);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Ok(None),
            done = steps => done.map(Some),
        }
    }

    /// `true` beside the preflight where the schedule is not yet compared with the whole log.
    async fn before_claims(&self, stats: &mut TickStats) -> Result<(Preflight, bool), StoreError> {
        self.prepare().await?;
        // Before anything else: where nothing can be stored, no model is asked.
        let preflight = preflight(&self.worker.store).await?;
        stats.scanned_at = iso(preflight.now);
        self.refresh_schedule(stats).await?;
        let more = self.compare_schedule(stats).await?;
        Ok((preflight, more))
    }

    /// Keeps up to `concurrency` attempts in flight until nothing is left that was due at `due_at`, the time to claim
    /// is over, the process stops, or further attempts would fail too. Then waits for those in flight.
    async fn plan_all(
        &self,
        due_at: Timestamp,
        claim_for: Option<Duration>,
        stats: &mut TickStats,
    ) -> Result<(), StoreError> {
        let mut in_flight = InFlight::default();
        let began = Instant::now();
        loop {
            self.heartbeat.expect_within(self.longest_attempt());
            let in_time = claim_for.is_none_or(|claim_for| began.elapsed() < claim_for);
            if in_time
                && in_flight.stop_reason.is_none()
                && !self.stop.is_cancelled()
                && let Claimed::Missions(claimed) = self.claim_next(due_at, &mut in_flight).await
            {
                stats.due_mission_count += claimed.len();
                claimed.into_iter().for_each(|claimed| self.spawn_attempt(claimed, &mut in_flight));
                continue;
            }
            if !self.reap_next(&mut in_flight, stats).await {
                break;
            }
            if claim_for.is_none() {
                // A tick on request works off the whole backlog, which may take hours: each attempt is progress.
                self.heartbeat.tick_finished();
            }
        }
        match in_flight.stop_reason {
            Some(StopReason::Database(error)) => return Err(error),
            Some(StopReason::CircuitOpen(why)) => stats.errors.push(why),
            Some(StopReason::AttemptsFail) | None => {}
        }
        Ok(())
    }

    fn spawn_attempt(&self, claimed: ClaimedMission, in_flight: &mut InFlight) {
        in_flight.has_poison_candidate |= claimed.is_poison_candidate();
        let worker = self.worker.clone();
        let attempt = async move {
            let began = Instant::now();
            let report = worker.attempt(&claimed).await;
            report.log(&claimed, began.elapsed());
            (claimed, report)
        };
        in_flight.attempts.spawn(attempt.in_current_span());
    }

    /// Waits for an attempt to end, and counts it and all others that have ended too. `false` where none is in flight.
    async fn reap_next(&self, in_flight: &mut InFlight, stats: &mut TickStats) -> bool {
        let Some(attempt) = in_flight.attempts.join_next().await else { return false };
        let deferred = stats.deferred();
        self.reap(attempt, in_flight, stats);
        while let Some(attempt) = in_flight.attempts.try_join_next() {
            self.reap(attempt, in_flight, stats);
        }
        // The database would refuse the next plan as well, unless it refuses one mission alone. Asked once for all that
        // have ended.
        if stats.deferred() > deferred
            && in_flight.stop_reason.is_none()
            && preflight(&self.worker.store).await.is_err()
        {
            in_flight.stop_reason = Some(StopReason::AttemptsFail);
        }
        true
    }

    fn reap(
        &self,
        attempt: Result<(ClaimedMission, Report), JoinError>,
        in_flight: &mut InFlight,
        stats: &mut TickStats,
    ) {
        let Ok((claimed, report)) = attempt else {
            // The attempt panicked. Its lease expires, and it counts as lost. The log has the place; the panic's
            // message is not repeated, because it may hold a user's text.
            self.metrics().mission_errors_total.inc();
            return stats.errors.push("an attempt panicked, see the log".into());
        };
        in_flight.has_poison_candidate &= !claimed.is_poison_candidate();
        // mana-llm would refuse the next call as well.
        if report.outcome == RunOutcome::Misconfigured {
            in_flight.stop_reason.get_or_insert(StopReason::AttemptsFail);
        }
        stats.count(&claimed.mission_id, &report);
    }

    /// The longest time between two ends of attempts: two calls, and a lease each for writing the plan, for telling
    /// the user that there is none, and for giving the lease back.
    fn longest_attempt(&self) -> Duration {
        2 * self.settings.llm_timeout + 3 * self.worker.lease + ATTEMPT_SLACK
    }
}
