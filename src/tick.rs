//! One pass over what is due, and the loop around it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{Mutex, OnceCell};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::attempt::{AttemptError, Outcome, Worker};
use crate::domain::time::iso;
use crate::stats::{OVERLAP_SKIPPED, TickStats};
use crate::store::schedule::{self, ClaimLimits, ClaimedMission};
use crate::store::{self, StoreError, access, refresh::refresh};

/// Who asks whether we are ready gets an answer within this, whatever the database does.
const READY_TIMEOUT: Duration = Duration::from_secs(3);
/// How often we look whether the database is set up, until it is.
const READY_POLL: Duration = Duration::from_secs(5);

/// What a runner is told.
#[derive(Debug, Clone)]
pub struct RunnerSettings {
    /// Missions at once in this process.
    pub concurrency: usize,
    /// Missions of one user at once, over all replicas.
    pub per_user: u32,
    /// How long a transaction may stay open and still be seen by a refresh.
    pub refresh_overlap: Duration,
    /// Set the database up if it is not, or only check?
    pub migrate: bool,
}

/// Runs ticks, never two at once in this process.
#[derive(Debug)]
pub struct Runner {
    worker: Worker,
    settings: RunnerSettings,
    turn: Mutex<()>,
    running: AtomicBool,
    asking: Mutex<()>,
    prepared: OnceCell<()>,
    reconciled: AtomicBool,
    stop: CancellationToken,
}

/// Is reset also where a tick panics.
struct Running<'runner>(&'runner AtomicBool);

impl<'runner> Running<'runner> {
    fn begin(running: &'runner AtomicBool) -> Self {
        running.store(true, Ordering::Relaxed);
        Self(running)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Runner {
    /// Once `stop` is cancelled no new mission is begun.
    pub fn new(worker: Worker, settings: RunnerSettings, stop: CancellationToken) -> Self {
        Self {
            worker,
            settings,
            turn: Mutex::new(()),
            running: AtomicBool::new(false),
            asking: Mutex::new(()),
            prepared: OnceCell::new(),
            reconciled: AtomicBool::new(false),
            stop,
        }
    }

    /// Is a tick at work?
    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// Why missions cannot be planned now: the set-up is looked at anew each time.
    pub async fn readiness(&self) -> Result<(), StoreError> {
        // One at a time: whoever floods it must not take the connections of the missions.
        let ask = async {
            let _asking = self.asking.lock().await;
            access::verify(&self.worker.store).await
        };
        tokio::time::timeout(READY_TIMEOUT, ask).await.unwrap_or(Err(StoreError::NoAnswer(READY_TIMEOUT)))
    }

    /// A tick now, until nothing is due any more. If one is running: after it where `wait`, else none.
    pub async fn tick(&self, wait: bool) -> TickStats {
        self.take_turn(wait, None).await
    }

    async fn take_turn(&self, wait: bool, claim_for: Option<Duration>) -> TickStats {
        let turn = if wait { Ok(self.turn.lock().await) } else { self.turn.try_lock() };
        let Ok(_turn) = turn else {
            #[expect(clippy::disallowed_methods, reason = "a skipped tick asks no database")]
            let scanned_at = iso(Timestamp::now());
            return TickStats { scanned_at, errors: vec![OVERLAP_SKIPPED.into()], ..TickStats::default() };
        };
        let _running = Running::begin(&self.running);
        self.pass(claim_for).await
    }

    /// Ticks at once and then every `interval`, until `stop`. A tick that overruns swallows the ones
    /// that it overlaps but the first, which begins at once. After claiming for an `interval` it leaves the
    /// rest to that one, which sees what is new: one user's thousand missions must not keep another's out
    /// for hours.
    pub async fn run_every(&self, interval: Duration) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            self.take_turn(false, Some(interval)).await;
        }
    }

    /// Returns once the database is set up, or `stop` says that nobody needs it any more. mana-sync may
    /// start later than we do, and so may Postgres.
    pub async fn until_prepared(&self) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.keep_preparing() => {}
        }
    }

    async fn keep_preparing(&self) {
        let mut last = String::new();
        while let Err(error) = self.prepare().await {
            let reason = error.to_string();
            // Once per reason, not every five seconds.
            if reason != last {
                tracing::warn!(%reason, "no ticks yet, still trying");
                last = reason;
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    async fn prepare(&self) -> Result<(), StoreError> {
        let store = &self.worker.store;
        let prepare = || async {
            if self.settings.migrate { access::migrate(store).await } else { access::verify(store).await }
        };
        self.prepared.get_or_try_init(prepare).await.copied()
    }

    async fn pass(&self, claim_for: Option<Duration>) -> TickStats {
        let began = Instant::now();
        #[expect(clippy::disallowed_methods, reason = "stands in until the database has told its time")]
        let mut stats = TickStats { scanned_at: iso(Timestamp::now()), ..TickStats::default() };
        if let Err(error) = self.work(claim_for, &mut stats).await {
            tracing::error!(%error, "tick broken off");
            stats.errors.push(error.to_string());
        }
        tracing::info!(
            due = stats.due_mission_count,
            produced = stats.plans_produced,
            written = stats.plans_written_back,
            parse_failures = stats.parse_failures,
            leases_lost = stats.leases_lost,
            errors = stats.errors.len(),
            elapsed_ms = began.elapsed().as_millis(),
            "tick"
        );
        stats
    }

    async fn work(&self, claim_for: Option<Duration>, stats: &mut TickStats) -> Result<(), StoreError> {
        self.prepare().await?;
        let store = &self.worker.store;
        let whole = !self.reconciled.load(Ordering::Relaxed);
        match refresh(store, self.settings.refresh_overlap, whole).await {
            Ok(refreshed) => {
                self.reconciled.fetch_or(refreshed.whole, Ordering::Relaxed);
                if refreshed.elsewhere {
                    tracing::info!("another replica refreshes the schedule, this tick takes it as it is");
                }
                if refreshed.whole {
                    tracing::info!(mended = refreshed.changed, "schedule compared with the whole log");
                }
                stats.count_unreadable(refreshed.unreadable);
            }
            // What is scheduled already can be planned all the same: each claim is folded afresh.
            Err(error) => {
                tracing::error!(%error, "schedule not refreshed");
                stats.errors.push(error.to_string());
            }
        }
        let due_at = store::now(&mut store.begin().await?).await?;
        stats.scanned_at = iso(due_at);
        self.plan_all(due_at, claim_for, stats).await
    }

    /// Keeps `concurrency` missions at work until none is left that was due at `due_at`, or the time to
    /// claim is over.
    async fn plan_all(
        &self,
        due_at: Timestamp,
        claim_for: Option<Duration>,
        stats: &mut TickStats,
    ) -> Result<(), StoreError> {
        let mut attempts = JoinSet::new();
        let mut broken = Ok(());
        let began = Instant::now();
        loop {
            let free = self.settings.concurrency - attempts.len();
            let in_time = claim_for.is_none_or(|claim_for| began.elapsed() < claim_for);
            if free > 0 && in_time && broken.is_ok() && !self.stop.is_cancelled() {
                match self.claim(due_at, free).await {
                    // More may be due of users who were not among the oldest.
                    Ok(claimed) if !claimed.is_empty() => {
                        stats.due_mission_count += claimed.len();
                        claimed.into_iter().for_each(|claimed| self.spawn(claimed, &mut attempts));
                        continue;
                    }
                    Ok(_) => {}
                    // What is in flight is still worth finishing.
                    Err(error) => broken = Err(error),
                }
            }
            let Some(attempt) = attempts.join_next().await else { return broken };
            stats.count(attempt);
            while let Some(attempt) = attempts.try_join_next() {
                stats.count(attempt);
            }
        }
    }

    async fn claim(&self, due_at: Timestamp, missions: usize) -> Result<Vec<ClaimedMission>, StoreError> {
        let limits = ClaimLimits { missions, per_user: self.settings.per_user, lease: self.worker.lease };
        schedule::claim(&self.worker.store, due_at, limits).await
    }

    fn spawn(
        &self,
        claimed: ClaimedMission,
        attempts: &mut JoinSet<(String, Result<Outcome, AttemptError>)>,
    ) {
        let worker = self.worker.clone();
        attempts.spawn(async move {
            let began = Instant::now();
            let result = worker.attempt(&claimed).await;
            log(&claimed, &result, began.elapsed());
            (claimed.mission_id, result)
        });
    }
}

/// One line per mission: ids, never a word of it.
fn log(claimed: &ClaimedMission, result: &Result<Outcome, AttemptError>, elapsed: Duration) {
    let (mission_id, user_id, slot) = (&claimed.mission_id, &claimed.user_id, claimed.slot.0);
    let elapsed_ms = elapsed.as_millis();
    match result {
        Ok(Outcome::Written { steps }) => {
            tracing::info!(mission_id, user_id, %slot, steps, elapsed_ms, "planned");
        }
        Ok(Outcome::Outdated(reason)) => {
            tracing::info!(mission_id, user_id, %slot, reason, elapsed_ms, "plan thrown away");
        }
        Ok(Outcome::LeaseLost { planned }) => {
            tracing::warn!(mission_id, user_id, %slot, planned, elapsed_ms, "lease lost, nothing written");
        }
        Ok(Outcome::Skipped(reason)) => {
            tracing::info!(mission_id, user_id, %slot, reason, elapsed_ms, "not planned");
        }
        Err(error) => tracing::warn!(mission_id, user_id, %slot, %error, elapsed_ms, "planning failed"),
    }
}
