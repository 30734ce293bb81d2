//! `web/src/generated/` is made from our types, and what the service writes has those shapes.

use std::collections::BTreeSet;
use std::path::Path;

use mana_ai::demo::types::{files, wire};
use mana_ai::domain::cadence::{Cadence, CadenceFromLog};
use mana_ai::domain::iteration::{Actor, Iteration, MISSION_RUNNER};
use mana_ai::planner::plan::Plan;
use mana_ai::planner::tools::TOOLS;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::support::now;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/web/src/generated");
const RENEW: &str = "UPDATE_TYPES=1 cargo test --test it -- demo::types";

#[test]
fn the_generated_files_are_as_the_types_are_now() {
    let files = files().unwrap();
    let folder = Path::new(FOLDER);
    let there: BTreeSet<String> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    if std::env::var_os("UPDATE_TYPES").is_some() {
        for stale in there.iter().filter(|name| !files.contains_key(*name)) {
            std::fs::remove_file(folder.join(stale)).unwrap();
        }
        for (name, text) in &files {
            std::fs::write(folder.join(name), text).unwrap();
        }
        return;
    }
    assert_eq!(there, files.keys().cloned().collect(), "other files than the types make; {RENEW}");
    for (name, text) in &files {
        let found = std::fs::read_to_string(folder.join(name)).unwrap();
        assert!(found == *text, "web/src/generated/{name} is stale; {RENEW}");
    }
}

#[test]
fn what_the_service_writes_has_the_shapes_of_the_wire() {
    let text = json!({ "summary": "s", "steps": [{ "toolName": "undo_last_drink", "params": { "more": 1 }, "rationale": "r" }] });
    let plan = Plan::read(&text.to_string(), &TOOLS).unwrap();
    same::<wire::MissionIteration>(&plan.into_iteration("i".into(), now(), now()));
    same::<wire::MissionIteration>(&Iteration::failed("i".into(), now(), now(), "why".into()));
    let ai = Actor::Ai { mission_id: "m".into(), iteration_id: "i".into(), rationale: "r".into() };
    for actor in [Actor::User, ai, MISSION_RUNNER] {
        same::<wire::Actor>(&actor);
    }
}

/// Through the wire's type and back nothing changes: no field that it lacks, none that it demands.
fn same<T: Serialize + DeserializeOwned>(written: &impl Serialize) {
    let written = serde_json::to_value(written).unwrap();
    let read: T = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), written);
}

/// The kinds of the type are those that the service plans by.
#[test]
fn every_cadence_of_the_wire_can_be_planned() {
    for cadence in [
        json!({ "kind": "manual" }),
        json!({ "kind": "interval", "everyMinutes": 15 }),
        json!({ "kind": "daily", "atHour": 7, "atMinute": 30 }),
        json!({ "kind": "weekly", "dayOfWeek": 0, "atHour": 7 }),
        json!({ "kind": "cron", "expression": "0 7 * * 1" }),
    ] {
        let raw = serde_json::value::to_raw_value(&cadence).unwrap();
        serde_json::from_str::<CadenceFromLog>(raw.get()).unwrap();
        Cadence::parse(&raw).unwrap();
    }
}
