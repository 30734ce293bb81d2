//! A log in memory, for the tests of healing: its rows, what they come to, and iterations to write.

use mana_ai::domain::change::{ChangeRow, Fields};
use mana_ai::domain::fold::{Fold, Record, Rules};
use mana_ai::domain::healing::Healed;
use mana_ai::domain::history::History;
use mana_ai::domain::opened::{Asks, Wanted};
use mana_ai::domain::window::{Reach, SentRow, record, window};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::domain::by_clocks;

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

/// The record and the history by all rows.
pub fn read_whole(log: &[Row]) -> (Record, History) {
    let (mut fold, mut history) = (Fold::default(), History::default());
    for Row(row, client) in log {
        history.apply(&row.clone().into(), client, &mut fold);
        fold.apply(row.clone());
    }
    (fold.finish().unwrap(), history)
}

/// The same as the service reads it: by clocks, and of the history as far as it goes, here as of a log without end.
pub fn read(log: &[Row]) -> (Record, History) {
    read_within(log, Reach::SHORTEST, Reach::WIDE.of_a_long_log())
}

/// The same with as little of the history as of a log without end. `doubt`: how far where there is doubt.
fn read_within(log: &[Row], reach: Reach, doubt: Reach) -> (Record, History) {
    let rows: Vec<ChangeRow> = log.iter().map(|Row(row, _)| row.clone()).collect();
    let closed = log
        .iter()
        .map(|Row(row, client)| SentRow { row: by_clocks::closed(row), client_id: (*client).into() });
    let mut sent: Vec<SentRow> = closed.collect();
    let record = opened(&rows, &mut sent, |sent| record(Rules::APRIL, Wanted::All, sent)).unwrap();
    let mut history = within(&rows, &mut sent, reach);
    if history.is_in_doubt() {
        history = within(&rows, &mut sent, doubt);
    }
    let summing_up = opened(&rows, &mut sent, |sent| window(Rules::APRIL, sent, reach));
    if let Some(summing_up) = summing_up.iter().find(|row| row.is_summing_up()) {
        let ours = log[..=summing_up.index]
            .iter()
            .rev()
            .filter(|Row(row, client)| *client == OURS && row.field_timestamps.contains_key("nextRunAt"));
        let lists: Vec<Vec<String>> = ours.take(16).map(|Row(row, _)| ids(row)).collect();
        history.add_older_unread(history.older_unread(&lists));
    }
    (record, history)
}

fn within(rows: &[ChangeRow], sent: &mut [SentRow], reach: Reach) -> History {
    let mut history = History::default();
    for row in opened(rows, sent, |sent| window(Rules::APRIL, sent, reach)) {
        if let Some(list) = rows[row.index].data.get("iterations") {
            history.apply_list(&row, list);
        }
    }
    history
}

/// Asks until nothing is asked.
fn opened<T>(rows: &[ChangeRow], sent: &mut [SentRow], read: impl Fn(&[SentRow]) -> Result<T, Asks>) -> T {
    loop {
        match read(sent) {
            Ok(read) => return read,
            Err(asks) => by_clocks::answer(&asks, rows, sent.iter_mut().map(|sent| &mut sent.row)),
        }
    }
}

fn ids(row: &ChangeRow) -> Vec<String> {
    let list: Vec<Value> = serde_json::from_str(row.data["iterations"].get()).unwrap();
    list.iter().filter_map(|iteration| Some(iteration["id"].as_str()?.to_owned())).collect()
}

/// The healed list by the shortest reach, which is that of all rows.
pub fn healed(log: &[Row]) -> Healed {
    let (record, history) = read_within(log, Reach::SHORTEST, Reach::WIDE.of_a_long_log());
    let healed = history.heal(&list(&record));
    let (whole_record, whole) = read_whole(log);
    let by_all = whole.heal(&list(&whole_record));
    assert_eq!(values(&healed.iterations), values(&by_all.iterations), "by all rows");
    assert_eq!(
        (healed.lost, history.unread_in_a_row()),
        (by_all.lost, whole.unread_in_a_row()),
        "by all rows"
    );
    healed
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
