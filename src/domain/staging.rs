//! The device's side: a server iteration → proposals, once, as a client of April 2026 does it
//! (`tests/vectors/staging.json` judges). Not run by the service; the demo and the tests use it as the device.

use std::collections::HashSet;

use serde::Deserialize as _;
use serde_json::{Map, Value, value::RawValue};

use super::fold::{Record, text_of};
use super::iteration::{Actor, PastIteration, PastStep};
use super::json;

/// What a user is asked to approve.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// Made by the device.
    pub id: String,
    /// The step it stands for.
    pub step_id: String,
    /// Line shown to the user.
    pub summary: String,
    /// To whom the change will be attributed, should the user approve.
    pub actor: Actor,
    /// `kind`, `toolName` and `params` of the step's intent, as they are there; nothing else of it.
    pub intent: Value,
    /// The tool to run.
    pub tool_name: String,
    /// Its parameters, as planned; empty where there are none.
    pub params: Map<String, Value>,
}

/// Has no device turned this iteration into proposals? Only plans of the server are staged, and only steps that call a
/// tool. Statuses do not matter: a client of April reads the marker `proposalId` alone.
pub fn is_unstaged(iteration: &PastIteration) -> bool {
    iteration.source == "server"
        && !iteration.plan.iter().any(PastStep::has_proposal)
        && iteration.plan.iter().any(|step| step.tool_name().is_some())
}

/// Stages every unstaged iteration of a mission that is not in `handled`, and notes it there. Returns the proposals and,
/// if an iteration was staged to its end, the whole `iterations` value with `proposalId` and status `staged` written into
/// the steps: the durable marker.
///
/// A step without an intent is an exception in the client: the proposals before it are made, but neither marker nor note,
/// so they are made again each time the mission is looked at.
pub fn stage(
    mission_id: &str,
    record: &Record,
    handled: &mut HashSet<String>,
    mut new_id: impl FnMut() -> String,
) -> (Vec<Proposal>, Option<Value>) {
    let is_deleted = record.fields.get("deletedAt").is_some_and(|deleted| !json::is_falsy(deleted));
    let Some(mut values) = iterations(record).filter(|_| !is_deleted) else { return (Vec::new(), None) };
    let objective = text_of(&record.fields, "objective").unwrap_or_default();
    let (mut proposals, mut is_marked) = (Vec::new(), false);
    for value in &mut values {
        let Ok(iteration) = PastIteration::deserialize(&*value) else { continue };
        if !is_unstaged(&iteration) || handled.contains(&iteration.id) {
            continue;
        }
        let steps = iteration.plan.iter().enumerate();
        let readable = steps.take_while(|(_, step)| !step.intent.is_null());
        let made: Vec<(usize, Proposal)> = readable
            .filter_map(|(index, step)| {
                let actor = actor(mission_id, &objective, &iteration, step);
                Some((index, proposal(step, actor, &mut new_id)?))
            })
            .collect();
        if iteration.plan.iter().all(|step| !step.intent.is_null()) {
            for (index, proposal) in &made {
                value["plan"][*index]["proposalId"] = Value::from(proposal.id.clone());
                value["plan"][*index]["status"] = Value::from("staged");
            }
            handled.insert(iteration.id.clone());
            is_marked = true;
        }
        proposals.extend(made.into_iter().map(|(_, proposal)| proposal));
    }
    (proposals, is_marked.then_some(Value::Array(values)))
}

/// `None` where one cannot be read: writing it back would lose it.
fn iterations(record: &Record) -> Option<Vec<Value>> {
    let raw: Vec<&RawValue> = serde_json::from_str(record.fields.get("iterations")?.get()).ok()?;
    raw.into_iter().map(|raw| json::read(raw.get()).ok()).collect()
}

fn proposal(step: &PastStep, actor: Actor, new_id: &mut impl FnMut() -> String) -> Option<Proposal> {
    let tool_name = step.tool_name()?.to_owned();
    let mut intent = Map::new();
    for key in ["kind", "toolName", "params"] {
        intent.extend(step.intent.get(key).map(|value| (key.to_owned(), value.clone())));
    }
    Some(Proposal {
        id: new_id(),
        step_id: step.id.clone(),
        summary: step.summary.clone(),
        actor,
        params: step.intent.get("params").and_then(Value::as_object).cloned().unwrap_or_default(),
        intent: Value::Object(intent),
        tool_name,
    })
}

/// The rationale is the step's summary, else the iteration's, else the objective. April's client does not read the step's
/// own `rationale`.
fn actor(mission_id: &str, objective: &str, iteration: &PastIteration, step: &PastStep) -> Actor {
    let candidates = [&*step.summary, &*iteration.summary, objective];
    let rationale = candidates.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
    Actor::Ai {
        mission_id: mission_id.to_owned(),
        iteration_id: iteration.id.clone(),
        rationale: rationale.to_owned(),
    }
}
