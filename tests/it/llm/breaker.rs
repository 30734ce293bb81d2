//! When mana-llm is worth a call: pure, so every case is cheap.

use std::time::{Duration, Instant};

use mana_ai::domain::run::Disposition;
use mana_ai::llm::breaker::{Breaker, BreakerSettings, CallEnd, Permit, Why};
use mana_ai::llm::error::clamp_retry_after;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn retry_after_is_believed_within_reason() {
    for (asked, waited) in
        [(None, 30), (Some(secs(0)), 5), (Some(secs(17)), 17), (Some(secs(u64::MAX)), 3600)]
    {
        assert_eq!(clamp_retry_after(asked), secs(waited), "{asked:?}");
    }
}

fn breaker() -> Breaker {
    Breaker::new(BreakerSettings { failures: 5, pause: secs(30) })
}

fn failed() -> CallEnd {
    CallEnd::of(Disposition::Transient, "timeout".into())
}

fn call(breaker: &mut Breaker, end: CallEnd, now: Instant) {
    let probe = breaker.begin(now).unwrap();
    breaker.end(probe, end, now);
}

#[test]
fn five_failures_in_a_row_open_it_and_one_success_closes_it() {
    let (mut breaker, start) = (breaker(), Instant::now());
    for _ in 0..4 {
        call(&mut breaker, failed(), start);
    }
    call(&mut breaker, CallEnd::Answered, start);
    for _ in 0..4 {
        call(&mut breaker, failed(), start);
    }
    assert_eq!(breaker.permit(start), Permit::Any, "not five in a row");
    call(&mut breaker, failed(), start);
    let why = Why::Failing("timeout".into());
    assert_eq!(breaker.permit(start), Permit::Denied { why: why.clone(), wait: secs(30) });
    assert_eq!(breaker.begin(start), Err(why.clone()));

    let later = start + secs(30);
    assert_eq!(breaker.permit(later), Permit::Probe);
    assert_eq!(breaker.begin(later), Ok(true));
    assert!(breaker.begin(later).is_err(), "one probe at a time");
    breaker.end(true, failed(), later);
    assert_eq!(breaker.permit(later), Permit::Denied { why, wait: secs(30) }, "it failed: again");

    let last = later + secs(30);
    assert_eq!(breaker.begin(last), Ok(true));
    breaker.end(true, CallEnd::Dropped, last);
    assert_eq!(breaker.permit(last), Permit::Probe, "a probe that nobody waited for is no answer");
    call(&mut breaker, CallEnd::Answered, last);
    assert_eq!(breaker.permit(last), Permit::Any);
}

/// Sixty-four calls time out together: that is one opening, not one for each.
#[test]
fn those_who_began_before_it_opened_change_nothing() {
    let (mut breaker, start) = (breaker(), Instant::now());
    let probes: Vec<bool> = (0..64).map(|_| breaker.begin(start).unwrap()).collect();
    for (second, probe) in probes.into_iter().enumerate() {
        breaker.end(probe, failed(), start + secs(second as u64 / 5));
    }
    assert_eq!(breaker.permit(start + secs(30)), Permit::Probe);
}

#[test]
fn a_rate_limit_and_a_wrong_key_hold_it() {
    let (mut breaker, start) = (breaker(), Instant::now());
    let limited = Disposition::RateLimited { retry_after: secs(90) };
    call(&mut breaker, CallEnd::of(limited, "limit".into()), start);
    assert_eq!(breaker.permit(start), Permit::Denied { why: Why::RateLimited, wait: secs(90) });
    call(&mut breaker, CallEnd::Answered, start + secs(90));
    assert_eq!(breaker.why(), None);
    call(&mut breaker, CallEnd::of(Disposition::Misconfigured, "401".into()), start);
    assert!(breaker.begin(start + secs(3600)).is_err(), "not again in this tick");
    breaker.retry_configuration(start);
    assert_eq!(breaker.permit(start), Permit::Probe, "the next one may try whether it is mended");
    assert_eq!(breaker.why(), Some(&Why::Misconfigured("401".into())), "and it is known until then");
    call(&mut breaker, CallEnd::of(Disposition::MissionFault, "400".into()), start);
    assert_eq!(breaker.why(), None, "it refused one call, so it takes others");
}

/// Two calls are in flight, and each is refused for another reason. The fault of the configuration is the one that every
/// tick tries again, so it must not lend its 24 hours to the other one.
#[test]
fn a_fault_of_the_configuration_stays_one_when_another_call_is_told_to_wait() {
    let wrong_key = CallEnd::of(Disposition::Misconfigured, "502 auth".into());
    for wait in [
        Disposition::ProvidersDown { retry_after: secs(15) },
        Disposition::RateLimited { retry_after: secs(3600) },
    ] {
        let told_to_wait = CallEnd::of(wait, "wait".into());
        for ends in [[&wrong_key, &told_to_wait], [&told_to_wait, &wrong_key]] {
            let (mut breaker, start) = (breaker(), Instant::now());
            let probes = [breaker.begin(start).unwrap(), breaker.begin(start).unwrap()];
            for (probe, end) in probes.into_iter().zip(ends) {
                breaker.end(probe, end.clone(), start + secs(1));
            }
            let next_tick = start + secs(60);
            assert_eq!(breaker.why(), Some(&Why::Misconfigured("502 auth".into())), "{ends:?}");
            assert!(breaker.begin(next_tick).is_err(), "not again in this tick: {ends:?}");
            breaker.retry_configuration(next_tick);
            assert_eq!(breaker.begin(next_tick), Ok(true), "the next tick tries: {ends:?}");
            // The key is mended, and mana-llm still wants a wait: that one counts now, with its own reason.
            breaker.end(true, told_to_wait.clone(), next_tick);
            assert!(!matches!(breaker.why(), None | Some(Why::Misconfigured(_))), "{ends:?}");
            assert_eq!(breaker.permit(next_tick + secs(3600)), Permit::Probe, "{ends:?}");
        }
    }
}

/// The shorter of two waits changes neither the end of the longer one nor its reason, in whichever order they come.
#[test]
fn the_longer_of_two_waits_keeps_its_reason() {
    let down = CallEnd::of(Disposition::ProvidersDown { retry_after: secs(15) }, "503".into());
    let limited = CallEnd::of(Disposition::RateLimited { retry_after: secs(90) }, "429".into());
    for ends in [[&down, &limited], [&limited, &down]] {
        let (mut breaker, start) = (breaker(), Instant::now());
        let probes = [breaker.begin(start).unwrap(), breaker.begin(start).unwrap()];
        for (probe, end) in probes.into_iter().zip(ends) {
            breaker.end(probe, end.clone(), start);
        }
        assert_eq!(
            breaker.permit(start),
            Permit::Denied { why: Why::RateLimited, wait: secs(90) },
            "{ends:?}"
        );
    }
}
