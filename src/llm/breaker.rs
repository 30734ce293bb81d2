//! The circuit breaker in front of mana-llm: whether a call may begin now. Pure: the clock comes in.
//!
//! It is closed while calls flow. After `BREAKER_FAILURES` in a row it opens, so that no mission waits for a timeout
//! that is known to come. When its pause is over one call may try, the probe: a success closes it, a failure opens it
//! again. A `Retry-After`, providers that are down and a fault of the configuration open it at once.

use std::time::{Duration, Instant};

use crate::domain::run::Disposition;

/// A fault of the configuration keeps it open until [`Breaker::retry_configuration`], which every tick calls. This is
/// longer than any tick, and only an upper bound.
const UNTIL_NEXT_TICK: Duration = Duration::from_hours(24);

/// When it opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct BreakerSettings {
    /// So many transient failures in a row open it.
    pub failures: u32,
    /// How long it then stays open before a probe.
    pub pause: Duration,
}

/// Tells each call whether it may begin, by how the calls before it ended.
#[derive(Debug, Clone)]
pub struct Breaker {
    settings: BreakerSettings,
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug, Clone)]
struct Open {
    until: Instant,
    why: Why,
    probing: bool,
}

/// Why it is open. No text in it is mana-llm's or a mission's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Too many failures in a row; the message of the last one.
    #[error("the circuit to mana-llm is open after repeated failures, the last: {0}")]
    Failing(String),
    /// mana-llm asked us to wait.
    #[error("mana-llm limits the rate")]
    RateLimited,
    /// None of mana-llm's providers works.
    #[error("mana-llm has no healthy provider")]
    ProvidersDown,
    /// mana-llm refuses us as we are configured; the message says how.
    #[error("{0}")]
    Misconfigured(String),
}

/// The state of the circuit, under the names that circuit breakers have for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum State {
    /// Calls flow.
    Closed,
    /// No call may begin.
    Open,
    /// One call may begin or has begun, and decides.
    HalfOpen,
}

/// May a call begin?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permit {
    /// Any number may.
    Any,
    /// One may, to see whether mana-llm works again.
    Probe,
    /// None may.
    Denied {
        /// Why the circuit is open.
        why: Why,
        /// From now until a probe may try; zero while one is in flight.
        wait: Duration,
    },
}

impl Breaker {
    /// Closed: calls flow.
    pub fn new(settings: BreakerSettings) -> Self {
        Self { settings, failures: 0, open: None }
    }

    /// What a call would be told now. Changes nothing.
    pub fn permit(&self, now: Instant) -> Permit {
        match &self.open {
            None => Permit::Any,
            Some(open) if open.probing || now < open.until => {
                let wait = open.until.saturating_duration_since(now);
                Permit::Denied { why: open.why.clone(), wait }
            }
            Some(_) => Permit::Probe,
        }
    }

    /// The state as metrics show it.
    pub fn state(&self, now: Instant) -> State {
        match &self.open {
            None => State::Closed,
            Some(open) if !open.probing && now < open.until => State::Open,
            Some(_) => State::HalfOpen,
        }
    }

    /// Why it is open, also while a probe may try or is in flight; `None` while it is closed.
    pub fn why(&self) -> Option<&Why> {
        self.open.as_ref().map(|open| &open.why)
    }

    /// Lets one call try whether a fault of the configuration has been mended. For the start of a tick, and for a run
    /// on demand.
    pub fn retry_configuration(&mut self, now: Instant) {
        if let Some(open) = self.open.as_mut().filter(|open| matches!(open.why, Why::Misconfigured(_))) {
            open.until = now;
        }
    }

    /// A call begins; `true` says that it is the probe. Each is followed by one [`Self::end`].
    ///
    /// # Errors
    /// Where no call may begin now, and why.
    pub fn begin(&mut self, now: Instant) -> Result<bool, Why> {
        if let Permit::Denied { why, .. } = self.permit(now) {
            return Err(why);
        }
        if let Some(open) = &mut self.open {
            open.probing = true;
        }
        Ok(self.open.is_some())
    }

    /// A call ended. One that was dropped tells nothing of mana-llm, but makes room for another probe.
    pub fn end(&mut self, probe: bool, end: CallEnd, now: Instant) {
        if let (true, Some(open)) = (probe, &mut self.open) {
            open.probing = false;
        }
        match end {
            CallEnd::Dropped => {}
            CallEnd::Answered => (self.failures, self.open) = (0, None),
            CallEnd::Failed(Disposition::RateLimited { retry_after }, _) => {
                self.open_until(now + retry_after, Why::RateLimited);
            }
            CallEnd::Failed(Disposition::ProvidersDown { retry_after }, _) => {
                self.open_until(now + retry_after, Why::ProvidersDown);
            }
            CallEnd::Failed(Disposition::Misconfigured, message) => {
                self.open_until(now + UNTIL_NEXT_TICK, Why::Misconfigured(message));
            }
            CallEnd::Failed(_, message) => self.count_failure(probe, message, now),
        }
    }

    /// A call that began before the circuit opened, and fails after that, does not prolong the pause.
    fn count_failure(&mut self, probe: bool, message: String, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if probe || (self.open.is_none() && self.failures >= self.settings.failures) {
            self.open_until(now + self.settings.pause, Why::Failing(message));
        }
    }

    /// Of two waits the longer one counts, and keeps its own reason: [`Self::retry_configuration`] goes by the reason.
    ///
    /// So a fault of the configuration yields to no 429 and no 503 of another call that was in flight: somebody must
    /// mend it, and those waits pass by themselves. Where such a wait still holds at the next tick, the probe is told
    /// so and opens the circuit for that wait.
    fn open_until(&mut self, until: Instant, why: Why) {
        match &mut self.open {
            Some(open) if until < open.until => {}
            Some(open) => (open.until, open.why) = (until, why),
            None => self.open = Some(Open { until, why, probing: false }),
        }
    }
}

/// How a call ended, as far as it tells of mana-llm's health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallEnd {
    /// mana-llm answered, if only to refuse this one call: it works.
    Answered,
    /// The call failed in this way, with this message.
    Failed(Disposition, String),
    /// The call was dropped before its end.
    Dropped,
}

impl CallEnd {
    /// The end of a call that failed. Where the fault is the mission's, mana-llm works.
    pub fn of(disposition: Disposition, message: String) -> Self {
        if disposition == Disposition::MissionFault {
            Self::Answered
        } else {
            Self::Failed(disposition, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray as _;

    use super::State;
    use crate::metrics::BREAKER_STATES;

    /// `metrics` repeats the names, because importing them from here would close a circle.
    #[test]
    fn metrics_name_the_same_states_in_the_same_order() {
        let names: Vec<&str> = State::VARIANTS.iter().map(|state| (*state).into()).collect();
        assert_eq!(names, BREAKER_STATES);
    }
}
