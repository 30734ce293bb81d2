//! The text that the stand-in's model writes: a plan made from the words of the prompt, so that the demo shows that the
//! prompt reaches the model.

use serde_json::{Value, json};

/// A plan for the mission in the request's last message, in a fenced block with prose around it, as
/// models answer.
pub fn plan_for(request: &Value) -> String {
    let prompt = request.pointer("/messages/1/content").and_then(Value::as_str).unwrap_or_default();
    let title = section(prompt, "titel").unwrap_or("Mission");
    let goal = section(prompt, "ziel").and_then(|text| text.lines().next()).unwrap_or(title);
    let today = prompt.strip_prefix("Jetzt ist ").and_then(|rest| rest.get(..10));
    let feedback =
        prompt.rsplit_once("<daten: rückmeldung der person").and_then(|(_, rest)| rest.lines().nth(1));
    let why = feedback.map_or_else(
        || format!("Damit „{title}“ vorankommt, braucht es einen ersten, kleinen Schritt."),
        |feedback| {
            format!("Deine letzte Rückmeldung war: „{feedback}“ Daran richtet sich dieser Schritt aus.")
        },
    );
    let mut params = json!({ "title": format!("Nächster Schritt: {goal}"), "priority": "medium" });
    if let Some(today) = today {
        params["dueDate"] = json!(today);
    }
    let plan = json!({
        "summary": format!("Nächster Schritt für „{title}“"),
        "steps": [
            { "summary": format!("Aufgabe anlegen: {goal}"), "toolName": "create_task", "params": params, "rationale": why },
            {
                "summary": "Rückblick vormerken",
                "toolName": "create_task",
                "params": { "title": format!("Rückblick: {title}"), "priority": "low" },
                "rationale": "Ein kurzer Rückblick zeigt, ob der Auftrag noch passt.",
            },
        ],
    });
    format!("Hier ist mein Vorschlag:\n```json\n{plan:#}\n```\n")
}

fn section<'prompt>(prompt: &'prompt str, label: &str) -> Option<&'prompt str> {
    let (_, rest) = prompt.split_once(&format!("<daten: {label}>\n"))?;
    Some(rest.split_once("\n</daten>")?.0)
}
