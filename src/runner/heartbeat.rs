//! Whether the tick loop lives: for `/ready`, and for the watchdog that ends a process whose loop is dead.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often the watchdog looks.
const LOOK: Duration = Duration::from_secs(1);

/// Told by the loop what it is at, and until when it should have something new to tell.
#[derive(Debug)]
pub struct Heartbeat(Mutex<State>);

#[derive(Debug, Clone, Copy)]
struct State {
    /// Raised by each sign of life.
    beats: u64,
    /// How long the loop may be silent between two ticks; none while there is no loop.
    idle: Option<Duration>,
    /// How long the current step may take; none is no promise.
    allowance: Option<Duration>,
    finished: Instant,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self(Mutex::new(State { beats: 0, idle: None, allowance: None, finished: Instant::now() }))
    }
}

impl Heartbeat {
    /// The loop begins, and says something after `idle` at the latest. Before, nobody promised a tick: the
    /// service may be waiting for its database for days.
    pub fn begin(&self, idle: Duration) {
        let mut state = self.state();
        *state = State {
            beats: state.beats + 1,
            idle: Some(idle),
            allowance: Some(idle),
            finished: Instant::now(),
        };
    }

    /// The loop has ended in order.
    pub fn end(&self) {
        let mut state = self.state();
        (state.idle, state.allowance) = (None, None);
    }

    /// Nothing is at work: until the next tick of the loop, if there is one.
    pub fn rest(&self) {
        let mut state = self.state();
        state.beats += 1;
        state.allowance = state.idle;
    }

    /// A sign of life: the next one comes within `allowance`.
    pub fn expect_within(&self, allowance: Duration) {
        let mut state = self.state();
        state.beats += 1;
        state.allowance = Some(allowance);
    }

    /// A tick has ended.
    pub fn finished(&self) {
        self.state().finished = Instant::now();
    }

    /// How long no tick has ended.
    pub fn since_finished(&self) -> Duration {
        self.state().finished.elapsed()
    }

    /// Calls `on_dead` once a promise is broken. On a thread of its own, because the runtime may be what is
    /// stuck. Counts its own looks, not the time: a process that was frozen is not dead. Ends with the pulse.
    pub fn watch(self: &Arc<Self>, on_dead: impl FnOnce(Duration) + Send + 'static) {
        let heartbeat = Arc::downgrade(self);
        std::thread::spawn(move || {
            let (mut beats, mut silent) = (0, Duration::ZERO);
            while let Some(heartbeat) = heartbeat.upgrade() {
                let state = *heartbeat.state();
                silent = if state.beats == beats { silent + LOOK } else { Duration::ZERO };
                beats = state.beats;
                if state.allowance.is_some_and(|allowance| silent > allowance) {
                    return on_dead(silent);
                }
                drop(heartbeat);
                std::thread::sleep(LOOK);
            }
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
