//! Signs of life of the tick loop: `/ready` asks for the last finished tick, and a watchdog ends the process whose loop
//! is dead.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often the watchdog looks for a new sign of life.
const WATCHDOG_INTERVAL: Duration = Duration::from_secs(1);

/// The loop beats before each of its steps, and says until when it will beat again.
#[derive(Debug)]
pub struct Heartbeat(Mutex<State>);

#[derive(Debug, Clone, Copy)]
struct State {
    /// How many signs of life there were. The watchdog compares this number, not the time.
    beats: u64,
    /// How long the loop may be silent between two ticks; `None` while no loop runs.
    idle_allowance: Option<Duration>,
    /// How long the current step may take; `None` where nothing promised a next beat.
    allowance: Option<Duration>,
    /// When the last tick ended, or the loop began.
    last_finished: Instant,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self(Mutex::new(State {
            beats: 0,
            idle_allowance: None,
            allowance: None,
            last_finished: Instant::now(),
        }))
    }
}

impl Heartbeat {
    /// The loop begins. Between two ticks it beats after `idle_allowance` at the latest. Before the first call nothing
    /// is expected, because the service may wait for its database for days.
    pub fn loop_began(&self, idle_allowance: Duration) {
        let mut state = self.state();
        *state = State {
            beats: state.beats + 1,
            idle_allowance: Some(idle_allowance),
            allowance: Some(idle_allowance),
            last_finished: Instant::now(),
        };
    }

    /// The loop has ended in order, and no further beat is expected.
    pub fn loop_ended(&self) {
        let mut state = self.state();
        (state.idle_allowance, state.allowance) = (None, None);
    }

    /// A beat after a tick: the next one comes with the next tick of the loop, if a loop runs.
    pub fn expect_next_tick(&self) {
        let mut state = self.state();
        state.beats += 1;
        state.allowance = state.idle_allowance;
    }

    /// A beat before a step of a tick: the next one comes within `allowance`.
    pub fn expect_within(&self, allowance: Duration) {
        let mut state = self.state();
        state.beats += 1;
        state.allowance = Some(allowance);
    }

    /// A tick has ended, or a long one has made progress.
    pub fn tick_finished(&self) {
        self.state().last_finished = Instant::now();
    }

    /// The time since a tick last ended.
    pub fn since_finished(&self) -> Duration {
        self.state().last_finished.elapsed()
    }

    /// Starts the watchdog, which calls `on_dead` with the length of the silence once an allowance is exceeded. It has
    /// a thread of its own, because the Tokio runtime may be what is stuck. It counts its own looks and not the time,
    /// so that a process that was frozen for an hour is not taken for dead when it wakes. Ends when the heartbeat is
    /// dropped.
    pub fn watch(self: &Arc<Self>, on_dead: impl FnOnce(Duration) + Send + 'static) {
        let heartbeat = Arc::downgrade(self);
        std::thread::spawn(move || {
            let (mut beats, mut silent) = (0, Duration::ZERO);
            while let Some(heartbeat) = heartbeat.upgrade() {
                let state = *heartbeat.state();
                silent = if state.beats == beats { silent + WATCHDOG_INTERVAL } else { Duration::ZERO };
                beats = state.beats;
                if state.allowance.is_some_and(|allowance| silent > allowance) {
                    return on_dead(silent);
                }
                drop(heartbeat);
                std::thread::sleep(WATCHDOG_INTERVAL);
            }
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
