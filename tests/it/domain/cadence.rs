//! When a mission runs next, in which zone, and which cadences are refused.

use jiff::{Timestamp, tz::TimeZone};
use mana_ai::domain::cadence::Cadence;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

#[derive(Deserialize)]
struct CadenceVector {
    tz: String,
    from: Timestamp,
    cadence: Box<RawValue>,
    expected: Option<Timestamp>,
}

#[test]
fn next_run_agrees_with_devices() {
    let vectors: Vec<CadenceVector> =
        serde_json::from_str(include_str!("../../vectors/cadence.json")).unwrap();
    assert_eq!(vectors.len(), 520);
    for CadenceVector { tz, from, cadence, expected } in vectors {
        let zone = TimeZone::get(&tz).unwrap();
        let next = Cadence::parse(&cadence).unwrap().next_run(from, &zone);
        assert_eq!(next, expected, "{cadence} from {from} in {tz}");
    }
}

/// A user's daily slot tells in which zone it is meant.
#[test]
fn zone_follows_from_the_previous_slot() {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let daily = |hour, minute| json!({ "kind": "daily", "atHour": hour, "atMinute": minute });
    let weekly = |day, hour| json!({ "kind": "weekly", "dayOfWeek": day, "atHour": hour });
    let table = [
        ("in Berlin, over the change of clocks", daily(9, 0), "2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z"),
        ("in Kolkata", daily(9, 0), "2026-03-28T03:30:00Z", "2026-03-29T03:30:00Z"),
        ("in New York", daily(9, 0), "2026-07-01T13:00:00Z", "2026-07-02T13:00:00Z"),
        ("in Auckland, weekly: a day ahead", weekly(1, 9), "2026-07-05T21:00:00Z", "2026-07-12T21:00:00Z"),
        ("in Honolulu, weekly: a day behind", weekly(5, 20), "2026-07-11T06:00:00Z", "2026-07-18T06:00:00Z"),
        ("in Kiritimati, weekly", weekly(1, 9), "2026-07-05T19:00:00Z", "2026-07-12T19:00:00Z"),
        ("in Baker Island's zone, weekly", weekly(1, 9), "2026-07-06T21:00:00Z", "2026-07-13T21:00:00Z"),
        ("west of all zones: the default zone", weekly(1, 9), "2026-07-06T22:00:00Z", "2026-07-13T07:00:00Z"),
        ("east of all zones: the default zone", weekly(1, 9), "2026-07-05T18:00:00Z", "2026-07-06T07:00:00Z"),
        (
            "no quarter of an hour: the default zone",
            weekly(1, 9),
            "2026-07-06T09:05:00Z",
            "2026-07-13T07:00:00Z",
        ),
        ("set by hand: the default zone", daily(9, 0), "2026-07-01T13:07:31Z", "2026-07-02T07:00:00Z"),
        ("no such hour that night", daily(2, 30), "2026-03-29T01:30:00Z", "2026-03-30T01:30:00Z"),
        ("the week after such a night", weekly(0, 2), "2026-04-05T01:00:00Z", "2026-04-12T00:00:00Z"),
        ("the day after that night", daily(2, 30), "2026-03-30T01:30:00Z", "2026-03-31T00:30:00Z"),
    ];
    for (name, cadence, previous, expected) in table {
        let cadence = Cadence::parse(&to_raw_value(&cadence).unwrap()).unwrap();
        let previous: Timestamp = previous.parse().unwrap();
        let zone = cadence.zone(Some(previous), &berlin);
        assert_eq!(cadence.next_run(previous, &zone), Some(expected.parse().unwrap()), "{name}");
    }
}

/// The zone also dates the prompt: nobody in Auckland should be planned for yesterday.
#[test]
fn the_implied_zone_has_the_right_date() {
    let daily = to_raw_value(&json!({ "kind": "daily", "atHour": 9, "atMinute": 0 })).unwrap();
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    for (place, slot, date) in [
        ("Auckland, winter", "2026-07-05T21:00:00Z", "2026-07-06"),
        ("Auckland, summer", "2026-01-05T20:00:00Z", "2026-01-06"),
        ("Honolulu", "2026-07-05T19:00:00Z", "2026-07-05"),
        ("Kathmandu", "2026-07-05T03:15:00Z", "2026-07-05"),
    ] {
        let slot: Timestamp = slot.parse().unwrap();
        let zone = Cadence::parse(&daily).unwrap().zone(Some(slot), &berlin);
        assert_eq!(slot.to_zoned(zone).date().to_string(), date, "{place}");
    }
}

#[test]
fn cron_runs_in_local_time() {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let cron = to_raw_value(&json!({ "kind": "cron", "expression": "30 6 * * 1-5" })).unwrap();
    let next = Cadence::parse(&cron).unwrap().next_run("2026-04-17T10:00:00Z".parse().unwrap(), &berlin);
    assert_eq!(next, Some("2026-04-20T04:30:00Z".parse().unwrap()), "Friday noon → Monday 06:30 in Berlin");
}

#[test]
fn bad_cadences_are_named() {
    let table = [
        (json!(null), "is none of"),
        (json!("daily"), "is none of"),
        (json!({ "kind": "hourly" }), "is none of"),
        (json!({ "kind": "daily", "atHour": 9 }), "is none of"),
        (json!({ "kind": "daily", "atHour": 25, "atMinute": 0 }), "out of its range"),
        (json!({ "kind": "weekly", "dayOfWeek": 7, "atHour": 9 }), "out of its range"),
        (json!({ "kind": "interval", "everyMinutes": 0 }), "out of its range"),
        (json!({ "kind": "interval", "everyMinutes": -5 }), "out of its range"),
        (json!({ "kind": "interval", "everyMinutes": 1e300 }), "out of its range"),
        (json!({ "kind": "cron", "expression": "every day" }), "not cron"),
    ];
    for (cadence, problem) in table {
        let error = Cadence::parse(&to_raw_value(&cadence).unwrap()).unwrap_err().to_string();
        assert!(error.contains(problem), "{cadence}: {error}");
    }
}
