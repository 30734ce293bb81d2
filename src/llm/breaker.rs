//! The circuit breaker in front of mana-llm: whether a call may begin now. Pure: the clock comes in.
//!
//! After some failures in a row it opens, so that nothing waits for a timeout that is known to come. When
//! its pause is over one call may try, the probe; its success closes it. A `Retry-After` and a fault of the
//! configuration hold it open in the same way.

use std::time::{Duration, Instant};

use crate::domain::run::Disposition;

/// A fault of the configuration holds it until [`Breaker::retry_configuration`]; this is only longer than any
/// tick.
const UNTIL_NEXT_TICK: Duration = Duration::from_hours(24);

/// When it opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct BreakerSettings {
    /// Transient failures in a row that open it.
    pub failures: u32,
    /// How long it stays open before a probe.
    pub pause: Duration,
}

/// Is mana-llm worth a call?
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

/// Why it is open. The texts are of our own errors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Too many failures in a row; the last one.
    #[error("the circuit to mana-llm is open after repeated failures, the last: {0}")]
    Failing(String),
    /// It asked us to wait.
    #[error("mana-llm limits the rate")]
    RateLimited,
    /// It refuses us as we are configured.
    #[error("{0}")]
    Misconfigured(String),
}

/// Where the circuit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum State {
    /// Calls may begin.
    Closed,
    /// None may.
    Open,
    /// One may, or is at it: it decides.
    HalfOpen,
}

/// May a call begin?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permit {
    /// Any number.
    Any,
    /// One, to see whether it is well again.
    Probe,
    /// None.
    Denied {
        /// Why.
        why: Why,
        /// When a probe may try, from now; zero while one is at it.
        wait: Duration,
    },
}

impl Breaker {
    /// Closed: calls may begin.
    pub fn new(settings: BreakerSettings) -> Self {
        Self { settings, failures: 0, open: None }
    }

    /// What a call would be told now.
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

    /// As it is seen from outside.
    pub fn state(&self, now: Instant) -> State {
        match &self.open {
            None => State::Closed,
            Some(open) if !open.probing && now < open.until => State::Open,
            Some(_) => State::HalfOpen,
        }
    }

    /// Why it is open, also when a probe may try or is at it.
    pub fn why(&self) -> Option<&Why> {
        self.open.as_ref().map(|open| &open.why)
    }

    /// A tick begins, or an operator asks: one call may try whether the configuration has been mended.
    pub fn retry_configuration(&mut self, now: Instant) {
        if let Some(open) = self.open.as_mut().filter(|open| matches!(open.why, Why::Misconfigured(_))) {
            open.until = now;
        }
    }

    /// A call begins, if it may: `Ok` says whether it is the probe. Each is followed by [`Self::end`].
    pub fn begin(&mut self, now: Instant) -> Result<bool, Why> {
        if let Permit::Denied { why, .. } = self.permit(now) {
            return Err(why);
        }
        // Whoever may begin while it is open is the probe.
        if let Some(open) = &mut self.open {
            open.probing = true;
        }
        Ok(self.open.is_some())
    }

    /// A call ended: without a failure of mana-llm, with one and its message, or it was dropped before it
    /// ended, which tells nothing.
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
            CallEnd::Failed(Disposition::Misconfigured, message) => {
                self.open_until(now + UNTIL_NEXT_TICK, Why::Misconfigured(message));
            }
            CallEnd::Failed(_, message) => self.count_failure(probe, message, now),
        }
    }

    /// One that began before it opened says nothing new.
    fn count_failure(&mut self, probe: bool, message: String, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if probe || (self.open.is_none() && self.failures >= self.settings.failures) {
            self.open_until(now + self.settings.pause, Why::Failing(message));
        }
    }

    /// The longer wait wins.
    fn open_until(&mut self, until: Instant, why: Why) {
        let probing = self.open.as_ref().is_some_and(|open| open.probing);
        let later = self.open.as_ref().map_or(until, |open| open.until.max(until));
        self.open = Some(Open { until: later, why, probing });
    }
}

/// How a call ended, as far as it tells of mana-llm's health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallEnd {
    /// It answered, be it nonsense: it is there.
    Answered,
    /// It failed in this way, with this message.
    Failed(Disposition, String),
    /// Nobody waited for the end.
    Dropped,
}

impl CallEnd {
    /// Of a call that failed. That this one call was refused says that mana-llm is there.
    pub fn of(disposition: Disposition, message: String) -> Self {
        if disposition == Disposition::MissionFault {
            Self::Answered
        } else {
            Self::Failed(disposition, message)
        }
    }
}
