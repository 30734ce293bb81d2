//! The shared vectors: facts as data, produced by a real device client.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mana_ai::domain::change::{ChangeRow, Clocks, Fields, Op};
use mana_ai::domain::fold::{Record, Rules, fold_by};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

#[derive(Deserialize)]
pub struct FoldVector {
    pub name: String,
    pub rows: Vec<VectorRow>,
    pub expected: Option<Expected>,
}

#[derive(Deserialize)]
pub struct VectorRow {
    pub id: Uuid,
    pub record_id: String,
    pub op: String,
    pub created_at: Timestamp,
    pub data: Option<Fields>,
    #[serde(alias = "field_meta")]
    pub field_timestamps: Option<Clocks>,
}

#[derive(Deserialize)]
pub struct Expected {
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

/// Every sequence of rows that there is a vector of, and by whose rules it is folded.
pub fn all_sequences() -> Vec<(Rules, Vec<ChangeRow>)> {
    let files = [
        (Rules::APRIL, include_str!("../../vectors/lww.json")),
        (Rules::APRIL, include_str!("../../vectors/dotted.json")),
        (Rules::TODAY, include_str!("../../vectors/field-meta.json")),
    ];
    let read = |(rules, text): (Rules, &str)| {
        let vectors: Vec<FoldVector> = serde_json::from_str(text).unwrap();
        vectors.into_iter().map(move |vector| (rules, vector.rows.into_iter().map(Into::into).collect()))
    };
    files.into_iter().flat_map(read).collect()
}

pub fn fold_vectors() -> Vec<FoldVector> {
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
