mod bounds;
mod cost;
mod encrypted;
mod modules;
mod prompt;
mod states;
pub mod walls;

use jiff::tz::TimeZone;
use mana_ai::demo::device::{Device, SyncRow};
use mana_ai::domain::iteration::Actor;
use mana_ai::inputs::linked::{Linked, State};
use mana_ai::inputs::links::Links;
use mana_ai::store::UserTx;
use mana_ai::store::log::linked::wait_and_read_linked;
use serde_json::{Value, json};

use crate::support::World;

pub const NOTES: (&str, &str) = ("notes", "notes");

/// A link as a mission has it.
pub fn link(module: &str, table: &str, id: &str) -> Value {
    json!({ "module": module, "table": table, "id": id })
}

pub fn note(id: &str) -> Value {
    link("notes", "notes", id)
}

/// What the model would be told of what these links lead to, as of `user`, in Berlin.
pub async fn linked(world: &World, user: &str, inputs: &[Value]) -> Linked {
    let inputs: Vec<_> = inputs.iter().map(|input| serde_json::from_value(input.clone()).unwrap()).collect();
    let mut tx = UserTx::begin(&world.store, user).await.unwrap();
    let links = Links::of(&inputs);
    let read = wait_and_read_linked(&mut tx, &links).await.unwrap();
    tx.rollback().await.unwrap();
    Linked::of(links, read, &TimeZone::get("Europe/Berlin").unwrap())
}

pub fn states(linked: &Linked) -> Vec<State> {
    linked.records.iter().map(|record| record.state).collect()
}

/// A row that [`Device`] has no word for: a delete, or one of another shape.
pub async fn push(device: &Device, place: (&str, &str), id: &str, op: &str, data: Value, clocks: Value) {
    let row = SyncRow { place, record_id: id, op, data, field_timestamps: clocks, actor: Actor::User };
    device.push(row).await.unwrap();
}
