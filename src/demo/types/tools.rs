//! The allow-list in TypeScript: as data, and as the type of each tool's parameters.

use serde_json::{Value, json};

use crate::planner::tools::{Kind, Parameter, Tool};

/// `tools.ts`: what a device needs to check a step's parameters. The descriptions are for the model alone.
pub(super) fn list(tools: &[Tool]) -> String {
    let tool = |tool: &Tool| {
        let parameters: Vec<Value> = tool.parameters.iter().map(as_data).collect();
        json!({ "name": tool.name, "module": tool.module, "parameters": parameters })
    };
    let tools: Vec<Value> = tools.iter().map(tool).collect();
    format!(
        "import type {{ Tool }} from \"./Tool\";\n\n/** The allow-list: every tool that a plan may propose. */\n\
         export const TOOLS: ReadonlyArray<Tool> = {:#};\n",
        Value::Array(tools)
    )
}

fn as_data(parameter: &Parameter) -> Value {
    let mut data =
        json!({ "name": parameter.name, "type": parameter.kind.to_string(), "required": parameter.required });
    if let Some(allowed) = &parameter.allowed {
        data["enum"] = json!(allowed);
    }
    if let Some(format) = parameter.format {
        data["format"] = json!(format);
    }
    data
}

/// `ToolParams.ts`.
pub(super) fn params(tools: &[Tool]) -> String {
    let tools: String = tools.iter().map(|tool| format!("  {}: {};\n", tool.name, object(tool))).collect();
    format!(
        "/** What each tool takes. Unknown extras are allowed. */\nexport type ToolParams = {{\n{tools}}};\n\n\
         /** The name of a tool, exactly as a step writes it. */\nexport type ToolName = keyof ToolParams;\n"
    )
}

fn object(tool: &Tool) -> String {
    if tool.parameters.is_empty() {
        return "Record<string, never>".into();
    }
    let field = |parameter: &Parameter| {
        let mark = if parameter.required { "" } else { "?" };
        format!("    {}{mark}: {};\n", parameter.name, type_of(parameter))
    };
    format!("{{\n{}  }}", tool.parameters.iter().map(field).collect::<String>())
}

fn type_of(parameter: &Parameter) -> String {
    match &parameter.allowed {
        Some(allowed) => allowed.iter().map(|member| format!("{member:?}")).collect::<Vec<_>>().join(" | "),
        None => match parameter.kind {
            Kind::String => "string".into(),
            Kind::Number => "number".into(),
            Kind::Boolean => "boolean".into(),
        },
    }
}
