//! A log in memory, for the tests of healing: its rows, what they come to, and iterations to write.

use mana_ai::domain::change::{ChangeRow, Fields};
use mana_ai::domain::fold::{Fold, Record};
use mana_ai::domain::healing::Healed;
use mana_ai::domain::history::History;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

/// A row of the log, and the client that sent it.
#[derive(Clone)]
pub struct Row(pub ChangeRow, pub &'static str);

pub const OURS: &str = "mana-ai-runner";
pub const DEVICES: [&str; 3] = ["device-0", "device-1", "device-2"];

pub fn raw(value: &Value) -> Box<RawValue> {
    to_raw_value(value).unwrap()
}

pub fn fields(value: &Value) -> Fields {
    value.as_object().unwrap().iter().map(|(field, value)| (field.clone(), raw(value))).collect()
}

pub fn list(record: &Record) -> Vec<Box<RawValue>> {
    record.fields.get("iterations").map(|raw| serde_json::from_str(raw.get()).unwrap()).unwrap_or_default()
}

pub fn values(list: &[Box<RawValue>]) -> Vec<Value> {
    list.iter().map(|raw| serde_json::from_str(raw.get()).unwrap()).collect()
}

pub fn read(log: &[Row]) -> (Record, History) {
    let (mut fold, mut history) = (Fold::default(), History::default());
    for Row(row, client) in log {
        history.apply(&row.clone().into(), client, &mut fold);
        fold.apply(row.clone());
    }
    (fold.finish().unwrap(), history)
}

pub fn healed(log: &[Row]) -> Healed {
    let (record, history) = read(log);
    history.heal(&list(&record))
}

pub fn plan(id: &str, started: &str) -> Value {
    let step = |n: u32| {
        json!({ "id": format!("{id}-{n}"), "status": "planned", "summary": "s",
            "intent": { "kind": "toolCall", "toolName": "create_task", "params": { "title": "t" } } })
    };
    json!({ "id": id, "source": "server", "startedAt": started, "overallStatus": "awaiting-review",
        "summary": "Plan", "plan": [step(0), step(1)] })
}

pub fn browser(id: &str, started: &str) -> Value {
    json!({ "id": id, "source": "browser", "startedAt": started, "overallStatus": "awaiting-review", "plan": [] })
}

pub fn with(mut value: Value, pointer: &str, new: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    value.pointer_mut(parent).unwrap()[key] = new;
    value
}
