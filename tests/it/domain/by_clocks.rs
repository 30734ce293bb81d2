//! Opening only the rows that win gives the same as opening all: on all vectors, and on logs made at random.

use std::collections::BTreeSet;

use jiff::Timestamp;
use mana_ai::domain::change::{ChangeRow, Op};
use mana_ai::domain::fold::{Record, Rules, fold_by, fold_opened};
use mana_ai::domain::opened::{Asks, LogRow, Opened, Wanted};
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::domain::vectors::{all_sequences, values};

/// Folds rows by opening what the fold asks for. Returns also which rows were opened.
fn fold_by_asking(rules: Rules, wanted: Wanted, rows: &[ChangeRow]) -> (Option<Record>, BTreeSet<Uuid>) {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| (row.created_at, row.id));
    let mut log: Vec<LogRow> = rows.iter().map(closed).collect();
    let mut opened = BTreeSet::new();
    loop {
        match fold_opened(rules, wanted, &log) {
            Ok(record) => return (record, opened),
            Err(asks) => {
                opened.extend(asks.names.keys().chain(&asks.whole).copied());
                answer(&asks, &rows, log.iter_mut());
            }
        }
    }
}

/// The row without its data.
pub fn closed(row: &ChangeRow) -> LogRow {
    LogRow { opened: Opened::default(), ..row.clone().into() }
}

/// Answers the asks from the rows. Each round has to open something new.
pub fn answer<'log>(asks: &Asks, rows: &[ChangeRow], log: impl Iterator<Item = &'log mut LogRow>) {
    for (row, closed) in rows.iter().zip(log) {
        for name in asks.names.get(&row.id).into_iter().flatten() {
            assert!(closed.opened.get(name).is_none(), "asked twice for {name}");
            closed.opened.set(name.clone(), row.data.get(name).cloned());
        }
        if asks.whole.contains(&row.id) {
            closed.opened = Opened::Whole(row.data.clone());
        }
    }
}

fn told(record: Option<Record>) -> String {
    let Some(record) = record else { return "none".into() };
    let mut fields = values(&record);
    fields.values_mut().for_each(as_devices_read);
    format!("{fields:?} {:?}", record.clocks)
}

/// 1 and 1.0 are one number on a device.
fn as_devices_read(value: &mut Value) {
    match value {
        Value::Number(number) => *value = json!(number.as_f64().unwrap() + 0.0),
        Value::Array(items) => items.iter_mut().for_each(as_devices_read),
        Value::Object(members) => members.values_mut().for_each(as_devices_read),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

pub fn agrees(rules: Rules, rows: &[ChangeRow]) {
    let (record, _) = fold_by_asking(rules, Wanted::All, rows);
    assert_eq!(told(record), told(fold_by(rules, rows.to_vec())), "{rules:?} {rows:#?}");
}

#[test]
fn on_all_vectors() {
    let sequences = all_sequences();
    assert_eq!(sequences.len(), 300 + 28 + 170);
    for (rules, rows) in sequences {
        agrees(rules, &rows);
    }
}

/// A mission of any age: the newest row, the insert, and who stands in for a clock that an edit in parts does not find.
#[test]
fn the_age_of_a_mission_opens_no_more_rows() {
    let opened = |slots: u32| {
        let mut rows = vec![row_of(
            0,
            Op::Insert,
            &[
                ("createdAt", "\"1\""),
                ("updatedAt", "\"1\""),
                ("title", "\"t\""),
                ("state", "\"active\""),
                ("cadence", "{\"kind\":\"daily\"}"),
                ("iterations", "[]"),
            ],
        )];
        for slot in 1..=slots {
            let n = 2 * u128::from(slot);
            rows.push(row_of(n, Op::Update, &[("iterations", "[1]"), ("nextRunAt", "\"2\"")]));
            let edit = [
                ("iterations", "[2]"),
                ("inputs", "[]"),
                ("updatedAt", "\"2\""),
                ("cadence.kind", "\"daily\""),
            ];
            rows.push(row_of(n + 1, Op::Update, &edit));
        }
        let (record, opened) = fold_by_asking(Rules::APRIL, Wanted::All, &rows);
        assert_eq!(told(record), told(fold_by(Rules::APRIL, rows)));
        opened.len()
    };
    assert_eq!((opened(3), opened(30), opened(300)), (opened(10), opened(100), opened(1_000)));
    assert!(opened(1_000) <= 4, "{}", opened(1_000));
}

fn row_of(n: u128, op: Op, fields: &[(&str, &str)]) -> ChangeRow {
    let time = format!("{n:06}");
    let clocks = fields
        .iter()
        .filter(|_| op == Op::Update)
        .map(|(name, _)| ((*name).to_owned(), time.clone()))
        .collect();
    let data = fields
        .iter()
        .map(|(name, text)| ((*name).to_owned(), RawValue::from_string((*text).to_owned()).unwrap()));
    let created_at = Timestamp::from_second(i64::try_from(n).unwrap()).unwrap();
    ChangeRow { id: Uuid::from_u128(n), created_at, op, data: data.collect(), field_timestamps: clocks }
}

const FIELDS: [&str; 2] = ["state", "cadence"];

/// Few names, few clocks: so that they meet. A clock may be there without its value, and a value without its clock.
fn row() -> impl Strategy<Value = ChangeRow> {
    let name = prop_oneof![
        4 => "[abc]",
        4 => "a\\.([bc01]|b\\.c|b\\.0)",
        2 => prop::sample::select(&["updatedAt", "createdAt", "deletedAt", "cadence", "cadence.kind", "state", "id", "__x"][..])
            .prop_map(str::to_owned),
    ];
    let value = prop::sample::select(
        &[
            "null",
            "0",
            "1",
            "1.0",
            "true",
            "\"\"",
            "\"2\"",
            "{}",
            "{\"b\":1,\"b.c\":1}",
            "[1,[2]]",
            "[]",
            "\"3\"",
            "\"4\"",
            "{\"b\":{\"c\":null}}",
        ][..],
    );
    let held = (prop::option::weighted(0.85, value), prop::option::weighted(0.9, "[1-6]"));
    let fields = prop::collection::btree_map(name, held, 0..6);
    let op = prop_oneof![1 => Just(Op::Insert), 8 => Just(Op::Update), 1 => Just(Op::Delete)];
    (op, fields, 0_i64..30).prop_map(|(op, fields, second)| {
        let raw = |text: &str| RawValue::from_string(text.into()).unwrap();
        let data = fields.iter().filter_map(|(name, (value, _))| Some((name.clone(), raw((*value)?))));
        let clocks = fields.iter().filter_map(|(name, (_, clock))| Some((name.clone(), clock.clone()?)));
        let created_at = Timestamp::from_second(second).unwrap();
        ChangeRow {
            id: Uuid::nil(),
            created_at,
            op,
            data: data.collect(),
            field_timestamps: clocks.collect(),
        }
    })
}

fn log() -> impl Strategy<Value = Vec<ChangeRow>> {
    let numbered = |rows: Vec<ChangeRow>| {
        let number = |(id, row)| ChangeRow { id: Uuid::from_u128(id), ..row };
        (0..).zip(rows).map(number).collect()
    };
    prop::collection::vec(row(), 1..14).prop_map(numbered)
}

fn rules() -> impl Strategy<Value = Rules> {
    prop_oneof![Just(Rules::APRIL), Just(Rules::TODAY)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn on_any_log(rules in rules(), rows in log()) {
        agrees(rules, &rows);
    }

    #[test]
    fn of_some_fields(rules in rules(), rows in log()) {
        let wanted = Wanted::Fields(&FIELDS);
        let (record, _) = fold_by_asking(rules, wanted, &rows);
        let whole = fold_by(rules, rows).map(|mut record| {
            record.fields.retain(|name, _| wanted.has(name));
            record.clocks.retain(|name, _| wanted.has(name));
            record
        });
        prop_assert_eq!(told(record), told(whole));
    }
}
