//! Which version of the prompt an attempt used, so that plans can be compared over changes of it.

use std::sync::LazyLock;

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};
use uuid::Uuid;

use super::plan::PlanError;
use super::prompt::{Messages, messages, repair};
use super::tools::{TOOLS, Tool};
use crate::domain::fold::Record;
use crate::domain::mission::{Input, Mission};
use crate::inputs::linked::{Found, Linked, Read};
use crate::inputs::links::Links;
use crate::inputs::modules::MODULES;

/// That of this build: eight hexadecimal digits.
pub static PROMPT_VERSION: LazyLock<String> = LazyLock::new(|| version(&TOOLS));

/// A short hash over rules, tools and format. The format is that of a sample with every kind of part that a prompt has, and
/// the table of modules. A word that the sample does not have, such as `pro Woche` beside `pro Tag`, does not count.
fn version(tools: &[Tool]) -> String {
    let asked = repair(&sample(tools), "", &PlanError::CutAtLimit);
    let mut text: String = asked.0.into_iter().map(|message| message.content).collect();
    text += &format!("{MODULES:?}");
    let hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).simple().to_string();
    hash[..8].to_owned()
}

fn sample(tools: &[Tool]) -> Messages {
    let statuses = ["planned", "staged", "approved", "rejected", "skipped", "failed", "running", "other"];
    let intent = json!({ "kind": "toolCall", "toolName": "t", "params": {} });
    let steps = statuses.map(|status| json!({ "summary": "s", "status": status, "intent": intent }));
    let iteration = json!({ "startedAt": "2026-01-01", "userFeedback": "f", "summary": "s", "plan": steps });
    let record = record(&json!({
        "title": "t", "conceptMarkdown": "c", "objective": "o", "state": "active",
        "cadence": { "kind": "manual" }, "iterations": [iteration],
    }));
    let mission = Mission::read("m", &record).expect("the sample is a mission");
    messages(&mission, &linked(), tools, Timestamp::UNIX_EPOCH, &TimeZone::UTC)
}

/// A record of each module, and one for each reason not to show one.
fn linked() -> Linked {
    let encrypted = Found::Record(record(&json!({ "content": "enc:1:x" })));
    let hidden = [encrypted, Found::Nothing, Found::Gone, Found::TooLarge, Found::Newer];
    let shown = MODULES.iter().map(|module| (module, Found::Record(record(&every_field()))));
    let all = shown.chain(hidden.map(|found| (&MODULES[0], found)));
    let (mut inputs, mut read): (Vec<Input>, Vec<Read>) = (0..)
        .zip(all)
        .map(|(id, (module, record))| {
            let (name, table) = (module.name.into(), module.table.name.into());
            let time_block = Found::Record(self::record(&every_field()));
            (Input { module: name, table, id: format!("{id}") }, Read { record, time_block })
        })
        .unzip();
    inputs.push(Input { id: "unknown".into(), ..Input::default() });
    read.push(Read::default());
    Linked { more: 1, ..Linked::of(Links::of(&inputs), read, &TimeZone::UTC) }
}

fn every_field() -> Value {
    json!({
        "title": "t", "content": "c", "description": "d", "freeform": "f", "location": "l", "metric": "m",
        "currentValue": 1, "target": { "value": 2, "period": "day", "comparison": "lte" }, "status": "active",
        "dueDate": "2026-01-01", "isCompleted": true, "priority": "low", "subtasks": [{ "title": "t" }],
        "startDate": "2026-01-01T10:00:00Z", "endDate": "2026-01-01T11:00:00Z", "about": { "aKey": [1, true, "x"] },
    })
}

fn record(fields: &Value) -> Record {
    let fields = serde_json::from_str(&fields.to_string()).expect("an object has fields");
    Record { fields, ..Record::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails with every change of the prompt, so that nobody changes it unawares: then the new version goes in here.
    #[test]
    fn a_change_of_the_prompt_changes_its_version() {
        assert_eq!(*PROMPT_VERSION, "b27b89fc");
        let mut tools = TOOLS.to_vec();
        tools[0].description.push('.');
        assert_ne!(version(&tools), *PROMPT_VERSION);
    }
}
