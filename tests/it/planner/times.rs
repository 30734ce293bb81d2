//! Times of events: what both of the devices' readers take, and nothing else.

use mana_ai::planner::plan::Plan;
use mana_ai::planner::times::EventTime;
use mana_ai::planner::tools::TOOLS;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    text: String,
    accepted: bool,
}

#[test]
fn times_are_those_that_both_readers_take() {
    let Vectors { vectors } = serde_json::from_str(include_str!("../../vectors/event-times.json")).unwrap();
    assert!(vectors.iter().filter(|vector| vector.accepted).count() > 40);
    for Vector { text, accepted } in vectors {
        assert_eq!(EventTime::parse(&text).is_some(), accepted, "{text:?}");
    }
}

fn refusal(start: &str, end: &str) -> Option<String> {
    let params = json!({ "title": "Gießen", "startTime": start, "endTime": end });
    let step = json!({ "toolName": "create_event", "params": params, "rationale": "why" });
    Plan::read(&json!({ "steps": [step] }).to_string(), &TOOLS).err().map(|error| error.to_string())
}

/// The repair call quotes the refusal, so it must show the shape.
#[test]
fn a_refusal_shows_what_is_wanted() {
    assert_eq!(refusal("2026-12-01T09:00", "2026-12-01T09:00"), None, "an end at the start is no fault");
    let shape = refusal("20261201T090000Z", "2026-12-01T10:00").unwrap();
    assert!(shape.contains("startTime") && shape.contains("2026-12-01T09:00:00+01:00"), "{shape}");
    let order = refusal("2026-12-01T09:00Z", "2026-12-01T09:30+01:00").unwrap();
    assert!(order.contains("endTime must not lie before startTime"), "{order}");
}
