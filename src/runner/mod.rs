//! The runner of a process. A tick plans what is due ([`tick`](self), with [`claims`] for what it takes on next), the
//! tick loop makes one every `TICK_INTERVAL_MS`, and an operator can ask for one mission ([`NotRun`]). [`heartbeat`]
//! tells whether the loop lives, and [`NotReady`] why missions cannot be planned.

mod claims;
mod gauges;
mod healing;
pub mod heartbeat;
mod on_demand;
mod readiness;
mod refresh;
mod schedule_loop;
pub mod stats;
mod tick;

pub use on_demand::NotRun;
use readiness::LastAnswer;
pub use readiness::NotReady;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, OnceCell, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::attempt::Worker;
use crate::runner::heartbeat::Heartbeat;
use crate::store::Store;
use crate::store::healing::QueuedLook;
use crate::store::schedule::seen::Seen;

/// The settings of a runner.
#[derive(Debug, Clone)]
pub struct RunnerSettings {
    /// The most missions that this process plans at once.
    pub concurrency: usize,
    /// The most missions of one user that all replicas together plan at once.
    pub per_user: u32,
    /// How long a transaction may stay open and its rows still be found by a refresh.
    pub refresh_overlap: Duration,
    /// Set the database up where it is not? Without it, the set-up is only verified.
    pub migrate: bool,
    /// How long the ledger keeps a run.
    pub run_retention: Duration,
    /// The longest that one call of mana-llm may take.
    pub llm_timeout: Duration,
    /// From the start of one tick of the loop to the start of the next; `None` where no loop runs.
    pub interval: Option<Duration>,
}

/// Runs ticks, never two at once in this process.
#[derive(Debug)]
pub struct Runner {
    worker: Worker,
    settings: RunnerSettings,
    /// Held for as long as a tick runs.
    tick_lock: Mutex<()>,
    /// Does a tick run?
    running: AtomicBool,
    /// For `/ready`. Held while the set-up is verified: one request at a time asks the database.
    last_answer: Mutex<LastAnswer>,
    /// Filled once the database is set up.
    prepared: OnceCell<()>,
    /// The rows of the overlap that this process has followed. Held while the schedule is refreshed.
    seen: Mutex<Seen>,
    /// Has a comparison with the whole log been under way since this process started?
    reconciled: AtomicBool,
    /// Are there more old runs than one call removes?
    prunable: AtomicBool,
    /// Where the next look at the queue of healing goes on.
    last_look: std::sync::Mutex<QueuedLook>,
    heartbeat: Arc<Heartbeat>,
    /// Bounds the missions that operators ask for: `concurrency` of them at once, beside those of a tick.
    on_demand_permits: Semaphore,
    /// Cancelled when the process is asked to stop: then nothing new is begun.
    stop: CancellationToken,
}

impl Runner {
    /// Once `stop` is cancelled, the runner begins no further mission.
    pub fn new(worker: Worker, settings: RunnerSettings, stop: CancellationToken) -> Self {
        let on_demand_permits = Semaphore::new(settings.concurrency);
        let interval = settings.interval.unwrap_or_default();
        worker.metrics.tick_interval_seconds.set(interval.as_secs_f64());
        Self {
            worker,
            settings,
            tick_lock: Mutex::new(()),
            running: AtomicBool::new(false),
            last_answer: Mutex::default(),
            prepared: OnceCell::new(),
            seen: Mutex::default(),
            reconciled: AtomicBool::new(false),
            prunable: AtomicBool::new(false),
            last_look: std::sync::Mutex::default(),
            heartbeat: Arc::default(),
            on_demand_permits,
            stop,
        }
    }

    /// Does a tick run?
    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// Drops the calls in flight. Their leases are given back, and their attempts are not charged.
    pub fn abandon(&self) {
        self.worker.abandon.cancel();
    }

    /// The signs of life of the tick loop.
    pub fn heartbeat(&self) -> &Arc<Heartbeat> {
        &self.heartbeat
    }

    /// The database, for requests that only read.
    pub fn store(&self) -> &Store {
        &self.worker.store
    }
}
