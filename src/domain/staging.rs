//! The device's side: a server iteration → proposals, once. Not run by the service; the demo and the
//! tests use it as the device, and the service to tell which plans nobody has read.

use std::collections::HashSet;

use serde::Deserialize as _;
use serde_json::{Map, Value, value::RawValue};

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
    /// The tool to run.
    pub tool_name: String,
    /// Its parameters, as planned.
    pub params: Map<String, Value>,
}

/// Has no device turned this iteration into proposals? Only plans of the server are staged, and only
/// steps that call a tool.
pub fn is_unstaged(iteration: &PastIteration) -> bool {
    iteration.source == "server"
        && iteration.plan.iter().all(|step| step.proposal_id.is_none())
        && iteration.plan.iter().any(|step| tool_call(step).is_some())
}

/// Stages every unstaged iteration that is not in `handled`, and notes it there. Returns the
/// proposals and, if there are any, the whole `iterations` value with `proposalId` and status
/// `staged` written into the steps: the durable marker.
pub fn stage(
    mission_id: &str,
    objective: &str,
    iterations: &[Box<RawValue>],
    handled: &mut HashSet<String>,
    mut new_id: impl FnMut() -> String,
) -> (Vec<Proposal>, Option<Value>) {
    // Writing back what could not be read would lose it.
    let values: Result<Vec<Value>, _> = iterations.iter().map(|raw| json::read(raw.get())).collect();
    let Ok(mut values) = values else { return (Vec::new(), None) };
    let mut proposals = Vec::new();
    for value in &mut values {
        let Ok(iteration) = PastIteration::deserialize(&*value) else { continue };
        if !is_unstaged(&iteration) || !handled.insert(iteration.id.clone()) {
            continue;
        }
        for (index, step) in iteration.plan.iter().enumerate() {
            let Some((tool_name, params)) = tool_call(step) else { continue };
            let id = new_id();
            value["plan"][index]["proposalId"] = Value::from(id.clone());
            value["plan"][index]["status"] = Value::from("staged");
            proposals.push(Proposal {
                id,
                step_id: step.id.clone(),
                summary: step.summary.clone(),
                actor: actor(mission_id, objective, &iteration, step),
                tool_name,
                params,
            });
        }
    }
    let staged = (!proposals.is_empty()).then_some(Value::Array(values));
    (proposals, staged)
}

fn actor(mission_id: &str, objective: &str, iteration: &PastIteration, step: &PastStep) -> Actor {
    let candidates = [&*step.rationale, &*step.summary, &*iteration.summary, objective];
    let rationale = candidates.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
    Actor::Ai {
        mission_id: mission_id.to_owned(),
        iteration_id: iteration.id.clone(),
        rationale: rationale.to_owned(),
    }
}

fn tool_call(step: &PastStep) -> Option<(String, Map<String, Value>)> {
    let tool_name = step.intent.get("toolName")?.as_str()?;
    let params = step.intent.get("params").and_then(Value::as_object).cloned().unwrap_or_default();
    (step.intent.get("kind")? == "toolCall").then(|| (tool_name.to_owned(), params))
}
