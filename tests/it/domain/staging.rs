//! April's device turns plans into proposals; and which plans nobody has read, for both generations.

use std::collections::{BTreeMap, HashSet};

use mana_ai::domain::change::Fields;
use mana_ai::domain::fold::Record;
use mana_ai::domain::iteration::PastIteration;
use mana_ai::domain::staging::{Proposal, stage};
use serde::Deserialize;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Vector {
    name: String,
    missions: Vec<BTreeMap<String, Value>>,
    proposals: Vec<Value>,
    iterations_after: BTreeMap<String, Value>,
    then_edited: Option<Value>,
}

fn told(proposal: Proposal) -> Value {
    let actor = serde_json::to_value(&proposal.actor).unwrap();
    json!({
        "id": proposal.id, "createdAt": "2026-04-15T09:00:00.000Z", "status": "pending", "missionId": actor["missionId"],
        "iterationId": actor["iterationId"], "rationale": actor["rationale"], "actor": actor, "intent": proposal.intent,
    })
}

#[test]
fn staging_agrees_with_aprils_devices() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../../vectors/staging.json")).unwrap();
    assert_eq!(vectors.len(), 32);
    for Vector { name, missions, proposals, iterations_after, then_edited } in vectors {
        let mut made = Vec::new();
        let (mut ids, mut handled) = (1.., HashSet::new());
        let mut new_id = || format!("00000000-0000-4000-c000-{:012}", ids.next().unwrap());
        let mut after = BTreeMap::new();
        // A client looks when it starts, and again after each change of a mission, its own marker included.
        for _look in 0..=1 + usize::from(then_edited.is_some()) {
            for mission in &missions {
                let id = mission["id"].as_str().unwrap().to_owned();
                let mut fields: Fields = mission
                    .iter()
                    .map(|(field, value)| (field.clone(), to_raw_value(value).unwrap()))
                    .collect();
                let now = after.entry(id.clone()).or_insert_with(|| mission["iterations"].clone());
                fields.insert("iterations".into(), to_raw_value(now).unwrap());
                let record = Record { fields, clocks: BTreeMap::new() };
                if made.len() >= proposals.len() && !handled.contains("it-1") && then_edited.is_some() {
                    continue;
                }
                let (proposals, marked) = stage(&id, &record, &mut handled, &mut new_id);
                made.extend(proposals.into_iter().map(told));
                *now = marked.unwrap_or_else(|| now.clone());
            }
        }
        assert_eq!(made, proposals, "{name}");
        assert_eq!(after, iterations_after, "{name}");
    }
}

fn plan(status: &str, fields: Value, step: Value) -> PastIteration {
    let extended = |mut value: Value, fields: Value| {
        value.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        value
    };
    let call = json!({ "status": status, "intent": { "kind": "toolCall", "toolName": "create_task" } });
    let note = json!({ "status": "planned", "intent": { "kind": "note", "body": "x" } });
    let steps = json!([extended(call, step), note]);
    let whole = json!({ "source": "server", "overallStatus": "awaiting-review", "plan": steps });
    serde_json::from_value(extended(whole, fields)).unwrap()
}

#[test]
fn a_plan_is_unread_until_there_is_a_sign_of_a_reader() {
    let table = [
        ("as we wrote it", "planned", json!({}), json!({}), true),
        ("without a status", "", json!({}), json!({}), true),
        ("April: staged", "staged", json!({}), json!({ "proposalId": "p" }), false),
        ("April: a marker alone", "planned", json!({}), json!({ "proposalId": 5 }), false),
        ("an empty marker", "planned", json!({}), json!({ "proposalId": "" }), true),
        ("a marker of null", "planned", json!({}), json!({ "proposalId": null }), true),
        ("today: run", "approved", json!({}), json!({}), false),
        ("today: failed", "failed", json!({}), json!({}), false),
        ("answered", "planned", json!({ "userFeedback": "nein" }), json!({}), false),
        ("decided", "planned", json!({ "overallStatus": "rejected" }), json!({}), false),
        ("of a browser", "planned", json!({ "source": "browser" }), json!({}), false),
        ("without a tool", "planned", json!({}), json!({ "intent": { "kind": "note" } }), false),
        ("without a plan", "planned", json!({ "plan": [] }), json!({}), false),
    ];
    for (name, status, fields, step, expected) in table {
        assert_eq!(plan(status, fields, step).is_unread(), expected, "{name}");
    }
}
