//! When a mission runs next, in the arithmetic of the devices (`tests/vectors/cadence.json`).

use croner::Cron;
use jiff::{SignedDuration, Span, Timestamp, ToSpan, Zoned, civil, tz::TimeZone};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A mission's cadence, checked: every value is in its range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cadence {
    /// Only when the user says so.
    Manual,
    /// So long after the last run.
    Interval(SignedDuration),
    /// Each day at that local time.
    Daily(civil::Time),
    /// Each week: day 0 is Sunday.
    Weekly(i8, civil::Time),
    /// A cron expression in local time.
    Cron(Box<Cron>),
}

/// Why a cadence cannot be read; quotes nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CadenceError {
    /// No cadence at all, or one of a kind that came later than this service.
    #[error(
        "is none of manual, interval (everyMinutes), daily (atHour, atMinute), weekly (dayOfWeek, atHour), cron (expression)"
    )]
    Unknown,
    /// A value is out of range, such as hour 25.
    #[error(
        "has a value out of its range: everyMinutes 1 to 5256000, dayOfWeek 0 to 6, atHour 0 to 23, atMinute 0 to 59"
    )]
    OutOfRange,
    /// The expression is not cron.
    #[error("has an expression that is not cron")]
    NotCron,
}

/// When a mission runs, in its user's local time. `dayOfWeek` 0 is Sunday.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "demo", derive(ts_rs::TS), ts(rename = "MissionCadence"))]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[expect(missing_docs, reason = "the wire's own names, see the design of the record")]
pub enum CadenceFromLog {
    Manual,
    Interval { every_minutes: f64 },
    Daily { at_hour: i8, at_minute: i8 },
    Weekly { day_of_week: i8, at_hour: i8 },
    Cron { expression: String },
}

const MINUTES_IN_TEN_YEARS: f64 = 5_256_000.0;

impl Cadence {
    /// Reads the field as it stands in the record.
    ///
    /// # Errors
    /// Where it is no cadence, or a value is out of its range.
    pub fn parse(raw: &RawValue) -> Result<Self, CadenceError> {
        let at = |hour, minute| civil::Time::new(hour, minute, 0, 0).map_err(|_| CadenceError::OutOfRange);
        match serde_json::from_str(raw.get()).map_err(|_| CadenceError::Unknown)? {
            CadenceFromLog::Manual => Ok(Self::Manual),
            CadenceFromLog::Interval { every_minutes }
                if (1.0..=MINUTES_IN_TEN_YEARS).contains(&every_minutes) =>
            {
                Ok(Self::Interval(SignedDuration::from_secs_f64((every_minutes * 60.0).round())))
            }
            CadenceFromLog::Interval { .. } => Err(CadenceError::OutOfRange),
            CadenceFromLog::Daily { at_hour, at_minute } => Ok(Self::Daily(at(at_hour, at_minute)?)),
            CadenceFromLog::Weekly { day_of_week: day @ 0..=6, at_hour } => {
                Ok(Self::Weekly(day, at(at_hour, 0)?))
            }
            CadenceFromLog::Weekly { .. } => Err(CadenceError::OutOfRange),
            CadenceFromLog::Cron { expression } => {
                let cron = expression.parse().map_err(|_| CadenceError::NotCron)?;
                Ok(Self::Cron(Box::new(cron)))
            }
        }
    }

    /// The first slot after `from`, in the rules of `zone`; `None` where there is none.
    pub fn next_run(&self, from: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let local = from.to_zoned(zone.clone());
        match self {
            Self::Manual => None,
            Self::Interval(every) => from.checked_add(*every).ok(),
            Self::Daily(at) => next_at(&local, *at, 0, 1.day()),
            Self::Weekly(day, at) => {
                let days = (day - local.weekday().to_sunday_zero_offset()).rem_euclid(7);
                next_at(&local, *at, days, 1.week())
            }
            Self::Cron(cron) => Some(cron.find_next_occurrence(&local, false).ok()?.timestamp()),
        }
    }

    /// The zone in which the user means this cadence. We are not told it, but the previous slot
    /// tells: the default zone, if its rules lead to that slot; else the fixed offset that the slot
    /// implies; the default zone where neither fits (a slot that somebody set by hand).
    pub fn zone(&self, previous: Option<Timestamp>, default: &TimeZone) -> TimeZone {
        let Some((previous, period)) = previous.zip(self.period()) else {
            return default.clone();
        };
        // A slot right after a night without that hour carries yesterday's shift, as on a device:
        // it is still a slot of the zone, reached from one period before.
        let by_default = [SignedDuration::from_millis(1), period].into_iter().any(|before| {
            previous.checked_sub(before).is_ok_and(|from| self.next_run(from, default) == Some(previous))
        });
        let implied = || (!by_default).then(|| self.implied_offset(previous)).flatten();
        implied().unwrap_or_else(|| default.clone())
    }

    fn period(&self) -> Option<SignedDuration> {
        match self {
            Self::Daily(_) => Some(SignedDuration::from_hours(24)),
            Self::Weekly(..) => Some(SignedDuration::from_hours(7 * 24)),
            Self::Manual | Self::Interval(_) | Self::Cron(_) => None,
        }
    }

    /// The offset under which `slot` reads as this cadence's local time, if such a place exists: a
    /// multiple of 15 minutes. A daily slot fits two offsets a day apart; of those it is the first one from
    /// UTC-10:00 on, so UTC+13:45 at most: nearly everybody lives there.
    fn implied_offset(&self, slot: Timestamp) -> Option<TimeZone> {
        let utc = slot.to_zoned(TimeZone::UTC).datetime();
        let (at, days, westernmost) = match self {
            Self::Daily(at) => (at, -1..=1, -10),
            Self::Weekly(day, at) => {
                let days = (day - utc.weekday().to_sunday_zero_offset() + 3).rem_euclid(7) - 3;
                (at, days..=days, -12)
            }
            Self::Manual | Self::Interval(_) | Self::Cron(_) => return None,
        };
        let mut implied = days.filter_map(|days| {
            let local = utc.date().checked_add(days.days()).ok()?.to_datetime(*at);
            i32::try_from(utc.duration_until(local).as_secs()).ok()
        });
        let offsets = westernmost * 3600..=14 * 3600;
        let offset = implied.find(|seconds| seconds % (15 * 60) == 0 && offsets.contains(seconds))?;
        Some(jiff::tz::Offset::from_seconds(offset).ok()?.to_time_zone())
    }
}

/// As JavaScript's `setHours` and `setDate` do it: the time is set on today's date first, then whole
/// days are added to *that*. Where today has no such hour, the time shifted by it stays shifted.
fn next_at(now: &Zoned, at: civil::Time, days: i8, period: Span) -> Option<Timestamp> {
    let zone = now.time_zone();
    let on = |local: civil::DateTime| Some(zone.to_ambiguous_zoned(local).compatible().ok()?.datetime());
    let today = on(now.date().to_datetime(at))?;
    let mut next = on(today.checked_add(days.days()).ok()?)?;
    if zone.to_zoned(next).ok()?.timestamp() <= now.timestamp() {
        next = on(next.checked_add(period).ok()?)?;
    }
    Some(zone.to_zoned(next).ok()?.timestamp())
}
