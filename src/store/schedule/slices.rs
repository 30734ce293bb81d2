//! The time of the overlap, cut into slices that stay the same from one refresh to the next, so that what was found in one
//! of them can be compared.

use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};

/// So many slices make the overlap: a changed one costs the ids of a tenth of it.
const PER_OVERLAP: i64 = 10;
/// The most slices of a refresh. After a long pause they are longer, and none is as it was.
const MOST: i64 = 100;
/// The shortest slice.
const SHORTEST: i64 = 1_000_000;

/// A slice of time; the last one has no end, because a row may carry any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slice {
    /// Where it begins: a multiple of its length.
    pub from: Timestamp,
    /// The first moment that is not in it; `None` in the last slice.
    pub until: Option<Timestamp>,
}

/// The slices that reach from `overlap` before `since` to `now` and beyond, in their order. The first one begins a little
/// earlier than asked for.
pub(super) fn slices(since: Timestamp, overlap: Duration, now: Timestamp) -> Vec<Slice> {
    let overlap = i64::try_from(overlap.as_micros()).unwrap_or(i64::MAX);
    let (now, since) = (now.as_microsecond(), since.as_microsecond().saturating_sub(overlap));
    let usual = (overlap / PER_OVERLAP).max(SHORTEST);
    let count = |length: i64| (now - since.min(now)) / length;
    let length = if count(usual) < MOST { usual } else { (now - since) / (MOST - 1) };
    let first = since.div_euclid(length);
    let last = now.div_euclid(length).max(first);
    let at = |index: i64| Timestamp::from_microsecond(index * length).unwrap_or(Timestamp::MIN);
    (first..=last)
        .map(|index| Slice { from: at(index), until: (index < last).then(|| at(index + 1)) })
        .collect()
}

/// The same time in fewer slices: those that follow one another are one, so that a mission with rows in each of them is
/// folded once.
pub(super) fn joined(slices: Vec<Slice>) -> Vec<Slice> {
    let mut joined: Vec<Slice> = Vec::new();
    for slice in slices {
        match joined.last_mut().filter(|last| last.until == Some(slice.from)) {
            Some(last) => last.until = slice.until,
            None => joined.push(slice),
        }
    }
    joined
}

impl Slice {
    /// Just before its first moment.
    pub fn before(&self) -> Timestamp {
        self.from.checked_sub(1.microsecond()).unwrap_or(Timestamp::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    #[test]
    fn slices_stay_the_same_while_time_goes_on() {
        let overlap = Duration::from_mins(10);
        let early = slices(at("2026-04-14T10:00:30Z"), overlap, at("2026-04-14T10:01:30.000001Z"));
        let late = slices(at("2026-04-14T10:01:30Z"), overlap, at("2026-04-14T10:02:30Z"));
        assert_eq!(early.first().map(|slice| slice.from), Some(at("2026-04-14T09:50:00Z")));
        assert_eq!(early.last(), Some(&Slice { from: at("2026-04-14T10:01:00Z"), until: None }));
        assert_eq!(early[1..early.len() - 1], late[..late.len() - 2]);
        assert!(early.windows(2).all(|pair| pair[0].until == Some(pair[1].from)));
        assert_eq!(joined(early.clone()), [Slice { from: early[0].from, until: None }]);
        assert_eq!(
            joined(vec![early[0], early[2], early[3]]),
            [early[0], Slice { until: early[3].until, ..early[2] }]
        );
    }

    #[test]
    fn there_are_never_many() {
        for (since, overlap) in
            [("1970-01-01T00:00:00Z", 600), ("2026-04-14T09:00:00Z", 0), ("2027-04-14T00:00:00Z", 0)]
        {
            let slices = slices(at(since), Duration::from_secs(overlap), at("2026-04-14T10:00:00Z"));
            assert!((1..=101).contains(&slices.len()), "{since}: {}", slices.len());
            assert!(slices[0].from <= at(since), "{since}");
        }
    }
}
