//! mana-llm behind its circuit breaker: the one door to it in this process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::breaker::{Breaker, BreakerSettings, CallEnd, Permit, State, Why};
use super::client::{Completion, Cost, LlmClient};
use super::error::LlmError;
use crate::domain::run::Usage;
use crate::metrics::{GaugeGuard, Metrics};
use crate::planner::prompt::{self, Messages};

/// Calls mana-llm while the circuit breaker lets calls through.
#[derive(Debug)]
pub struct LlmService {
    client: LlmClient,
    breaker: Mutex<Breaker>,
    metrics: Arc<Metrics>,
}

/// Why there is no completion.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The call failed.
    #[error(transparent)]
    Llm(#[from] LlmError),
    /// The call was not made, because the circuit is open.
    #[error("not called: {0}")]
    CircuitOpen(Why),
}

impl LlmService {
    /// With the circuit closed: calls flow.
    pub fn new(client: LlmClient, settings: BreakerSettings, metrics: Arc<Metrics>) -> Self {
        Self { client, breaker: Mutex::new(Breaker::new(settings)), metrics }
    }

    /// Whether a call may begin now.
    pub fn permit(&self) -> Permit {
        self.breaker().permit(Instant::now())
    }

    /// The state of the circuit.
    pub fn state(&self) -> State {
        self.breaker().state(Instant::now())
    }

    /// Why no calls flow, also while a probe tries whether they may again.
    pub fn why(&self) -> Option<Why> {
        self.breaker().why().cloned()
    }

    /// Makes one call, if the circuit lets it begin. Adds to `usage` the time that it took, the tokens of its answer, also
    /// of one that is of no use, and the call itself, also where it fails or is dropped, unless it is sure that it cost nothing.
    ///
    /// # Errors
    /// [`CallError::CircuitOpen`] where no call may begin now, [`CallError::Llm`] where it failed.
    pub async fn complete(&self, messages: &Messages, usage: &mut Usage) -> Result<Completion, CallError> {
        let mut report = BreakerReport::begin(self).map_err(CallError::CircuitOpen)?;
        usage.calls += 1;
        let latency = LatencyGuard { began: Instant::now(), total: usage.latency.get_or_insert_default() };
        let mut cost = None;
        let result = self.client.complete(messages, &mut cost).await;
        let took = latency.began.elapsed();
        drop(latency);
        self.count(cost.as_ref(), took);
        if let Some(cost) = &cost {
            usage.add_call(cost.resolved_model.as_deref(), cost.tokens);
        }
        if result.as_ref().is_err_and(LlmError::costs_nothing) {
            usage.calls -= 1;
        }
        report.end = match &result {
            Ok(_) => CallEnd::Answered,
            Err(error) => CallEnd::of(error.disposition(), error.to_string()),
        };
        Ok(result?)
    }

    fn count(&self, cost: Option<&Cost>, took: Duration) {
        let model = cost.and_then(|cost| cost.resolved_model.as_deref());
        self.metrics.count_call(model, took, cost.map(|cost| cost.tokens).unwrap_or_default());
    }

    /// Lets one call try whether a fault of the configuration has been mended. For the start of a tick, and for a run
    /// on demand.
    pub fn retry_configuration(&self) {
        self.breaker().retry_configuration(Instant::now());
    }

    /// Makes one tiny call where the configuration was at fault and a probe may try. `/ready` tells of that fault, and
    /// without a due mission nothing else would find out that it is mended. The call belongs to no attempt.
    pub async fn probe_configuration(&self) {
        if matches!((self.why(), self.permit()), (Some(Why::Misconfigured(_)), Permit::Probe)) {
            let _ = self.complete(&prompt::smallest(), &mut Usage::default()).await;
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds the time of a call to the attempt's total on drop, so that a call which is dropped counts too.
struct LatencyGuard<'usage> {
    began: Instant,
    total: &'usage mut Duration,
}

impl Drop for LatencyGuard<'_> {
    fn drop(&mut self) {
        *self.total += self.began.elapsed();
    }
}

/// Reports the end of a call to the breaker on drop, so that a cancelled probe cannot block it.
struct BreakerReport<'service> {
    service: &'service LlmService,
    probe: bool,
    end: CallEnd,
    _in_flight: GaugeGuard,
}

impl<'service> BreakerReport<'service> {
    fn begin(service: &'service LlmService) -> Result<Self, Why> {
        let probe = service.breaker().begin(Instant::now())?;
        let in_flight = GaugeGuard::by(&service.metrics.in_flight_calls);
        Ok(Self { service, probe, end: CallEnd::Dropped, _in_flight: in_flight })
    }
}

impl Drop for BreakerReport<'_> {
    fn drop(&mut self) {
        let mut breaker = self.service.breaker();
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
