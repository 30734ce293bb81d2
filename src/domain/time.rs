//! Timestamps as devices write and compare them.

use jiff::{Timestamp, ToSpan};

/// Stands in where a row carries no usable time: it loses against every real one.
pub const EPOCH: &str = "1970-01-01T00:00:00.000Z";

/// What JavaScript's `toISOString()` prints: `2026-04-14T10:00:00.000Z`, always milliseconds and `Z`.
/// Devices compare these **as strings**, so every digit of the shape matters.
pub fn iso(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// The timestamp under which a field written now wins on every device: `now`, or 1 ms past the
/// newest of `clocks`, so a device whose clock runs years ahead cannot bury it.
///
/// `None` where no valid timestamp sorts after a clock: it is not a time (`"soon"`), or it is the
/// end of time. A row under any timestamp of ours would be dropped by the device.
pub fn after(now: Timestamp, clocks: &[&str]) -> Option<String> {
    let now = iso(now);
    let Some(newest) = clocks.iter().max().filter(|newest| **newest >= &*now) else {
        return Some(now);
    };
    let next = newest.parse::<Timestamp>().ok()?.checked_add(1.millisecond()).ok()?;
    Some(iso(next)).filter(|next| next.as_str() > *newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-04-14T10:00:00.123456Z";

    #[test]
    fn after_is_now_unless_a_clock_is_ahead() {
        let table = [
            (&[][..], Some("2026-04-14T10:00:00.123Z")),
            (&["", EPOCH], Some("2026-04-14T10:00:00.123Z")),
            (&["2026-04-14T10:00:00.123Z"], Some("2026-04-14T10:00:00.124Z")),
            (&["2036-04-14T10:00:00.999Z", EPOCH], Some("2036-04-14T10:00:01.000Z")),
            (&["2036-04-14T10:00:00+02:00"], None),
            (&["soon"], None),
            (&["9999-12-31T23:59:59.999Z"], None),
        ];
        for (clocks, expected) in table {
            assert_eq!(after(NOW.parse().unwrap(), clocks).as_deref(), expected, "{clocks:?}");
        }
    }
}
