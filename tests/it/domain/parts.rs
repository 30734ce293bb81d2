//! Edits in parts: the vectors, what they do to untouched bytes, and what hostile names cost.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use mana_ai::domain::change::{ChangeRow, Clocks, Fields, Op};
use mana_ai::domain::fold::{Fold, Record, Rules, fold};
use mana_ai::domain::mission::Mission;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::domain::by_clocks::agrees;
use crate::domain::vectors::{agrees_with_devices, values};

#[test]
fn fold_takes_parts_as_devices_do() {
    agrees_with_devices(include_str!("../../vectors/dotted.json"), 28, Rules::APRIL);
}

/// The devices that made these vectors applied all rows at this moment.
#[test]
fn fold_by_todays_rules_agrees_with_todays_devices() {
    let rules = Rules { undated_insert: "2026-05-01T00:00:00.000Z", ..Rules::TODAY };
    agrees_with_devices(include_str!("../../vectors/field-meta.json"), 170, rules);
}

#[derive(Deserialize)]
struct PartVectors {
    records: BTreeMap<String, Fields>,
    vectors: Vec<PartVector>,
}

#[derive(Deserialize)]
struct PartVector {
    part: String,
    value: Box<RawValue>,
    before: String,
    after: BTreeMap<String, Value>,
}

#[test]
fn a_part_does_what_dexie_does() {
    let PartVectors { records, vectors } =
        serde_json::from_str(include_str!("../../vectors/parts.json")).unwrap();
    assert_eq!(vectors.len(), 61);
    for PartVector { part, value, before, after } in vectors {
        let mut expected: BTreeMap<String, Value> = values_of(&records[&before]);
        expected.extend(after);
        // An update makes the record, so that names with dots stay names with dots in it.
        let clocks = records[&before].keys().map(|field| (field.clone(), "1".into())).collect();
        let rows = vec![
            row(0, Op::Update, records[&before].clone(), clocks),
            row(1, Op::Update, [(part.clone(), value.clone())].into(), [(part.clone(), "2".into())].into()),
        ];
        agrees(Rules::APRIL, &rows);
        let record = fold(rows).unwrap();
        assert_eq!(values(&record), expected, "{part} = {value} on {before}");
        assert_eq!(record.clocks.get(&part).map(String::as_str), (part != "id").then_some("2"));
    }
}

fn values_of(fields: &Fields) -> BTreeMap<String, Value> {
    fields.iter().map(|(field, raw)| (field.clone(), serde_json::from_str(raw.get()).unwrap())).collect()
}

fn row(number: u128, op: Op, data: Fields, field_timestamps: Clocks) -> ChangeRow {
    let created_at = Timestamp::from_second(i64::try_from(number).unwrap()).unwrap();
    ChangeRow { id: Uuid::from_u128(number), created_at, op, data, field_timestamps }
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.into()).unwrap()
}

/// One insert, then one update with all these parts.
fn edited(field: &str, whole: &str, parts: impl IntoIterator<Item = (String, String)>) -> Record {
    let parts: Fields = parts.into_iter().map(|(name, text)| (name, raw(&text))).collect();
    let clocks = parts.keys().map(|name| (name.clone(), "2".into())).collect();
    let inserted = [(field.to_owned(), raw(whole)), ("createdAt".into(), raw("\"1\""))];
    fold(vec![row(0, Op::Insert, inserted.into(), Clocks::new()), row(1, Op::Update, parts, clocks)]).unwrap()
}

#[test]
fn what_no_part_touched_keeps_its_bytes_and_its_place() {
    let whole = r#"{ "z": 1.50, "b": {"deep": [1e2,  3]}, "10": 0, "a": "\u00e4", "2": -0.0 }"#;
    // The last one is the text that is there, written another way: nothing is set.
    let parts = [("x.new", "7"), ("x.b.more", "null"), ("x.a", "\"ä\"")];
    let record = edited("x", whole, parts.map(|(name, text)| (name.into(), text.into())));
    let expected = r#"{"2":-0.0,"10":0,"z":1.50,"b":{"deep":[1e2,  3],"more":null},"a":"\u00e4","new":7}"#;
    assert_eq!(record.fields["x"].get(), expected);
    assert_eq!(
        edited("x", whole, [("x.z.y".into(), "1".into())]).fields["x"].get().matches("1.50").count(),
        1
    );
    assert_eq!(edited("x", "1.50", [("x.y".into(), "1".into())]).fields["x"].get(), "1.50", "a number stays");
}

/// Each of these took minutes if the cost were quadratic, and memory without measure if lists had no bound.
#[test]
fn hostile_names_cost_what_they_weigh() {
    let members = (0..100_000).map(|n| (format!("x.k{n}"), n.to_string()));
    assert_eq!(values(&edited("x", "{}", members))["x"].as_object().unwrap().len(), 100_000);
    let far = ["x.101", "x.4294967294", "x.18446744073709551616", "x.length", "x.-1", "x.01"];
    let record = edited("x", "[1]", far.map(|name| (name.into(), "0".into())));
    assert_eq!(values(&record)["x"].as_array().unwrap().len(), 102, "a gap of a hundred, and no more");
    let deepest = format!("x{}", ".a".repeat(64));
    let record = edited("x", "{}", [(deepest.clone(), "1".into()), (deepest + ".b", "2".into())]);
    assert_eq!(record.fields["x"].get().matches('{').count(), 64);
    let endless = edited("x", "{}", [(format!("x{}", ".a".repeat(1_000_000)), "1".into())]);
    assert_eq!(endless.fields["x"].get(), "{}");
}

/// Each part makes a gap of a hundred in a list of its own. Without a bound in sum these would be ten million `null`, a
/// gigabyte. A part that needs no padding is taken as before.
#[test]
fn padding_of_lists_is_bounded_in_sum() {
    let lists = format!("[{}]", vec!["[]"; 100_000].join(","));
    let mut stream = Fold::default();
    let inserted = [("x".into(), raw(&lists)), ("createdAt".into(), raw("\"1\""))];
    stream.apply(row(0, Op::Insert, inserted.into(), Clocks::new()));
    for n in 0..100_u128 {
        let parts: Fields =
            (n * 1000..(n + 1) * 1000).map(|list| (format!("x.{list}.100"), raw("0"))).collect();
        let clocks = parts.keys().map(|name| (name.clone(), "2".into())).collect();
        stream.apply(row(n + 1, Op::Update, parts, clocks));
    }
    let last: Fields = [("x.99999.0".into(), raw("7")), ("x.99999.2".into(), raw("8"))].into();
    let clocks = last.keys().map(|name| (name.clone(), "2".into())).collect();
    stream.apply(row(101, Op::Update, last, clocks));
    let record = stream.finish().unwrap();
    assert_eq!(record.fields["x"].get().matches("null").count(), 10_000, "a hundred gaps, over all rows");
    assert_eq!(values(&record)["x"][99_999], json!([7]), "what has no gap is set, a gap of one no more");
}

/// The value is opened once for all rows: ten thousand small rows over one large value.
#[test]
fn many_rows_open_a_value_once() {
    let whole = format!("{{\"big\":\"{}\"}}", "x".repeat(1_000_000));
    let mut stream = Fold::default();
    stream.apply(row(0, Op::Insert, [("x".into(), raw(&whole))].into(), Clocks::new()));
    for n in 1..10_000_u128 {
        let name = format!("x.k{}", n % 7);
        let data = [(name.clone(), raw(&n.to_string()))].into();
        stream.apply(row(n, Op::Update, data, [(name, format!("2{n:06}"))].into()));
    }
    let record = stream.finish().unwrap();
    assert_eq!(values(&record)["x"].as_object().unwrap().len(), 8);
}

/// A field with a dot in its name is no cadence, and misleads nobody who reads the mission.
#[test]
fn a_literal_dotted_field_is_not_read_as_its_object() {
    let at = "2026-04-28T08:00:00.000Z";
    let parts: Fields = [("cadence.kind".into(), raw("\"daily\"")), ("state.x".into(), raw("1"))].into();
    let clocks = parts.keys().map(|name| (name.clone(), at.into())).collect();
    let mission = json!({ "cadence": { "kind": "manual" }, "state": "active", "createdAt": at });
    let whole = serde_json::from_value::<BTreeMap<String, Value>>(mission).unwrap();
    let whole = whole.into_iter().map(|(field, value)| (field, to_raw_value(&value).unwrap())).collect();
    let record =
        fold(vec![row(0, Op::Update, parts, clocks), row(1, Op::Insert, whole, Clocks::new())]).unwrap();
    let mission = Mission::read("m", &record).unwrap();
    assert_eq!(mission.next_run(at.parse().unwrap(), &TimeZone::UTC), Ok(None), "manual, not daily");
}

const EDITED_AT: &str = "2026-04-28T08:01:00.000Z";

/// A kind of cadence, and where it leads from [`EDITED_AT`], a Tuesday, in UTC.
fn cadences() -> [(Value, Option<&'static str>); 7] {
    [
        (json!({ "kind": "manual" }), None),
        (json!({ "kind": "interval", "everyMinutes": 20 }), Some("2026-04-28T08:21:00Z")),
        (json!({ "kind": "interval", "everyMinutes": 90 }), Some("2026-04-28T09:31:00Z")),
        (json!({ "kind": "daily", "atHour": 9, "atMinute": 30 }), Some("2026-04-28T09:30:00Z")),
        (json!({ "kind": "daily", "atHour": 7, "atMinute": 0 }), Some("2026-04-29T07:00:00Z")),
        (json!({ "kind": "weekly", "dayOfWeek": 4, "atHour": 6 }), Some("2026-04-30T06:00:00Z")),
        (json!({ "kind": "cron", "expression": "15 12 * * *" }), Some("2026-04-28T12:15:00Z")),
    ]
}

/// What a device sends for an edit of an object: the leaves that changed, and null for those that went away.
fn parts_of(field: &str, before: &Value, after: &Value) -> Fields {
    let (before, after) = (before.as_object().unwrap(), after.as_object().unwrap());
    let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key, &Value::Null));
    let changed = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
    gone.chain(changed).map(|(key, value)| (format!("{field}.{key}"), to_raw_value(value).unwrap())).collect()
}

#[test]
fn each_edit_of_a_cadence_leads_to_the_right_slot() {
    let mut combinations = 0;
    for (before, _) in cadences() {
        for (after, expected) in cadences().into_iter().filter(|(after, _)| *after != before) {
            let whole: Fields = [
                ("cadence".into(), to_raw_value(&before).unwrap()),
                ("state".into(), raw("\"active\"")),
                ("updatedAt".into(), raw("\"2026-04-28T08:00:00.000Z\"")),
            ]
            .into();
            let parts = parts_of("cadence", &before, &after);
            let clocks = parts.keys().map(|name| (name.clone(), EDITED_AT.into())).collect();
            let rows = vec![row(0, Op::Insert, whole, Clocks::new()), row(1, Op::Update, parts, clocks)];
            let mission = Mission::read("m", &fold(rows).unwrap()).unwrap();
            let next = mission.next_run(EDITED_AT.parse().unwrap(), &TimeZone::UTC).unwrap();
            assert_eq!(next, expected.map(|slot| slot.parse().unwrap()), "{before} → {after}");
            combinations += 1;
        }
    }
    assert_eq!(combinations, 42);
}

/// A device edits the cadence offline, at nine; our row, written at ten, arrives first. Parts have no clock of their own
/// there and are compared with the `updatedAt` value: had our row set it, the edit would be dropped.
#[test]
fn our_row_lets_an_offline_edit_of_the_cadence_through() {
    use mana_ai::domain::change::NewChange;
    use mana_ai::domain::iteration::Iteration;

    let whole = json!({
        "createdAt": "2026-04-28T08:00:00.000Z", "updatedAt": "2026-04-28T08:00:00.000Z", "state": "active",
        "cadence": { "kind": "interval", "everyMinutes": 60 }, "nextRunAt": "2026-04-28T10:00:00.000Z", "iterations": [],
    });
    let whole = serde_json::from_value::<BTreeMap<String, Value>>(whole).unwrap();
    let whole: Fields =
        whole.into_iter().map(|(field, value)| (field, to_raw_value(&value).unwrap())).collect();
    let inserted = row(0, Op::Insert, whole, Clocks::new());
    let ten: Timestamp = "2026-04-28T10:00:00Z".parse().unwrap();
    let mission = Mission::read("m", &fold(vec![inserted.clone()]).unwrap()).unwrap();
    let ours = Iteration::failed("i".into(), ten, ten, "s".into());
    let timestamp = mission.write_timestamp(ten).unwrap();
    let change =
        NewChange::append(mission.iterations.iter().map(AsRef::as_ref).collect(), &ours, None, timestamp)
            .unwrap();
    assert_eq!(change.field_timestamps().into_keys().collect::<Vec<_>>(), ["iterations", "nextRunAt"]);
    assert_eq!(change.data.keys().collect::<Vec<_>>(), ["iterations", "nextRunAt"]);
    let times = change.field_timestamps().into_iter().map(|(name, at)| (name.into(), at.into())).collect();
    let ours = row(1, Op::Update, change.data.clone(), times);

    let parts: Fields = [("cadence.everyMinutes".into(), raw("5"))].into();
    let clocks = [("cadence.everyMinutes".into(), "2026-04-28T09:00:00.000Z".into())].into();
    let record = fold(vec![inserted, ours, row(2, Op::Update, parts, clocks)]).unwrap();
    assert_eq!(values(&record)["cadence"]["everyMinutes"], 5);
    assert_eq!(values(&record)["updatedAt"], "2026-04-28T08:00:00.000Z", "the devices' own field");
}
