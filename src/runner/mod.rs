//! The runner: a tick when asked, the loop, and whether it is able to.

mod gauges;
pub mod heartbeat;
mod on_demand;
pub mod stats;
mod tick;

pub use on_demand::NotRun;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Mutex, OnceCell, Semaphore};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::attempt::Worker;
use crate::llm::breaker::Why;
use crate::runner::heartbeat::Heartbeat;
use crate::runner::stats::{OVERLAP_SKIPPED, TickStats};
use crate::store::{StoreError, access};

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
    /// How long the ledger keeps a run.
    pub run_retention: Duration,
    /// For a whole call of mana-llm.
    pub llm_timeout: Duration,
    /// From one tick's start to the next, where there is a loop.
    pub interval: Option<Duration>,
}

/// Why missions cannot be planned now.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// Because of the database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// mana-llm refuses us as we are configured.
    #[error("{0}")]
    Misconfigured(String),
    /// The loop makes no progress.
    #[error("no tick has finished for {} s, TICK_INTERVAL_MS is {} s{}", .silent.as_secs(), .interval.as_secs_f64(),
        if *.running { "; one is running" } else { "" })]
    Stalled {
        /// For how long.
        silent: Duration,
        /// How often one should begin.
        interval: Duration,
        /// Is one at work?
        running: bool,
    },
}

/// So many intervals without a finished tick are too many.
const STALLED_AFTER: u32 = 3;
/// What the loop may take to begin a tick that is due.
const LATE: Duration = Duration::from_mins(1);

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
    /// Are there more old runs than one call removes?
    prunable: AtomicBool,
    heartbeat: Arc<Heartbeat>,
    /// For missions that operators ask for.
    places: Semaphore,
    stop: CancellationToken,
}

/// Is reset also where a tick panics.
struct Running<'runner>(&'runner Runner);

impl<'runner> Running<'runner> {
    fn begin(runner: &'runner Runner) -> Self {
        runner.running.store(true, Ordering::Relaxed);
        Self(runner)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::Relaxed);
        self.0.heartbeat.rest();
    }
}

impl Runner {
    /// Once `stop` is cancelled no new mission is begun.
    pub fn new(worker: Worker, settings: RunnerSettings, stop: CancellationToken) -> Self {
        let places = Semaphore::new(settings.concurrency);
        let interval = settings.interval.unwrap_or_default();
        worker.metrics.tick_interval_seconds.set(interval.as_secs_f64());
        Self {
            worker,
            settings,
            turn: Mutex::new(()),
            running: AtomicBool::new(false),
            asking: Mutex::new(()),
            prepared: OnceCell::new(),
            reconciled: AtomicBool::new(false),
            prunable: AtomicBool::new(false),
            heartbeat: Arc::default(),
            places,
            stop,
        }
    }

    /// Is a tick at work?
    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// Drops the calls in flight, gives their leases back and refunds their attempts.
    pub fn abandon(&self) {
        self.worker.abandon.cancel();
    }

    /// Whether the loop lives.
    pub fn heartbeat(&self) -> &Arc<Heartbeat> {
        &self.heartbeat
    }

    /// Why missions cannot be planned now: the set-up is looked at anew each time.
    pub async fn readiness(&self) -> Result<(), NotReady> {
        // One at a time: whoever floods it must not take the connections of the missions.
        let ask = async {
            let _asking = self.asking.lock().await;
            access::verify(&self.worker.store).await
        };
        tokio::time::timeout(READY_TIMEOUT, ask).await.unwrap_or(Err(StoreError::NoAnswer(READY_TIMEOUT)))?;
        if let Some(Why::Misconfigured(why)) = self.worker.llm.why() {
            return Err(NotReady::Misconfigured(why));
        }
        self.progress()
    }

    fn progress(&self) -> Result<(), NotReady> {
        let silent = self.heartbeat.since_finished();
        match self.settings.interval {
            Some(interval) if silent > interval * STALLED_AFTER => {
                Err(NotReady::Stalled { silent, interval, running: self.is_running() })
            }
            _ => Ok(()),
        }
    }

    /// A tick now, until nothing is due any more. If one is running: after it where `wait`, else none.
    pub async fn tick(&self, wait: bool) -> TickStats {
        self.take_turn(wait, None).await
    }

    async fn take_turn(&self, wait: bool, claim_for: Option<Duration>) -> TickStats {
        let turn = if wait { Ok(self.turn.lock().await) } else { self.turn.try_lock() };
        let Ok(_turn) = turn else {
            #[expect(clippy::disallowed_methods, reason = "a skipped tick asks no database")]
            let mut stats = TickStats::at(Timestamp::now());
            stats.errors.push(OVERLAP_SKIPPED.into());
            self.metrics().ticks_skipped_total.inc();
            return stats;
        };
        let _running = Running::begin(self);
        let stats = self.pass(claim_for).await;
        self.heartbeat.finished();
        stats
    }

    /// Ticks at once and then every `interval`, until `stop`. A tick that overruns swallows the ones
    /// that it overlaps but the first, which begins at once. After claiming for an `interval` it leaves the
    /// rest to that one, which sees what is new: one user's thousand missions must not keep another's out
    /// for hours.
    ///
    /// One that panics is the end of that tick, not of the loop.
    pub async fn run_every(self: &Arc<Self>, interval: Duration) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        self.heartbeat.begin(interval + LATE);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return self.heartbeat.end(),
                _ = ticks.tick() => {}
            }
            let runner = Arc::clone(self);
            let tick = tokio::spawn(async move { runner.take_turn(false, Some(interval)).await });
            if tick.await.is_err() {
                tracing::error!("the tick panicked");
            }
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
}
