//! When a slot is tried again: pure, so every case is cheap.

use std::time::Duration;

use mana_ai::attempt::retry::{NextAttempt, REST, RetryPolicy, Tried};
use mana_ai::domain::run::Disposition;
use proptest::prelude::*;

const POLICY: RetryPolicy =
    RetryPolicy { max_attempts: 5, shortest: Duration::from_secs(30), longest: Duration::from_mins(30) };

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn tried(attempt: u32, jitter: f64) -> Tried {
    Tried { attempt, failed_slots: 0, uncharged_refusals: 0, jitter }
}

#[test]
fn each_disposition_has_its_next_attempt() {
    use Disposition::{Misconfigured, MissionFault, Permanent, RateLimited, Transient, Uncharged};
    let limited = RateLimited { retry_after: secs(17) };
    for (disposition, attempt, failed_slots, expected) in [
        (Transient, 5, 0, NextAttempt::NextSlot),
        (MissionFault, 5, 0, NextAttempt::NextSlot),
        (Transient, 6, 9, NextAttempt::NextSlot),
        (Transient, 1, 5, NextAttempt::After(REST)),
        (MissionFault, 4, 7, NextAttempt::After(REST)),
        // Not charged, and behind the others next time.
        (limited, 99, 9, NextAttempt::After(secs(17 + 45))),
        (Misconfigured, 99, 9, NextAttempt::After(secs(45))),
        (Uncharged, 99, 9, NextAttempt::After(Duration::ZERO)),
        (Permanent, 1, 0, NextAttempt::OnNewRow),
    ] {
        let next = POLICY.next(disposition, Tried { failed_slots, ..tried(attempt, 0.5) });
        assert_eq!(next, expected, "{disposition:?} {attempt} {failed_slots}");
    }
}

#[test]
fn waits_grow_and_spread() {
    let wait = |attempt, jitter| match POLICY.next(Disposition::Transient, tried(attempt, jitter)) {
        NextAttempt::After(wait) => wait,
        other => panic!("{other:?}"),
    };
    for (attempt, longest) in [(1, 60), (2, 120), (3, 240), (4, 480)] {
        assert_eq!((wait(attempt, 0.0), wait(attempt, 1.0)), (secs(30), secs(longest)), "attempt {attempt}");
    }
    let patient = RetryPolicy { max_attempts: 100, ..POLICY };
    assert_eq!(
        patient.next(Disposition::MissionFault, tried(99, 1.0)),
        NextAttempt::After(secs(1800)),
        "no longer than that"
    );
}

proptest! {
    #[test]
    fn no_wait_is_out_of_bounds(attempt in 0_u32..10_000, jitter in any::<f64>(), shortest in 0_u64..10_000, more in 0_u64..10_000) {
        let policy = RetryPolicy { max_attempts: u32::MAX, shortest: secs(shortest), longest: secs(shortest + more) };
        let NextAttempt::After(wait) = policy.next(Disposition::Transient, tried(attempt, jitter)) else { panic!() };
        prop_assert!((secs(shortest)..=secs(shortest + more)).contains(&wait), "{wait:?}");
    }
}

/// If it is the mission's own text that is refused, the others come first, more and more.
#[test]
fn what_is_refused_again_waits_longer() {
    for (refusals, longest) in [(0, 60), (1, 120), (2, 240), (9, 1800)] {
        let next =
            POLICY.next(Disposition::Misconfigured, Tried { uncharged_refusals: refusals, ..tried(1, 1.0) });
        assert_eq!(next, NextAttempt::After(secs(longest)), "{refusals}");
    }
}
