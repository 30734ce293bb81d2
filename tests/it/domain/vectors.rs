//! The shared vectors: facts as data, produced by a real device client.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use jiff_sqlx::ToSqlx;
use mana_ai::domain::cadence::Cadence;
use mana_ai::domain::change::{ChangeRow, Clocks, Fields, Op};
use mana_ai::domain::fold::{Record, Rules, fold, fold_by};
use mana_ai::domain::mission::Standing;
use mana_ai::planner::plan::Plan;
use mana_ai::planner::tools::{TOOLS, Tool};
use mana_ai::store::UserTx;
use mana_ai::store::log::read::fold_missions;
use mana_ai::store::schedule::refresh::refresh;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use sqlx::types::Json;
use sqlx::{Executor, Row};
use uuid::Uuid;

use crate::support::World;

#[derive(Deserialize)]
struct FoldVector {
    name: String,
    rows: Vec<VectorRow>,
    expected: Option<Expected>,
}

#[derive(Deserialize)]
pub struct VectorRow {
    id: Uuid,
    record_id: String,
    op: String,
    created_at: Timestamp,
    data: Option<Fields>,
    #[serde(alias = "field_meta")]
    field_timestamps: Option<Clocks>,
}

#[derive(Deserialize)]
struct Expected {
    record: BTreeMap<String, Value>,
    #[serde(alias = "field_meta")]
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
        let (data, field_timestamps) = (data.unwrap_or_default(), field_timestamps.unwrap_or_default());
        Self { id, created_at, op, data, field_timestamps }
    }
}

/// All row sequences, for the property tests too, and those with parts. Left out are parts that come before their
/// record: repeated, they find it there and go into its object.
pub fn sequences() -> Vec<Vec<ChangeRow>> {
    let mut dotted: Vec<FoldVector> =
        serde_json::from_str(include_str!("../../vectors/dotted.json")).unwrap();
    dotted.retain(|vector| vector.rows[0].op == "insert");
    let vectors = fold_vectors().into_iter().chain(dotted);
    vectors.map(|vector| vector.rows.into_iter().map(Into::into).collect()).collect()
}

fn fold_vectors() -> Vec<FoldVector> {
    serde_json::from_str(include_str!("../../vectors/lww.json")).unwrap()
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
    agrees_with_devices(include_str!("../../vectors/lww.json"), 300, Rules::APRIL);
}

/// Folds each vector and compares record and clocks with what a device made of the rows.
pub fn agrees_with_devices(vectors: &str, count: usize, rules: Rules) {
    let vectors: Vec<FoldVector> = serde_json::from_str(vectors).unwrap();
    assert_eq!(vectors.len(), count);
    for vector in vectors {
        let folded = fold_by(rules, vector.rows.into_iter().map(Into::into).collect());
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

/// The same through the database, which sorts the rows and keeps them as `jsonb`: what the service does.
#[tokio::test]
async fn fold_through_postgres_agrees_with_devices() {
    let world = World::new().await;
    let vectors = fold_vectors();
    for row in vectors.iter().flat_map(|vector| &vector.rows) {
        sqlx::query(
            "INSERT INTO sync_changes (id, app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id, created_at)
             VALUES ($1, 'ai', 'aiMissions', $2, 'alice', $3, $4, $5, 'web', $6)",
        )
        .bind(row.id)
        .bind(&row.record_id)
        .bind(&row.op)
        .bind(Json(&row.data))
        .bind(Json(&row.field_timestamps))
        .bind(row.created_at.to_sqlx())
        .execute(&world.db.admin)
        .await
        .unwrap();
    }
    let mut tx = UserTx::begin(&world.store, "alice").await.unwrap();
    let folded = fold_missions(&mut tx, None).await.unwrap();
    drop(tx);
    let in_memory = |vector: FoldVector| {
        let id = vector.rows[0].record_id.clone();
        (id, fold(vector.rows.into_iter().map(Into::into).collect()))
    };
    let expected: BTreeMap<String, Option<Record>> = vectors.into_iter().map(in_memory).collect();
    let mut scheduled = BTreeSet::new();
    for (id, mission) in folded {
        let (folded, expected) = (mission.record.unwrap(), &expected[&id]);
        let told =
            |record: &Option<Record>| record.as_ref().map(|record| (values(record), record.clocks.clone()));
        assert_eq!(told(&folded), told(expected), "{id}");
        if let Some(Standing::Scheduled(slot)) = expected.as_ref().map(|record| Standing::of(record).unwrap())
        {
            scheduled.insert((id, slot.to_string()));
        }
    }
    // The schedule folds five fields of the same rows, through the view.
    refresh(&world.store, Duration::ZERO, true).await.unwrap();
    let rows = world
        .db
        .admin
        .fetch_all("SELECT mission_id, next_run_at FROM mana_ai.mission_schedule")
        .await
        .unwrap();
    let slots =
        rows.iter().map(|row| (row.get(0), row.get::<jiff_sqlx::Timestamp, _>(1).to_jiff().to_string()));
    assert_eq!(slots.collect::<BTreeSet<(String, String)>>(), scheduled);
    assert!(!scheduled.is_empty(), "the vectors hold active missions");
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
    let vectors: Vec<CadenceVector> =
        serde_json::from_str(include_str!("../../vectors/cadence.json")).unwrap();
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
    let vectors: Vec<ParserVector> = serde_json::from_str(include_str!("../../vectors/parser.json")).unwrap();
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
    let contract: Value = serde_json::from_str(include_str!("../../contract/tools.json")).unwrap();
    let mut ours: Value = serde_json::from_str(include_str!("../../../src/planner/tools.json")).unwrap();
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
