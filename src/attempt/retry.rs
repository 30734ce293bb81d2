//! What becomes of a slot after a failed attempt: one pure function of what failed and how often.

use std::time::Duration;

use crate::domain::run::Disposition;
use crate::store::schedule::claimed::ClaimedMission;

/// How often a slot is tried, and how long it waits between two attempts.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Attempts at a slot before it counts as failed.
    pub max_attempts: u32,
    /// The shortest wait between two attempts.
    pub shortest: Duration,
    /// The longest wait between two attempts.
    pub longest: Duration,
}

/// When the next attempt may be made. Each is one transition of the mission's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextAttempt {
    /// So long from now, at the same slot: `RetryAt`. Zero means: in the next tick.
    After(Duration),
    /// Not at this slot: it has failed, and its user is told. `SlotFailed`.
    NextSlot,
    /// Not before a device writes a row of the mission: `Parked`.
    OnNewRow,
}

/// With so many failed slots in a row behind it a mission is tried once a day.
pub const FAILED_SLOTS_BEFORE_REST: u32 = 5;
/// How long such a mission rests between two attempts.
pub const REST: Duration = Duration::from_hours(24);

/// What is known of an attempt that failed.
#[derive(Debug, Clone, Copy)]
pub struct Tried {
    /// The number of the attempt at its slot, from 1.
    pub attempt: u32,
    /// Slots that failed before this one, in a row.
    pub failed_slots: u32,
    /// Attempts before it that mana-llm or the database refused without a charge, in a row.
    pub uncharged_refusals: u32,
    /// From 0 to 1, and random: where in the range of its wait this attempt lands, so that missions which failed
    /// together do not return together.
    pub jitter: f64,
}

impl Tried {
    /// What the claim knows of its attempt. The jitter is the lease's token: random, new for each attempt, and
    /// already there.
    pub fn of(claimed: &ClaimedMission) -> Self {
        Self {
            attempt: claimed.attempt.0,
            failed_slots: claimed.failed_slots.0,
            uncharged_refusals: claimed.uncharged_refusals.0,
            jitter: f64::from(claimed.lease_token.as_fields().0) / f64::from(u32::MAX),
        }
    }
}

impl RetryPolicy {
    /// When the next attempt may be made after one that failed.
    ///
    /// An attempt that mana-llm or the database refuses is not charged, but waits longer each time: if it is the
    /// mission's own text that is refused, other missions must come first, or this one would be the only call of every
    /// tick.
    pub fn next(&self, disposition: Disposition, tried: Tried) -> NextAttempt {
        let refused = || self.backoff(tried.uncharged_refusals.saturating_add(1), tried.jitter);
        match disposition {
            Disposition::Permanent => NextAttempt::OnNewRow,
            Disposition::Uncharged => NextAttempt::After(Duration::ZERO),
            Disposition::Misconfigured | Disposition::RefusedByDatabase => NextAttempt::After(refused()),
            Disposition::RateLimited { retry_after } | Disposition::ProvidersDown { retry_after } => {
                NextAttempt::After(retry_after + refused())
            }
            Disposition::Transient | Disposition::MissionFault if tried.attempt >= self.max_attempts => {
                NextAttempt::NextSlot
            }
            Disposition::Transient | Disposition::MissionFault
                if tried.failed_slots >= FAILED_SLOTS_BEFORE_REST =>
            {
                NextAttempt::After(REST)
            }
            Disposition::Transient | Disposition::MissionFault => {
                NextAttempt::After(self.backoff(tried.attempt, tried.jitter))
            }
        }
    }

    /// Exponential with full jitter: anywhere between the shortest wait and twice it, four times it, and so
    /// on, up to the longest. In whole milliseconds, which the database's intervals can hold.
    fn backoff(&self, attempt: u32, jitter: f64) -> Duration {
        let ceiling = self.shortest.saturating_mul(2_u32.saturating_pow(attempt)).min(self.longest);
        let room = ceiling.saturating_sub(self.shortest);
        let wait = self.shortest + room.mul_f64(jitter.clamp(0.0, 1.0));
        Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
    }
}

/// How long a mission rests after its slot has failed, `failed_slots` in a row with this one.
pub fn rest_after(failed_slots: u32) -> Option<Duration> {
    (failed_slots >= FAILED_SLOTS_BEFORE_REST).then_some(REST)
}
