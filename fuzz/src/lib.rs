//! What must hold for any input: one function per fuzz target, which panics where it does not. The property
//! tests in `tests/it/fuzz.rs` include this file, so that nobody needs cargo-fuzz to run them.

mod fold_check;
mod mutation;

use std::collections::BTreeMap;

use jiff::Timestamp;
use mana_ai::domain::iteration::PastIteration;
use mana_ai::llm::error::LlmError;
use mana_ai::llm::response::{self as answers, Reading};
use mana_ai::planner::plan::{MAX_STEPS, Plan};
use mana_ai::planner::tools::TOOLS;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

pub use fold_check::check as fold;
pub use mutation::{exchange, words};

fn now() -> Timestamp {
    "2026-04-14T10:00:00.123456Z".parse().expect("a timestamp")
}

/// The model's text → plan → iteration, and what a reader makes of that.
fn plan_text(text: &str) {
    let Ok(plan) = Plan::read(text, &TOOLS) else { return };
    assert_eq!(Plan::parse(text, &TOOLS).as_ref(), Ok(&plan), "read only refuses more than parse");
    assert!(plan.steps.len() <= MAX_STEPS);
    assert!(plan.steps.iter().all(|step| TOOLS.iter().any(|tool| tool.name == step.tool_name)));
    assert!(plan.steps.iter().all(|step| !step.rationale.is_empty()));
    let ours = plan.clone().into_iteration("i".into(), now(), now());
    let raw = to_raw_value(&[ours]).expect("JSON");
    // Without escaped backslashes: one before `u0000` is the text of six characters.
    assert!(!raw.get().replace("\\\\", "").contains("\\u0000"), "Postgres could not store it");
    let data = BTreeMap::from([("iterations", &*raw)]);
    let data = serde_json::to_string(&data).expect("JSON");
    let [past] = serde_json::from_str::<BTreeMap<String, [PastIteration; 1]>>(&data)
        .expect("it can be read back")
        .remove("iterations")
        .expect("it is there");
    assert_eq!((past.source.as_str(), &past.summary), ("server", &plan.summary));
    assert_eq!(past.plan.len(), plan.steps.len());
    for (past, step) in past.plan.iter().zip(&plan.steps) {
        let intent = json!({ "kind": "toolCall", "toolName": step.tool_name, "params": step.params });
        assert_eq!((&past.intent, &past.rationale), (&intent, &step.rationale), "as it was planned");
    }
}

/// See [`plan_text`].
pub fn plan(input: &[u8]) {
    plan_text(&String::from_utf8_lossy(input));
}

/// Body → content: what a lookup in a tree finds, which is simpler, and larger.
pub fn answer(input: &[u8]) {
    let Reading { tokens, answer: read } = answers::read(input);
    let tree = serde_json::from_slice::<Value>(input).unwrap_or_default();
    let choice = tree["choices"].get(0).unwrap_or(&Value::Null);
    let stopped = choice["finish_reason"].as_str().unwrap_or_default();
    let expected = match &choice["message"]["content"] {
        _ if stopped == "content_filter" => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => joined(parts),
        _ => None,
    };
    let expected = expected.filter(|text| !text.is_empty() || stopped != "length");
    // The one fault that a tree does not know: it is the tree's own.
    if read != Err(LlmError::BadResponse("its body holds a key that cannot be read safely")) {
        assert_eq!(read.as_ref().ok().map(|answer| &answer.content), expected.as_ref());
        // Also of an answer without a text. A count of more than 32 bits is none.
        let count = tree["usage"]["prompt_tokens"].as_u64().filter(|count| u32::try_from(*count).is_ok());
        assert_eq!(tokens.prompt, count.unwrap_or_default());
    }
    if let Ok(answer) = read {
        plan_text(&answer.content);
    }
}

fn joined(parts: &[Value]) -> Option<String> {
    let texts: Vec<&str> =
        parts.iter().filter(|part| part["type"] == "text").filter_map(|part| part["text"].as_str()).collect();
    (!texts.is_empty()).then(|| texts.concat())
}
