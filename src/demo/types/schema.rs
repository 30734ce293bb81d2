//! A JSON Schema of the plan, as a model should write it. What fits it passes the service's own reading, but for two
//! things that no schema says: an event that ends before it starts, and a day that no calendar has. The service
//! takes more: a summary or an optional parameter of null, a step without `params`.

use serde_json::{Map, Value, json};

use crate::planner::plan::MAX_STEPS;
use crate::planner::tools::{Format, Kind, Parameter, Tool};

/// `YYYY-MM-DD`.
const DATE: &str = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$";
/// The same with a time and, where it names one, a zone.
const DATE_TIME: &str = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\
    T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\\.[0-9]+)?)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])?$";

/// The schema, draft 2020-12.
pub(super) fn plan(tools: &[Tool]) -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Plan",
        "description": "What a model answers to mana-ai's prompt",
        "type": "object",
        "required": ["steps"],
        "properties": {
            "summary": { "type": "string" },
            "steps": {
                "type": "array",
                "maxItems": MAX_STEPS,
                "items": { "oneOf": tools.iter().map(step).collect::<Vec<_>>() },
            },
        },
    })
}

fn step(tool: &Tool) -> Value {
    let properties: Map<String, Value> =
        tool.parameters.iter().map(|parameter| (parameter.name.clone(), value(parameter))).collect();
    let required = tool.parameters.iter().filter(|parameter| parameter.required);
    json!({
        "type": "object",
        "title": tool.name,
        "required": ["toolName", "params", "rationale"],
        "properties": {
            "toolName": { "const": tool.name },
            "summary": { "type": "string" },
            "rationale": { "type": "string", "minLength": 1 },
            "params": {
                "type": "object",
                "required": required.map(|parameter| &parameter.name).collect::<Vec<_>>(),
                "properties": properties,
            },
        },
    })
}

fn value(parameter: &Parameter) -> Value {
    let mut schema = json!({ "type": parameter.kind.to_string(), "description": parameter.description });
    if let Some(allowed) = &parameter.allowed {
        schema["enum"] = json!(allowed);
    }
    match parameter.format {
        Some(Format::Date) => schema["pattern"] = json!(DATE),
        Some(Format::DateTime) => schema["pattern"] = json!(DATE_TIME),
        None if parameter.required && parameter.kind == Kind::String => schema["pattern"] = json!("\\S"),
        None => {}
    }
    schema
}
