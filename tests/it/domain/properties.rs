//! What holds for any input.

use jiff::{Timestamp, tz::TimeZone};
use mana_ai::domain::change::{ChangeRow, Op, SCHEDULE_FIELDS};
use mana_ai::domain::fold::{Record, fold};
use mana_ai::domain::mission::{Mission, Standing};
use mana_ai::domain::time;
use mana_ai::inputs::linked::{Found, Linked, Read};
use mana_ai::inputs::links::Links;
use mana_ai::planner::plan::Plan;
use mana_ai::planner::prompt::messages;
use mana_ai::planner::tools::TOOLS;
use proptest::prelude::*;
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::domain::vectors::{sequences, values};

fn as_text(record: Option<Record>) -> String {
    record.map_or_else(|| "none".into(), |record| format!("{:?} {:?}", values(&record), record.clocks))
}

/// A device's sequence, some of its rows in one transaction, arriving in any order.
fn shuffled() -> impl Strategy<Value = (Vec<ChangeRow>, Vec<ChangeRow>)> {
    let sequences = sequences();
    (0..sequences.len(), any::<bool>())
        .prop_map(move |(index, together)| {
            let mut rows = sequences[index].clone();
            if together {
                let at = rows[0].created_at;
                rows.iter_mut().for_each(|row| row.created_at = at);
            }
            rows
        })
        .prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle()))
}

/// Rows full of parts, of the schedule's own fields above all, with values of every kind.
fn row_with_parts() -> impl Strategy<Value = ChangeRow> {
    let name = prop_oneof![
        prop::sample::select(&SCHEDULE_FIELDS[..]).prop_map(str::to_owned),
        (prop::sample::select(&SCHEDULE_FIELDS[..]), "\\.(|x|0|kind|x\\.y|__proto__)")
            .prop_map(|(field, part)| format!("{field}{part}")),
        prop::sample::select(&["cadence", "cadence.kind", "title", "id.x", "__x.y", ".state"][..])
            .prop_map(str::to_owned),
    ];
    let value = prop::sample::select(
        &[
            "null",
            "\"\"",
            "0",
            "-0.0",
            "false",
            "true",
            "7",
            "{}",
            "[]",
            "{\"x\":1}",
            "\"active\"",
            "\"paused\"",
            "\"2026-04-14T10:00:00.000Z\"",
            "\"2026-04-14T11:00:00.000Z\"",
        ][..],
    );
    let clock = prop::option::weighted(0.9, "2026-04-1[34]T1[01]:00:00\\.000Z");
    let fields = prop::collection::btree_map(name, (value, clock), 0..5);
    let op = prop_oneof![1 => Just(Op::Insert), 4 => Just(Op::Update), 1 => Just(Op::Delete)];
    (op, fields, 0_i64..20).prop_map(|(op, fields, second)| {
        let raw = |text: &str| RawValue::from_string(text.into()).unwrap();
        let data = fields.iter().map(|(name, (value, _))| (name.clone(), raw(value))).collect();
        let clocks = fields.into_iter().filter_map(|(name, (_, clock))| Some((name, clock?)));
        let created_at = Timestamp::from_second(second).unwrap();
        ChangeRow { id: Uuid::from_u128(0), created_at, op, data, field_timestamps: clocks.collect() }
    })
}

fn log_with_parts() -> impl Strategy<Value = Vec<ChangeRow>> {
    let numbered = |rows: Vec<ChangeRow>| {
        let number = |(id, row)| ChangeRow { id: Uuid::from_u128(id), ..row };
        (0..).zip(rows).map(number).collect()
    };
    prop::collection::vec(row_with_parts(), 1..12).prop_map(numbered)
}

/// The row as the view shows it to the schedule's fold.
fn in_the_view(mut row: ChangeRow) -> ChangeRow {
    row.data.retain(|field, _| SCHEDULE_FIELDS.contains(&field.as_str()));
    row.field_timestamps.retain(|field, _| SCHEDULE_FIELDS.contains(&field.as_str()));
    row
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Five plain fields tell the schedule all, whatever parts of them are in the log.
    #[test]
    fn the_schedule_and_the_whole_fold_agree(rows in log_with_parts()) {
        let whole = fold(rows.clone()).as_ref().map(Standing::of);
        let schedule = fold(rows.into_iter().map(in_the_view).collect()).as_ref().map(Standing::of);
        prop_assert_eq!(whole, schedule);
    }
}

proptest! {
    #[test]
    fn parts_come_in_any_order((rows, shuffled) in log_with_parts().prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle()))) {
        prop_assert_eq!(as_text(fold(rows)), as_text(fold(shuffled)));
    }

    #[test]
    fn order_of_arrival_does_not_matter((rows, shuffled) in shuffled()) {
        prop_assert_eq!(as_text(fold(rows)), as_text(fold(shuffled)));
    }

    #[test]
    fn repeated_rows_do_not_matter((rows, shuffled) in shuffled()) {
        let twice = rows.iter().chain(&shuffled).cloned().collect();
        prop_assert_eq!(as_text(fold(rows)), as_text(fold(twice)));
    }

    #[test]
    fn our_timestamp_passes_every_clock(
        now in 0_i64..4_000_000_000_000,
        clocks in prop::collection::vec(0_i64..250_000_000_000_000, 0..4),
    ) {
        let now = Timestamp::from_millisecond(now).unwrap();
        let clocks: Vec<String> = clocks.into_iter().map(|ms| time::iso(Timestamp::from_millisecond(ms).unwrap())).collect();
        let clocks: Vec<&str> = clocks.iter().map(String::as_str).collect();
        let ours = time::after(now, &clocks).unwrap();
        prop_assert!(clocks.iter().all(|clock| ours.as_str() > *clock) && ours >= time::iso(now));
    }

    #[test]
    fn any_text_is_a_plan_or_an_error(text in "(```json)?[\\[\\]{}\":,a-z0-9\\\\ \\n`]{0,200}(```)?") {
        let _ = Plan::read(&text, &TOOLS);
    }

    #[test]
    fn no_text_of_the_user_leaves_its_fence(text in "(</daten>|<daten: ziel>|\\[angenommen\\]|[a-z<>/:\n ]){0,60}") {
        let step = json!({
            "summary": text, "status": text,
            "intent": { "kind": "toolCall", "toolName": text, "params": { text.clone(): text } },
        });
        let iteration = json!({
            "startedAt": text, "overallStatus": text, "summary": text, "userFeedback": format!("x{text}"), "plan": [step],
        });
        let prompt = prompt_with(json!({
            "objective": text, "title": text, "conceptMarkdown": text,
            "inputs": [
                { "module": text, "table": text, "id": text }, { "module": "notes", "table": "notes", "id": format!("x{text}") },
                { "module": "profile", "table": "userContext", "id": format!("y{text}") },
            ],
            "iterations": [iteration],
        }), vec![Read::default(), found(json!({ "title": text, "content": format!("x{text}") })),
            found(json!({ "about": { text.clone(): [text, { text.clone(): text }] }, "freeform": text }))]);
        // Title, concept, objective, two records, feedback, one iteration. The first link leads nowhere.
        prop_assert_eq!(prompt.matches("</daten>").count(), 7);
        prop_assert_eq!(prompt.matches("<daten: ").count(), 7);
        let (_, told) = prompt.split_once("\nStand: ").unwrap();
        prop_assert_eq!(told.lines().filter(|line| line.starts_with("- [")).count(), 1, "one step is one line");
    }
}

fn prompt_for(fields: serde_json::Value) -> String {
    prompt_with(fields, Vec::new())
}

/// `read`: what the log has of each linked record.
fn prompt_with(fields: serde_json::Value, read: Vec<Read>) -> String {
    let at: Timestamp = "2026-04-14T10:00:00Z".parse().unwrap();
    let mut data = json!({
        "title": "Garten",
        "conceptMarkdown": "Ein kleiner Garten",
        "objective": "Jeden Monat etwas ernten",
        "inputs": [],
        "cadence": { "kind": "interval", "everyMinutes": 60 },
        "state": "active",
        "nextRunAt": at,
        "iterations": [],
    });
    for (field, value) in fields.as_object().unwrap() {
        data[field] = value.clone();
    }
    let fields = serde_json::from_value(data).unwrap();
    let record = Record { fields, clocks: Default::default() };
    let mission = Mission::read("m", &record).unwrap();
    let (links, zone) = (Links::of(&mission.inputs), TimeZone::UTC);
    let linked = Linked::of(links, read, &zone);
    messages(&mission, &linked, &TOOLS, at, &zone).0.remove(1).content
}

fn found(fields: serde_json::Value) -> Read {
    let record = Record { fields: serde_json::from_value(fields).unwrap(), clocks: Default::default() };
    Read { record: Found::Record(record), time_block: Found::Nothing }
}

#[test]
fn texts_without_measure_are_cut() {
    let prompt = prompt_for(json!({ "conceptMarkdown": "ä".repeat(5_000_000) }));
    assert!(prompt.chars().count() < 25_000 && prompt.contains("[hier gekürzt]"));
    let link =
        |at: usize| json!({ "module": "notes", "table": "notes", "id": format!("{at}{}", "x".repeat(100)) });
    let inputs: Vec<_> = (0..50_000).chain(0..50_000).map(link).collect();
    let note = found(json!({ "title": "Lang", "content": "wort ".repeat(40_000) }));
    let prompt = prompt_with(json!({ "inputs": inputs }), vec![note; 50]);
    assert!(prompt.chars().count() < 30_000 && prompt.contains("Und 49950 weitere"), "{prompt}");
}

/// However long the steps are: what the user said of them is told.
#[test]
fn feedback_is_never_cut_off() {
    let params = json!({ "title": "x".repeat(50_000) });
    let step = json!({ "summary": "s", "intent": { "kind": "toolCall", "toolName": "create_task", "params": params } });
    let iteration = json!({ "userFeedback": "Lieber Romane", "plan": vec![step; 30] });
    let prompt = prompt_for(json!({ "iterations": [iteration] }));
    assert!(prompt.contains("Lieber Romane") && prompt.chars().count() < 45_000);
}

#[test]
fn the_prompt_tells_of_rejections_and_feedback() {
    let iterations: Vec<_> = (1..=4)
        .map(|n| {
            json!({
                "id": format!("i{n}"), "startedAt": "2026-04-10T10:00:00.000Z", "overallStatus": "rejected",
                "summary": format!("Durchgang {n}"), "userFeedback": format!("Rückmeldung {n}"),
                "plan": [{
                    "id": "s", "summary": "Unkraut jäten", "status": "rejected",
                    "intent": { "kind": "toolCall", "toolName": "create_task", "params": { "title": "Jäten" } },
                }],
            })
        })
        .collect();
    let prompt = prompt_for(json!({ "iterations": iterations }));
    assert!(!prompt.contains("Rückmeldung 1"), "only the last three");
    for expected in
        ["Rückmeldung 2", "Rückmeldung 4", "[abgelehnt] Unkraut jäten → create_task {\"title\":\"Jäten\"}"]
    {
        assert!(prompt.contains(expected), "{expected} is not in {prompt}");
    }
}
