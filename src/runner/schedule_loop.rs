//! When ticks run: on request, or every `TICK_INTERVAL_MS`, and never two at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::MissedTickBehavior;

use super::Runner;
use crate::runner::stats::{OVERLAP_SKIPPED, TickStats};

/// How late the loop may begin a tick before the watchdog takes it for dead, in addition to the interval.
const TICK_START_SLACK: Duration = Duration::from_mins(1);

impl Runner {
    /// Runs a tick until nothing is due any more. If one runs already, this one runs after it where `wait` is set;
    /// otherwise none runs, and the stats say so.
    pub async fn tick(&self, wait: bool) -> TickStats {
        self.tick_alone(wait, None).await
    }

    /// Runs a tick while no other tick runs in this process. It claims for `claim_for` at most.
    async fn tick_alone(&self, wait: bool, claim_for: Option<Duration>) -> TickStats {
        let lock = if wait { Ok(self.tick_lock.lock().await) } else { self.tick_lock.try_lock() };
        let Ok(_lock) = lock else { return self.skipped() };
        let _running = Running::begin(self);
        let stats = self.run_tick(claim_for).await;
        self.heartbeat.tick_finished();
        stats
    }

    fn skipped(&self) -> TickStats {
        #[expect(clippy::disallowed_methods, reason = "a skipped tick asks no database for the time")]
        let mut stats = TickStats::at(Timestamp::now());
        stats.errors.push(OVERLAP_SKIPPED.into());
        self.metrics().ticks_skipped_total.inc();
        stats
    }

    /// Runs a tick at once and then every `interval`, until the runner is stopped. Where a tick takes longer than the
    /// interval, the next one begins as soon as it ends, and the further ones that were due meanwhile are left out.
    ///
    /// A tick of the loop claims missions for one `interval` at most. The next tick claims the rest, and it sees what
    /// is new: else the thousand missions of one user would keep another user's new mission waiting for hours.
    ///
    /// A tick that panics ends alone; the loop goes on.
    pub async fn run_every(self: &Arc<Self>, interval: Duration) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        self.heartbeat.loop_began(interval + TICK_START_SLACK);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return self.heartbeat.loop_ended(),
                _ = ticks.tick() => {}
            }
            let runner = Arc::clone(self);
            let tick = tokio::spawn(async move { runner.tick_alone(false, Some(interval)).await });
            if tick.await.is_err() {
                tracing::error!("the tick panicked");
            }
        }
    }
}

/// Marks the runner as running until it is dropped, and so also where the tick panics.
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
        self.0.heartbeat.expect_next_tick();
    }
}
