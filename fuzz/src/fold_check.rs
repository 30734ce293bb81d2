//! Rows → record → mission → our row.

use std::collections::BTreeSet;

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use mana_ai::domain::change::{CLIENT_ID, ChangeRow, Clocks, Fields, NewChange, Op, WRITTEN_FIELDS};
use mana_ai::domain::fold::{Fold, Record, fold as folded, text_of};
use mana_ai::domain::history::History;
use mana_ai::domain::iteration::{Iteration, PastIteration, iteration_id};
use mana_ai::domain::json;
use mana_ai::domain::mission::{Mission, Standing, iterations};
use mana_ai::inputs::linked::Linked;
use mana_ai::planner::plan::Plan;
use mana_ai::planner::prompt;
use mana_ai::planner::tools::TOOLS;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use super::now;

/// A line of the fold's input. Its `id` is its place, as ids differ in the log too.
#[derive(Deserialize)]
struct Line {
    op: String,
    at: Timestamp,
    #[serde(default)]
    data: Fields,
    #[serde(default)]
    clocks: Clocks,
}

/// Rows of one record, one per line. A line that is none is left out, so a mutation spoils only its own.
fn rows(input: &[u8]) -> Vec<ChangeRow> {
    let lines = input.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let row = |(number, line): (u128, Line)| {
        let op = match &*line.op {
            "insert" => Op::Insert,
            "update" => Op::Update,
            _ => Op::Delete,
        };
        let id = Uuid::from_u128(number);
        ChangeRow { id, created_at: line.at, op, data: line.data, field_timestamps: line.clocks }
    };
    (0..).zip(lines).map(row).collect()
}

fn as_text(record: Option<Record>) -> String {
    format!("{record:?}")
}

/// All that must hold for these rows.
pub fn check(input: &[u8]) {
    let rows = rows(input);
    let record = folded(rows.clone());
    let text = as_text(record.clone());
    assert_eq!(text, as_text(folded(rows.iter().rev().cloned().collect())), "order of arrival");
    let mut sorted = rows.clone();
    sorted.sort_by_key(|row| (row.created_at, row.id));
    let mut stream = Fold::default();
    sorted.iter().cloned().for_each(|row| stream.apply(row));
    assert_eq!(text, as_text(stream.finish()), "row by row");
    for odd in [0, 1] {
        healing(&sorted, |row| row.id.as_u128() % 2 == odd);
    }
    // What came before a hard delete is gone.
    if let Some(deleted) = sorted.iter().rposition(is_hard_delete) {
        assert_eq!(text, as_text(folded(sorted.split_off(deleted))), "after a hard delete");
    }
    repeated(rows.iter().filter(|row| keeps_updated_at(row)).map(without_parts).collect());
    if let Some(record) = record {
        record_is_sound(&record, &rows);
        mission(&record, &rows);
    }
}

/// One healing row is enough: of a healed list nothing is lost. No iteration is doubled.
fn healing(sorted: &[ChangeRow], is_ours: impl Fn(&ChangeRow) -> bool) {
    let (mut fold, mut history) = (Fold::default(), History::default());
    for row in sorted {
        let client = if is_ours(row) { CLIENT_ID } else { "device" };
        history.apply(&row.clone().into(), client, &mut fold);
        fold.apply(row.clone());
    }
    let Some(Ok(current)) = fold.finish().map(|record| iterations(&record)) else { return };
    let healed = history.heal(&current).iterations;
    let again = history.heal(&healed);
    assert!(!again.lost.is_anything(), "healed once: {:?}", again.lost);
    assert_eq!(format!("{healed:?}"), format!("{:?}", again.iterations), "it stays as it is");
    assert!(has_twins(&current) || !has_twins(&healed), "an iteration stands twice");
}

fn has_twins(iterations: &[Box<RawValue>]) -> bool {
    let past = iterations.iter().filter_map(|raw| json::read::<PastIteration>(raw.get()).ok());
    let mut seen = BTreeSet::new();
    past.filter(|iteration| !iteration.id.is_empty()).any(|iteration| !seen.insert(iteration.id))
}

fn is_hard_delete(row: &ChangeRow) -> bool {
    row.op == Op::Delete && row.data.get("deletedAt").is_none_or(|value| value.get() == "null")
}

/// A part that makes its record goes into the record's object when it arrives again, on a device as well.
fn without_parts(row: &ChangeRow) -> ChangeRow {
    let mut row = row.clone();
    row.data.retain(|name, _| !name.contains('.'));
    row
}

/// Rows that arrive twice change nothing.
fn repeated(rows: Vec<ChangeRow>) {
    let twice = rows.iter().chain(&rows).cloned().collect();
    assert_eq!(as_text(folded(rows)), as_text(folded(twice)), "repeated rows");
}

/// Does this row set `updatedAt` to its own time, as devices do? It stands in for missing clocks, so one that
/// goes back in time lets a field of the same row pass at the second try.
fn keeps_updated_at(row: &ChangeRow) -> bool {
    let is_text = |field| row.data.get(field).is_none_or(|value| value.get().starts_with('"'));
    match row.op {
        Op::Insert => is_text("updatedAt"),
        Op::Update => {
            let clock = row.field_timestamps.get("updatedAt");
            clock.is_none_or(|clock| text_of(&row.data, "updatedAt").as_ref() == Some(clock))
        }
        Op::Delete => is_text("deletedAt"),
    }
}

fn record_is_sound(record: &Record, rows: &[ChangeRow]) {
    let made_by_parts = |field: &str| {
        record.clocks.keys().any(|name| name.split_once('.').is_some_and(|(first, _)| first == field))
    };
    for field in record.fields.keys() {
        assert!(record.clocks.contains_key(field) || made_by_parts(field), "a clock per field: {field}");
    }
    let plain = record.clocks.keys().filter(|name| !name.contains('.'));
    assert!(plain.clone().all(|name| record.fields.contains_key(name)), "a field per clock");
    assert!(record.fields.keys().all(|field| field != "id" && !field.starts_with("__")));
    let written: BTreeSet<&str> =
        rows.iter().flat_map(|row| row.data.values()).map(|value| value.get()).collect();
    let untouched = record.fields.iter().filter(|(field, _)| !made_by_parts(field));
    assert!(untouched.clone().all(|(_, value)| written.contains(value.get())), "byte for byte");
}

fn mission(record: &Record, rows: &[ChangeRow]) {
    let standing = Standing::of(record);
    let Ok(mission) = Mission::read("m", record) else { return };
    assert_eq!(Ok(&mission.standing), standing.as_ref());
    let _ = mission.waits(now());
    let zone = mission.zone(&TimeZone::UTC);
    prompt::messages(&mission, &Linked::default(), &TOOLS, now(), &zone);
    let (Ok(next), Ok(timestamp)) = (mission.next_run(now(), &zone), mission.write_timestamp(now())) else {
        return;
    };
    assert!(next.is_none_or(|next| next > now() - 1.millisecond()), "the slot lies ahead");
    let ours = one_step().into_iteration(iteration_id("m", now()), now(), now());
    let change =
        NewChange::append(mission.iterations.iter().map(AsRef::as_ref).collect(), &ours, next, timestamp)
            .expect("a row");
    our_row_wins(&mission, rows, change, &ours, next);
}

/// The row that we write is the last word on every device, and keeps what was there.
fn our_row_wins(
    mission: &Mission,
    rows: &[ChangeRow],
    change: NewChange,
    ours: &Iteration,
    next: Option<Timestamp>,
) {
    let raw: Vec<Box<RawValue>> =
        serde_json::from_str(change.data["iterations"].get()).expect("an array of iterations");
    let texts = |iterations: &[Box<RawValue>]| iterations.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut expected = texts(&mission.iterations);
    expected.push(to_raw_value(ours).expect("JSON").to_string());
    assert_eq!(texts(&raw), expected, "iterations are kept byte for byte");
    let last = rows.iter().map(|row| row.created_at).max().unwrap_or_default();
    let row = ChangeRow {
        id: Uuid::max(),
        created_at: last,
        op: Op::Update,
        field_timestamps: change.field_timestamps().into_iter().map(owned).collect(),
        data: change.data.clone(),
    };
    let after = folded(rows.iter().cloned().chain([row]).collect()).expect("a record");
    for field in WRITTEN_FIELDS {
        assert_eq!(after.fields[field].get(), change.data[field].get(), "{field} is ours");
    }
    let after = Mission::read("m", &after).expect("it can be read again");
    assert!(after.has_iteration(&ours.id));
    if let Standing::Scheduled(slot) = after.standing {
        assert_eq!(Some(slot), next, "the slot moved on");
    }
}

fn owned((field, clock): (&str, &str)) -> (String, String) {
    (field.to_owned(), clock.to_owned())
}

fn one_step() -> Plan {
    let step =
        serde_json::json!({ "toolName": "create_task", "params": { "title": "x" }, "rationale": "why" });
    Plan::read(&serde_json::json!({ "steps": [step] }).to_string(), &TOOLS).expect("a plan")
}
