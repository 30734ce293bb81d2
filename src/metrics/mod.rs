//! The Prometheus metrics. The doc comment of a series is its help text. Every series exists from the start, at zero;
//! those of HTTP begin with the routes, in `http/metrics.rs`. No label holds a user, a mission, or anything that a user
//! wrote.
//!
//! The registry is a value and not global, because the tests run many services in one process.

mod define;
mod models;

use std::time::Duration;

use prometheus::{
    Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, TextEncoder,
};

pub use define::GaugeGuard;
use define::{counters, each, gauges, histogram, histograms, metrics};
use models::{Models, NONE};

use crate::domain::healing::Lost;
use crate::domain::run::{CallTokens, RunOutcome};
use crate::store::pool::PoolUse;
use crate::store::schedule::queries::ScheduleCounts;

/// Bounds for ticks and refreshes, in seconds: from an idle tick to one that takes ten minutes.
const TICK_BUCKETS: [f64; 18] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1., 2.5, 5., 10., 30., 60., 120., 300., 600.];
/// Bounds for calls of mana-llm, in seconds: from a refusal at once to the longest timeout in use.
const CALL_BUCKETS: [f64; 11] = [0.1, 0.25, 0.5, 1., 2.5, 5., 10., 20., 30., 60., 120.];
/// Bounds for HTTP requests, in seconds: from `/health` to the point where most clients give up.
const HTTP_BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1., 2.5, 5., 10.];

/// The names of the circuit breaker's states, as `llm::breaker::State` prints them; the first is the state at the
/// start. A test of `llm/` compares the two lists, because importing one from the other would close a circle.
pub const BREAKER_STATES: [&str; 3] = ["closed", "open", "half-open"];

metrics! {
    /// Ticks that ended, broken-off ones included.
    ticks_total: IntCounter = IntCounter::with_opts;
    /// Time from the start of a tick to its end, in seconds.
    tick_duration_seconds: Histogram = histogram(&TICK_BUCKETS);
    /// Ticks that ended early because of the database or its set-up.
    ticks_broken_off_total: IntCounter = IntCounter::with_opts;
    /// Ticks that did not begin because another one was running in the same process.
    ticks_skipped_total: IntCounter = IntCounter::with_opts;
    /// Configured time from the start of one tick of the loop to the start of the next, in seconds; 0 where no loop runs.
    tick_interval_seconds: Gauge = Gauge::with_opts;

    /// Missions claimed under a lease; each claim begins an attempt.
    missions_claimed_total: IntCounter = IntCounter::with_opts;
    /// Attempts by outcome, as in mission_runs. A lost attempt is counted by the process that claims the mission
    /// next; if it ends late after all, it is also counted as lease-lost.
    attempts_total: IntCounterVec = counters(["outcome"], each::<RunOutcome>());
    /// Plans that passed validation.
    plans_produced_total: IntCounter = IntCounter::with_opts;
    /// Plans that were written to the log.
    plans_written_back_total: IntCounter = IntCounter::with_opts;
    /// Attempts that ended without a usable plan though the model answered, the repair call included.
    parse_failures_total: IntCounter = IntCounter::with_opts;
    /// Repair calls: second calls that tell the model what was wrong with its first answer.
    repairs_total: IntCounter = IntCounter::with_opts;
    /// Attempts that ended with an error an operator should know of, and missions that became unreadable.
    mission_errors_total: IntCounter = IntCounter::with_opts;
    /// Attempts put off because their user's calls of the last 24 hours were used up (CALLS_PER_USER_PER_DAY).
    over_budget_total: IntCounter = IntCounter::with_opts;
    /// Slots whose last attempt failed; the user sees that in the mission.
    slots_failed_total: IntCounter = IntCounter::with_opts;
    /// Plans thrown away at the write, because the lease was lost or the mission had changed.
    stale_writes_refused_total: IntCounter = IntCounter::with_opts;
    /// Lease renewals by result: renewed, lost to another replica, or failed because of the database.
    lease_renewals_total: IntCounterVec = counters(["result"], [["renewed"], ["lost"], ["failed"]]);

    /// Rows of the log that refreshes of the schedule have read.
    refresh_rows_total: IntCounter = IntCounter::with_opts;
    /// Rows that restored what an old list of a device hid, beside those of plans.
    healing_rows_total: IntCounter = IntCounter::with_opts;
    /// What rows of ours restored: whole iterations, texts of feedback, statuses, and ids of proposals.
    healed_total: IntCounterVec = counters(["what"], [["iterations"], ["feedback"], ["statuses"], ["proposals"]]);
    /// Time from the start of a refresh to its end, in seconds; refreshes left to another replica are not counted.
    refresh_duration_seconds: Histogram = histogram(&TICK_BUCKETS);
    /// Rows of the log that were read to compare the schedule with the whole log.
    comparison_rows_total: IntCounter = IntCounter::with_opts;
    /// Rows of the schedule that differed from the whole log and were corrected; the first comparison of a database counts
    /// all missions that are older than the overlap.
    schedule_mended_total: IntCounter = IntCounter::with_opts;

    /// Duration of mana-llm calls in seconds, by the model that answered; model is none where nothing answered.
    planner_request_duration_seconds: HistogramVec = histograms(["model"], [[NONE]], &CALL_BUCKETS);
    /// Tokens as mana-llm counts them, by model and kind: prompt or completion.
    llm_tokens_total: IntCounterVec = counters(["model", "kind"], [[NONE, "prompt"], [NONE, "completion"]]);
    /// State of the circuit breaker for mana-llm: 1 at the current state. Open: no calls; half-open: the next call
    /// decides.
    breaker_state: IntGaugeVec = gauges("state", BREAKER_STATES.map(|state| [state]));

    /// Missions of all users that could be claimed when the last tick ended; counted up to 10000.
    due_missions: IntGauge = IntGauge::with_opts;
    /// How long the oldest slot that could be claimed had been due when the last tick ended, in seconds.
    oldest_due_slot_age_seconds: Gauge = Gauge::with_opts;
    /// How long before the end of the last tick the last complete comparison with the whole log had begun, in seconds; 0
    /// before the first.
    comparison_age_seconds: Gauge = Gauge::with_opts;
    /// Missions that wait for a new row and count as quarantined, when the last tick ended; counted up to 10000.
    quarantined_missions: IntGauge = IntGauge::with_opts;
    /// Attempts in flight in this process.
    in_flight_missions: IntGauge = IntGauge::with_opts;
    /// Calls of mana-llm in flight in this process.
    in_flight_calls: IntGauge = IntGauge::with_opts;
    /// Database connections of this process by state: idle, used, and max, the most there may be.
    pool_connections: IntGaugeVec = gauges("state", [["idle"], ["used"], ["max"]]);
    /// Whether the runner is paused, in all replicas: 1 or 0, as the last tick saw it.
    paused: IntGauge = IntGauge::with_opts;

    /// Answers of the HTTP server by method, route and status; route is unmatched where no route fits.
    http_requests_total: IntCounterVec = counters(["method", "route", "status"], []);
    /// Time from a request's headers to its answer, in seconds.
    http_request_duration_seconds: HistogramVec = histograms(["method", "route"], [], &HTTP_BUCKETS);
    /// The version that runs; always 1.
    build_info: IntGaugeVec = gauges("version", [[env!("CARGO_PKG_VERSION")]]);
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All series at their first values.
    pub fn new() -> Self {
        let metrics = Self::register().expect("names and labels are literals, and each name is there once");
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics.set_breaker_state(BREAKER_STATES[0]);
        #[cfg(target_os = "linux")]
        metrics
            .registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .expect("no series of ours begins with process_");
        metrics
    }

    /// All series in the text format of Prometheus.
    ///
    /// # Errors
    /// A series cannot be written as text, which would be a fault of the code.
    pub fn text(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// Sets the state of the circuit breaker, one of [`BREAKER_STATES`].
    pub fn set_breaker_state(&self, state: &str) {
        for known in BREAKER_STATES {
            self.breaker_state.with_label_values(&[known]).set(i64::from(known == state));
        }
    }

    /// Counts a call of mana-llm that ended. `model` is the one that answered, where one did and said so.
    pub fn count_call(&self, model: Option<&str>, took: Duration, tokens: CallTokens) {
        let model = self.models.label(model);
        self.planner_request_duration_seconds.with_label_values(&[model]).observe(took.as_secs_f64());
        for (kind, count) in [("prompt", tokens.prompt), ("completion", tokens.completion)] {
            self.llm_tokens_total.with_label_values(&[model, kind]).inc_by(count);
        }
    }

    /// Counts what a row of ours restored.
    pub fn count_healed(&self, lost: Lost) {
        let Lost { iterations, feedback, statuses, proposals } = lost;
        let counts = [
            ("iterations", iterations),
            ("feedback", feedback),
            ("statuses", statuses),
            ("proposals", proposals),
        ];
        for (what, count) in counts {
            self.healed_total.with_label_values(&[what]).inc_by(u64::from(count));
        }
    }

    /// Counts a lease renewal. `ours` tells whether the lease is still ours; `None` where the database gave no answer.
    pub fn count_renewal(&self, ours: Option<bool>) {
        let result = match ours {
            Some(true) => "renewed",
            Some(false) => "lost",
            None => "failed",
        };
        self.lease_renewals_total.with_label_values(&[result]).inc();
    }

    /// Sets the gauges of the schedule, as they are at the end of a tick.
    pub fn set_schedule(&self, counts: &ScheduleCounts) {
        self.due_missions.set(counts.due);
        self.oldest_due_slot_age_seconds.set(counts.oldest_age().as_secs_f64());
        self.comparison_age_seconds.set(counts.comparison_age().as_secs_f64());
        self.quarantined_missions.set(counts.quarantined);
    }

    /// Sets the numbers of connections, as they are at this moment.
    pub fn set_pool(&self, pool: PoolUse) {
        for (state, connections) in [("idle", pool.idle), ("used", pool.used), ("max", pool.max)] {
            let connections = i64::try_from(connections).unwrap_or(i64::MAX);
            self.pool_connections.with_label_values(&[state]).set(connections);
        }
    }
}
