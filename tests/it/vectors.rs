//! The shared vectors: facts as data, produced by a real device client.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use mana_ai::domain::cadence::Cadence;
use mana_ai::domain::change::{ChangeRow, Clocks, Fields, Op};
use mana_ai::domain::fold::{Record, fold};
use mana_ai::planner::plan::Plan;
use mana_ai::planner::tools::{TOOLS, Tool};
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use uuid::Uuid;

#[derive(Deserialize)]
struct FoldVector {
    name: String,
    rows: Vec<VectorRow>,
    expected: Option<Expected>,
}

#[derive(Deserialize)]
pub struct VectorRow {
    id: Uuid,
    op: String,
    created_at: Timestamp,
    data: Fields,
    field_timestamps: Clocks,
}

#[derive(Deserialize)]
struct Expected {
    record: BTreeMap<String, Value>,
    field_timestamps: Clocks,
}

impl From<VectorRow> for ChangeRow {
    fn from(row: VectorRow) -> Self {
        let op = match row.op.as_str() {
            "insert" => Op::Insert,
            "update" => Op::Update,
            "delete" => Op::Delete,
            other => panic!("op {other}"),
        };
        let VectorRow { id, created_at, data, field_timestamps, .. } = row;
        Self { id, created_at, op, data, field_timestamps }
    }
}

/// All row sequences, for the property tests too.
pub fn sequences() -> Vec<Vec<ChangeRow>> {
    fold_vectors().into_iter().map(|vector| vector.rows.into_iter().map(Into::into).collect()).collect()
}

fn fold_vectors() -> Vec<FoldVector> {
    serde_json::from_str(include_str!("../vectors/lww.json")).unwrap()
}

pub fn values(record: &Record) -> BTreeMap<String, Value> {
    record
        .fields
        .iter()
        .map(|(field, raw)| (field.clone(), serde_json::from_str(raw.get()).unwrap()))
        .collect()
}

#[test]
fn fold_agrees_with_devices() {
    let vectors = fold_vectors();
    assert_eq!(vectors.len(), 300);
    for vector in vectors {
        let folded = fold(vector.rows.into_iter().map(Into::into).collect());
        let (record, clocks) = match &folded {
            Some(record) => (Some(values(record)), record.clocks.clone()),
            None => (None, Clocks::new()),
        };
        let (mut expected, expected_clocks) = match vector.expected {
            Some(expected) => (Some(expected.record), expected.field_timestamps),
            None => (None, Clocks::new()),
        };
        // The key of the record is no field of it.
        expected.iter_mut().for_each(|record| drop(record.remove("id")));
        assert_eq!(record, expected, "{}", vector.name);
        assert_eq!(clocks, expected_clocks, "{}", vector.name);
    }
}

#[derive(Deserialize)]
struct CadenceVector {
    tz: String,
    from: Timestamp,
    cadence: Box<RawValue>,
    expected: Option<Timestamp>,
}

#[test]
fn next_run_agrees_with_devices() {
    let vectors: Vec<CadenceVector> = serde_json::from_str(include_str!("../vectors/cadence.json")).unwrap();
    assert_eq!(vectors.len(), 520);
    for CadenceVector { tz, from, cadence, expected } in vectors {
        let zone = TimeZone::get(&tz).unwrap();
        let next = Cadence::parse(&cadence).unwrap().next_run(from, &zone);
        assert_eq!(next, expected, "{cadence} from {from} in {tz}");
    }
}

#[derive(Deserialize)]
struct ParserVector {
    name: String,
    text: String,
    tools: Vec<String>,
    expected: ExpectedPlan,
}

#[derive(Deserialize)]
struct ExpectedPlan {
    ok: bool,
    value: Option<Value>,
}

#[test]
fn plan_parser_agrees_with_devices() {
    let vectors: Vec<ParserVector> = serde_json::from_str(include_str!("../vectors/parser.json")).unwrap();
    assert_eq!(vectors.len(), 51);
    for ParserVector { name, text, tools, expected } in vectors {
        let allowed: Vec<Tool> = TOOLS.iter().filter(|tool| tools.contains(&tool.name)).cloned().collect();
        assert_eq!(allowed.len(), tools.len(), "{name}: a tool that we do not know");
        let plan = Plan::parse(&text, &allowed);
        assert_eq!(plan.is_ok(), expected.ok, "{name}: {plan:?}");
        assert_eq!(plan.ok().map(as_json), expected.value, "{name}");
    }
}

fn as_json(plan: Plan) -> Value {
    let steps = plan.steps.into_iter().map(|step| {
        json!({ "summary": step.summary, "toolName": step.tool_name, "params": step.params, "rationale": step.rationale })
    });
    json!({ "summary": plan.summary, "steps": steps.collect::<Vec<_>>() })
}

/// Our data are the contract's, with descriptions added.
#[test]
fn allow_list_is_the_contract() {
    let contract: Value = serde_json::from_str(include_str!("../contract/tools.json")).unwrap();
    let mut ours: Value = serde_json::from_str(include_str!("../../src/planner/tools.json")).unwrap();
    for tool in ours.as_array_mut().unwrap() {
        assert!(tool.as_object_mut().unwrap().remove("description").is_some(), "{tool}");
        for parameter in tool["parameters"].as_array_mut().unwrap() {
            assert!(parameter.as_object_mut().unwrap().remove("description").is_some(), "{parameter}");
        }
    }
    assert_eq!(ours, contract);
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
        ("set by hand: the default zone", daily(9, 0), "2026-07-01T13:07:31Z", "2026-07-02T07:00:00Z"),
        ("no such hour that night", daily(2, 30), "2026-03-29T01:30:00Z", "2026-03-30T01:30:00Z"),
        ("the day after that night", daily(2, 30), "2026-03-30T01:30:00Z", "2026-03-31T00:30:00Z"),
    ];
    for (name, cadence, previous, expected) in table {
        let cadence = Cadence::parse(&to_raw_value(&cadence).unwrap()).unwrap();
        let previous: Timestamp = previous.parse().unwrap();
        let zone = cadence.zone(Some(previous), &berlin);
        assert_eq!(cadence.next_run(previous, &zone), Some(expected.parse().unwrap()), "{name}");
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
