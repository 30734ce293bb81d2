//! mana-llm behind its circuit breaker: the one door to it in this process.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::domain::run::Usage;
use crate::llm::breaker::{Breaker, BreakerSettings, CallEnd, Permit, State, Why};
use crate::llm::client::{Completion, LlmClient, LlmError};
use crate::metrics::{GaugeGuard, Metrics};
use crate::planner::prompt::{self, Messages};

/// Calls mana-llm, where that is worth it.
#[derive(Debug)]
pub struct LlmService {
    llm: LlmClient,
    breaker: Mutex<Breaker>,
    metrics: Arc<Metrics>,
}

/// Why there is no completion.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The call failed.
    #[error(transparent)]
    Llm(#[from] LlmError),
    /// It was not made: the circuit is open.
    #[error("not called: {0}")]
    CircuitOpen(Why),
}

impl LlmService {
    /// Open for calls.
    pub fn new(llm: LlmClient, settings: BreakerSettings, metrics: Arc<Metrics>) -> Self {
        Self { llm, breaker: Mutex::new(Breaker::new(settings)), metrics }
    }

    /// What a call would be told now.
    pub fn permit(&self) -> Permit {
        self.breaker().permit(Instant::now())
    }

    /// Where the circuit stands.
    pub fn state(&self) -> State {
        self.breaker().state(Instant::now())
    }

    /// Why calls are held, also while one probes whether they still have to be.
    pub fn why(&self) -> Option<Why> {
        self.breaker().why().cloned()
    }

    /// One call, if it may begin. What it costs is added to `spent`, also if it fails.
    pub async fn complete(&self, messages: &Messages, usage: &mut Usage) -> Result<Completion, CallError> {
        let mut call = Call::begin(self).map_err(CallError::CircuitOpen)?;
        let clock = Clock { began: Instant::now(), total: usage.latency.get_or_insert_default() };
        let result = self.llm.complete(messages).await;
        let took = clock.began.elapsed();
        drop(clock);
        let answer = result.as_ref().ok();
        let model = answer.and_then(|answer| answer.resolved_model.as_deref());
        self.metrics.called(model, took, answer.map(|answer| answer.usage).unwrap_or_default());
        match &result {
            Ok(completion) => {
                let tokens = completion.usage;
                usage.prompt_tokens = usage.prompt_tokens.saturating_add(tokens.prompt_tokens);
                usage.completion_tokens = usage.completion_tokens.saturating_add(tokens.completion_tokens);
                usage.model.clone_from(&completion.resolved_model);
                call.end = CallEnd::Answered;
            }
            Err(error) => call.end = CallEnd::of(error.disposition(), error.to_string()),
        }
        Ok(result?)
    }

    /// A tick begins, or an operator asks: whether the configuration has been mended may be tried once.
    pub fn retry_configuration(&self) {
        self.breaker().retry_configuration(Instant::now());
    }

    /// While the configuration was at fault, which `/ready` tells, and no mission is due to show that it is
    /// mended: one tiny call. It belongs to no attempt.
    pub async fn probe_configuration(&self) {
        if matches!((self.why(), self.permit()), (Some(Why::Misconfigured(_)), Permit::Probe)) {
            let _ = self.complete(&prompt::smallest(), &mut Usage::default()).await;
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Adds the time of a call to what was spent, also where it is dropped.
struct Clock<'usage> {
    began: Instant,
    total: &'usage mut Duration,
}

impl Drop for Clock<'_> {
    fn drop(&mut self) {
        *self.total += self.began.elapsed();
    }
}

/// A call that tells the breaker of its end, also when it is dropped: a probe must not be waited for for
/// ever.
struct Call<'service> {
    gate: &'service LlmService,
    probe: bool,
    end: CallEnd,
    _in_flight: GaugeGuard,
}

impl<'service> Call<'service> {
    fn begin(gate: &'service LlmService) -> Result<Self, Why> {
        let probe = gate.breaker().begin(Instant::now())?;
        let in_flight = GaugeGuard::by(&gate.metrics.in_flight_calls);
        Ok(Self { gate, probe, end: CallEnd::Dropped, _in_flight: in_flight })
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut breaker = self.gate.breaker();
        let before = breaker.why().cloned();
        let end = std::mem::replace(&mut self.end, CallEnd::Dropped);
        breaker.end(self.probe, end, Instant::now());
        match (before, breaker.why()) {
            (None, Some(why)) => tracing::error!(%why, "no more calls of mana-llm for now"),
            (Some(_), None) => tracing::info!("mana-llm is well again"),
            _ => {}
        }
    }
}
