//! Times that a calendar can show: the shapes that JavaScript's `Date` and date-fns' `parseISO` both read, and read alike
//! (`tests/vectors/event-times.json` judges).

use jiff::civil::Date;

/// The shape of a time, as the prompt and a refusal state it.
pub const SHAPE: &str =
    "YYYY-MM-DDTHH:MM:SS with Z, an offset ±HH:MM or no zone, such as 2026-12-01T09:00:00+01:00";

const MS_PER_MINUTE: i64 = 60_000;
/// The offsets on earth, west and east of Greenwich, in minutes.
const WESTERNMOST: i64 = -12 * 60;
const EASTERNMOST: i64 = 14 * 60;

/// A time of an event, to the millisecond, as devices keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTime {
    /// What the clock on the wall shows, in milliseconds since 1970-01-01T00:00.
    local_ms: i64,
    /// Minutes east of Greenwich; `None` where the text names no zone.
    offset: Option<i64>,
}

impl EventTime {
    /// Reads `YYYY-MM-DDTHH:MM[:SS[.s…]]` with `Z`, `±HH:MM` or no zone. The hour 24 is the end of the day.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.split_at_checked(10)?;
        let (time, offset) = split_zone(time.strip_prefix('T')?)?;
        Some(Self { local_ms: day_ms(date)? + time_ms(time)?, offset })
    }

    /// Does it surely lie before `other`? Two local times and two instants are compared as they are. A local time is read
    /// in its user's zone, which only the device knows; so beside an instant it counts as earlier only where it is so in
    /// every zone on earth.
    pub fn is_before(self, other: Self) -> bool {
        match (self.offset, other.offset) {
            (None, None) => self.local_ms < other.local_ms,
            _ => self.utc_ms(WESTERNMOST) < other.utc_ms(EASTERNMOST),
        }
    }

    fn utc_ms(self, otherwise: i64) -> i64 {
        self.local_ms - self.offset.unwrap_or(otherwise) * MS_PER_MINUTE
    }
}

fn split_zone(text: &str) -> Option<(&str, Option<i64>)> {
    if let Some(time) = text.strip_suffix('Z') {
        return Some((time, Some(0)));
    }
    let Some(at) = text.find(['+', '-']) else { return Some((text, None)) };
    let (time, zone) = text.split_at(at);
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = zone[1..].split_once(':')?;
    Some((time, Some(sign * (two_digits(hours, 23)? * 60 + two_digits(minutes, 59)?))))
}

/// `YYYY-MM-DD`, a day that exists.
fn day_ms(text: &str) -> Option<i64> {
    let mut numbers = text.split('-');
    let (year, month, day) = (numbers.next()?, numbers.next()?, numbers.next()?);
    let year = Some(year).filter(|year| year.len() == 4 && is_digits(year))?;
    let (month, day) = (two_digits(month, 12)?, two_digits(day, 31)?);
    let date = Date::new(year.parse().ok()?, month.try_into().ok()?, day.try_into().ok()?).ok()?;
    let epoch = Date::constant(1970, 1, 1);
    Some(date.duration_since(epoch).as_hours() * 60 * MS_PER_MINUTE)
}

/// `HH:MM[:SS[.s…]]`. Digits after the third are cut off, as devices do.
fn time_ms(text: &str) -> Option<i64> {
    let (clock, fraction) =
        text.split_once('.').map_or((text, None), |(clock, digits)| (clock, Some(digits)));
    let mut numbers = clock.split(':');
    let (hour, minute) = (two_digits(numbers.next()?, 24)?, two_digits(numbers.next()?, 59)?);
    let second = numbers.next().map(|second| two_digits(second, 59));
    let thousandths = match (second, fraction) {
        (_, None) => 0,
        (Some(_), Some(digits)) if is_digits(digits) => format!("{digits:0<3}")[..3].parse().ok()?,
        _ => return None,
    };
    let ms = (hour * 60 + minute) * MS_PER_MINUTE + second.unwrap_or(Some(0))? * 1000 + thousandths;
    (numbers.next().is_none() && ms <= 24 * 60 * MS_PER_MINUTE).then_some(ms)
}

fn two_digits(text: &str, max: i64) -> Option<i64> {
    let number = Some(text).filter(|text| text.len() == 2 && is_digits(text))?.parse().ok()?;
    (number <= max).then_some(number)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_compares_what_can_be_compared() {
        let table = [
            ("2026-12-01T09:00", "2026-12-01T10:00", true),
            ("2026-12-01T10:00", "2026-12-01T09:00", false),
            ("2026-12-01T09:00", "2026-12-01T09:00", false),
            ("2026-12-01T09:00:00.001Z", "2026-12-01T09:00:00.002Z", true),
            ("2026-12-01T09:00:00.0019Z", "2026-12-01T09:00:00.0011Z", false),
            ("2026-12-01T10:00+02:00", "2026-12-01T09:00Z", true),
            ("2026-12-01T10:00+01:00", "2026-12-01T09:00Z", false),
            ("2026-12-01T09:00-00:30", "2026-12-01T09:29Z", false),
            ("2026-12-01T24:00Z", "2026-12-02T00:00Z", false),
            ("2026-12-01T24:00Z", "2026-12-02T00:01Z", true),
            // Local before an instant: by more than the twelve hours of the westernmost zone.
            ("2026-12-01T09:00", "2026-12-01T21:00Z", false),
            ("2026-12-01T09:00", "2026-12-01T21:01Z", true),
            // An instant before local: by more than the fourteen hours of the easternmost.
            ("2026-12-01T09:00Z", "2026-12-01T23:00", false),
            ("2026-12-01T09:00Z", "2026-12-01T23:01", true),
        ];
        for (one, two, expected) in table {
            let read = |text| EventTime::parse(text).expect("a time");
            assert_eq!(read(one).is_before(read(two)), expected, "{one} before {two}");
        }
    }
}
