//! What becomes of a model's text, by the vectors of a device client, and the list of tools.

use mana_ai::planner::plan::Plan;
use mana_ai::planner::tools::{TOOLS, Tool};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct ParserVector {
    name: String,
    text: String,
    tools: Vec<String>,
    expected: ExpectedPlan,
}

#[derive(Deserialize)]
struct ExpectedPlan {
    ok: bool,
    value: Option<Value>,
}

#[test]
fn plan_parser_agrees_with_devices() {
    let vectors: Vec<ParserVector> = serde_json::from_str(include_str!("../../vectors/parser.json")).unwrap();
    assert_eq!(vectors.len(), 51);
    for ParserVector { name, text, tools, expected } in vectors {
        let allowed: Vec<Tool> = TOOLS.iter().filter(|tool| tools.contains(&tool.name)).cloned().collect();
        assert_eq!(allowed.len(), tools.len(), "{name}: a tool that we do not know");
        let plan = Plan::parse(&text, &allowed);
        assert_eq!(plan.is_ok(), expected.ok, "{name}: {plan:?}");
        assert_eq!(plan.ok().map(as_json), expected.value, "{name}");
    }
}

fn as_json(plan: Plan) -> Value {
    let steps = plan.steps.into_iter().map(|step| {
        json!({ "summary": step.summary, "toolName": step.tool_name, "params": step.params, "rationale": step.rationale })
    });
    json!({ "summary": plan.summary, "steps": steps.collect::<Vec<_>>() })
}

/// Our data are the contract's, with descriptions added.
#[test]
fn allow_list_is_the_contract() {
    let contract: Value = serde_json::from_str(include_str!("../../contract/tools.json")).unwrap();
    let mut ours: Value = serde_json::from_str(include_str!("../../../src/planner/tools.json")).unwrap();
    for tool in ours.as_array_mut().unwrap() {
        assert!(tool.as_object_mut().unwrap().remove("description").is_some(), "{tool}");
        for parameter in tool["parameters"].as_array_mut().unwrap() {
            assert!(parameter.as_object_mut().unwrap().remove("description").is_some(), "{parameter}");
        }
    }
    assert_eq!(ours, contract);
}

/// A device that copies the parameters field by field would change the prototype of its own object.
#[test]
fn no_prototype_gets_into_the_parameters() {
    let params = json!({ "title": "x", "__proto__": { "admin": true },
        "extra": [{ "__proto__": 1, "kept": { "constructor": 1, "__proto__": null } }] });
    let step = json!({ "toolName": "create_task", "params": params, "rationale": "why" });
    let plan = Plan::read(&json!({ "steps": [step] }).to_string(), &TOOLS).unwrap();
    let expected = json!({ "title": "x", "extra": [{ "kept": { "constructor": 1 } }] });
    assert_eq!(as_json(plan)["steps"][0]["params"], expected);
}

/// Every later row of the mission repeats a plan's texts.
#[test]
fn texts_of_a_plan_are_cut_and_parameters_refused() {
    let plan = |summary: usize, rationale: usize, title: usize| {
        let step = json!({ "summary": "s".repeat(summary), "toolName": "create_task",
            "params": { "title": "t".repeat(title) }, "rationale": "ä".repeat(rationale) });
        Plan::read(&json!({ "summary": "p".repeat(summary), "steps": [step] }).to_string(), &TOOLS)
    };
    let fits = plan(500, 2_000, 100).unwrap();
    assert_eq!(
        (fits.summary, fits.steps[0].rationale.as_str()),
        ("p".repeat(500), "ä".repeat(2_000).as_str())
    );
    let cut = plan(50_000, 20_000, 100).unwrap();
    assert_eq!(cut.summary, "p".repeat(499) + "…");
    assert_eq!(cut.steps[0].summary, "s".repeat(499) + "…");
    assert_eq!(cut.steps[0].rationale, "ä".repeat(1_999) + "…");
    let refused = plan(1, 1, 20_000).unwrap_err().to_string();
    assert!(refused.starts_with("step 1: params has 20012 bytes, at most 16384"), "{refused}");
}
