//! What becomes of a slot after a failed attempt: one pure function of what failed and how often.

use std::time::Duration;

use crate::domain::run::Disposition;

/// How patient the service is.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Attempts at a slot before it counts as failed.
    pub max_attempts: u32,
    /// The shortest wait between two attempts.
    pub shortest: Duration,
    /// The longest.
    pub longest: Duration,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another attempt, so long from now. Zero means: in the next tick.
    Again(Duration),
    /// That was the last one: the slot has failed, and its user is told.
    GiveUp,
    /// None before a device writes a row of the mission.
    OnNewRow,
}

/// With so many failed slots in a row behind it a mission is tried once a day.
pub const FAILED_SLOTS_BEFORE_REST: u32 = 5;
/// That is how long it rests.
pub const REST: Duration = Duration::from_hours(24);

/// What is known of an attempt that failed.
#[derive(Debug, Clone, Copy)]
pub struct Tried {
    /// Its number at this slot, from 1.
    pub attempt: u32,
    /// Slots that failed before this one, in a row.
    pub failed_slots: u32,
    /// Attempts before it that mana-llm refused without a charge, in a row.
    pub refusals: u32,
    /// From 0 to 1: the luck of this attempt, so that those who failed together do not return together.
    pub jitter: f64,
}

impl RetryPolicy {
    /// What comes after it.
    ///
    /// What mana-llm refuses is not charged, but waits longer each time: if it is the mission's own text that
    /// is refused, others must come first, or it would be the one call of every tick for ever.
    pub fn next(&self, disposition: Disposition, tried: Tried) -> Next {
        let refused = || self.backoff(tried.refusals.saturating_add(1), tried.jitter);
        match disposition {
            Disposition::Permanent => Next::OnNewRow,
            Disposition::Uncharged => Next::Again(Duration::ZERO),
            Disposition::Misconfigured => Next::Again(refused()),
            Disposition::RateLimited { retry_after } | Disposition::ProvidersDown { retry_after } => {
                Next::Again(retry_after + refused())
            }
            Disposition::Transient | Disposition::MissionFault if tried.attempt >= self.max_attempts => {
                Next::GiveUp
            }
            Disposition::Transient | Disposition::MissionFault
                if tried.failed_slots >= FAILED_SLOTS_BEFORE_REST =>
            {
                Next::Again(REST)
            }
            Disposition::Transient | Disposition::MissionFault => {
                Next::Again(self.backoff(tried.attempt, tried.jitter))
            }
        }
    }

    /// Exponential with full jitter: anywhere between the shortest wait and twice it, four times it, and so
    /// on, up to the longest. In whole milliseconds, which the database's intervals can hold.
    fn backoff(&self, attempt: u32, spread: f64) -> Duration {
        let ceiling = self.shortest.saturating_mul(2_u32.saturating_pow(attempt)).min(self.longest);
        let room = ceiling.saturating_sub(self.shortest);
        let wait = self.shortest + room.mul_f64(spread.clamp(0.0, 1.0));
        Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The rest that a mission takes after its slot has failed, `failed_slots` in a row with this one.
pub fn rest_after(failed_slots: u32) -> Option<Duration> {
    (failed_slots >= FAILED_SLOTS_BEFORE_REST).then_some(REST)
}
