//! What is counted, for Prometheus. The doc comment of a series is its help text; every series is there from
//! the start, at zero (those of HTTP begin with its routes, in `http/metrics.rs`). No label holds a user, a mission or any text of theirs.
//!
//! Each process has a registry of its own, and so has each service of the tests, which share a process.

mod define;
mod models;

use std::time::Duration;

use prometheus::{
    Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, TextEncoder,
};

pub use define::GaugeGuard;
use define::{counters, each, gauges, histogram, histograms, metrics};
use models::{Models, NONE};

use crate::domain::run::{CallTokens, RunOutcome};
use crate::store::pool::PoolUse;
use crate::store::schedule::queries::ScheduleCounts;

/// From an idle tick to one that does nothing else for ten minutes.
const TICK: [f64; 18] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1., 2.5, 5., 10., 30., 60., 120., 300., 600.];
/// From a model that only says no to the longest time-out anybody sets.
const CALL: [f64; 11] = [0.1, 0.25, 0.5, 1., 2.5, 5., 10., 20., 30., 60., 120.];
/// From `/health` to what a client gives up on.
const HTTP: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1., 2.5, 5., 10.];

/// The names of the circuit breaker's states, as `llm::breaker::State` prints them; the first is the state at the
/// start. A test of `llm/` compares the two lists, because importing one from the other would close a circle.
pub const BREAKER_STATES: [&str; 3] = ["closed", "open", "half-open"];

metrics! {
    /// Ticks that ended, those that were broken off included.
    ticks_total: IntCounter = IntCounter::with_opts;
    /// From the start of a tick to its end, in seconds.
    tick_duration_seconds: Histogram = histogram(&TICK);
    /// Ticks that the database or its set-up cut short.
    ticks_broken_off_total: IntCounter = IntCounter::with_opts;
    /// Ticks that were not begun because one was running.
    ticks_skipped_total: IntCounter = IntCounter::with_opts;
    /// From the start of one tick of the loop to the next, in seconds; 0 where no loop runs.
    tick_interval_seconds: Gauge = Gauge::with_opts;

    /// Missions claimed under a lease, each the begin of an attempt.
    missions_claimed_total: IntCounter = IntCounter::with_opts;
    /// Attempts by how they ended, as in mission_runs. Lost ones are counted by whoever claims the mission
    /// next; one that comes back late counts as lease-lost too.
    attempts_total: IntCounterVec = counters(["outcome"], each::<RunOutcome>());
    /// Plans that passed validation.
    plans_produced_total: IntCounter = IntCounter::with_opts;
    /// Plans that are in the log.
    plans_written_back_total: IntCounter = IntCounter::with_opts;
    /// Attempts that ended without a usable plan though the model answered, the repair included.
    parse_failures_total: IntCounter = IntCounter::with_opts;
    /// Second calls, in which the model was told what was wrong with its answer.
    repairs_total: IntCounter = IntCounter::with_opts;
    /// Attempts that somebody has to know of, and missions that have turned out unreadable.
    mission_errors_total: IntCounter = IntCounter::with_opts;
    /// Slots whose last attempt failed: their users were told.
    slots_failed_total: IntCounter = IntCounter::with_opts;
    /// Plans thrown away at the last moment: the lease was gone, or the mission had changed.
    stale_writes_refused_total: IntCounter = IntCounter::with_opts;
    /// Renewals of leases: renewed, lost to somebody else, or failed with the database.
    lease_renewals_total: IntCounterVec = counters(["result"], [["renewed"], ["lost"], ["failed"]]);

    /// Rows of the log that refreshes of the schedule have read.
    refresh_rows_total: IntCounter = IntCounter::with_opts;
    /// From the start of a refresh to its end, in seconds; without those that left it to another replica.
    refresh_duration_seconds: Histogram = histogram(&TICK);
    /// Rows of the schedule that were not as the whole log has them; the first fold of all counts all.
    schedule_mended_total: IntCounter = IntCounter::with_opts;

    /// Calls of mana-llm by the model that answered, in seconds; none where nothing did.
    planner_request_duration_seconds: HistogramVec = histograms(["model"], [[NONE]], &CALL);
    /// Tokens as mana-llm counts them, in (prompt) and out (completion).
    llm_tokens_total: IntCounterVec = counters(["model", "kind"], [[NONE, "prompt"], [NONE, "completion"]]);
    /// The circuit to mana-llm: 1 at its state. Open: no calls; half-open: the next call decides.
    breaker_state: IntGaugeVec = gauges("state", BREAKER_STATES.map(|state| [state]));

    /// Missions that could be claimed when the last tick ended, all replicas' together; at most 10000 are counted.
    due_missions: IntGauge = IntGauge::with_opts;
    /// For how long the oldest slot that could be claimed was due when the last tick ended, in seconds.
    oldest_due_slot_age_seconds: Gauge = Gauge::with_opts;
    /// Missions set aside until a device writes them, when the last tick ended; at most 10000 are counted.
    quarantined_missions: IntGauge = IntGauge::with_opts;
    /// Attempts at work in this process.
    in_flight_missions: IntGauge = IntGauge::with_opts;
    /// Calls of mana-llm that have not ended.
    in_flight_calls: IntGauge = IntGauge::with_opts;
    /// Connections to the database: idle, used, and how many there may be.
    pool_connections: IntGaugeVec = gauges("state", [["idle"], ["used"], ["max"]]);
    /// Is the runner paused, over all replicas? 1 or 0.
    paused: IntGauge = IntGauge::with_opts;

    /// Answers of our own HTTP server by route; unmatched where there is none.
    http_requests_total: IntCounterVec = counters(["method", "route", "status"], []);
    /// From a request's headers to its answer, in seconds.
    http_request_duration_seconds: HistogramVec = histograms(["method", "route"], [], &HTTP);
    /// The version that runs: always 1.
    build_info: IntGaugeVec = gauges("version", [[env!("CARGO_PKG_VERSION")]]);
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at their first values.
    pub fn new() -> Self {
        let metrics = Self::register().expect("names and labels are literals, and each name is there once");
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics.breaker(BREAKER_STATES[0]);
        #[cfg(target_os = "linux")]
        metrics
            .registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .expect("ours do not begin with process_");
        metrics
    }

    /// As Prometheus reads it.
    pub fn text(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// The state of the circuit.
    pub fn breaker(&self, state: &str) {
        for of in BREAKER_STATES {
            self.breaker_state.with_label_values(&[of]).set(i64::from(of == state));
        }
    }

    /// A call of mana-llm that ended: with the model that answered, if one did and said so.
    pub fn called(&self, model: Option<&str>, took: Duration, tokens: CallTokens) {
        let model = self.models.label(model);
        self.planner_request_duration_seconds.with_label_values(&[model]).observe(took.as_secs_f64());
        for (kind, count) in [("prompt", tokens.prompt), ("completion", tokens.completion)] {
            self.llm_tokens_total.with_label_values(&[model, kind]).inc_by(count);
        }
    }

    /// A renewal: is the lease still ours? `None` where the database did not say.
    pub fn renewed(&self, ours: Option<bool>) {
        let result = match ours {
            Some(true) => "renewed",
            Some(false) => "lost",
            None => "failed",
        };
        self.lease_renewals_total.with_label_values(&[result]).inc();
    }

    /// What the schedule says at the end of a tick.
    pub fn schedule(&self, counts: &ScheduleCounts) {
        self.due_missions.set(counts.due);
        self.oldest_due_slot_age_seconds.set(counts.oldest_age().as_secs_f64());
        self.quarantined_missions.set(counts.quarantined);
    }

    /// The connections at this moment.
    pub fn pool(&self, pool: PoolUse) {
        for (state, connections) in [("idle", pool.idle), ("used", pool.used), ("max", pool.max)] {
            let connections = i64::try_from(connections).unwrap_or(i64::MAX);
            self.pool_connections.with_label_values(&[state]).set(connections);
        }
    }
}
