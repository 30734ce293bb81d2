//! The demo's four missions, and what they link, as a device writes them.

use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use crate::domain::time::iso;

/// Record ids, in the order in which they are written.
pub(super) const DUE: &str = "demo-due";
/// Its slot is in an hour.
pub(super) const LATER: &str = "demo-later";
/// Switched off by its user.
pub(super) const PAUSED: &str = "demo-paused";
/// Due, with iterations that its user has reviewed.
pub(super) const REVIEWED: &str = "demo-reviewed";

/// A note and a goal that each mission links.
const NOTE: &str = "demo-note";
const GOAL: &str = "demo-goal";

/// Of what the missions link: app and table, id, and the record.
pub(super) fn linked(now: Timestamp) -> [((&'static str, &'static str), &'static str, Value); 2] {
    let with_times = |mut record: Value| {
        record["createdAt"] = json!(iso(now - 72.hours()));
        record["updatedAt"] = json!(iso(now - 48.hours()));
        record
    };
    let note = json!({
        "title": "Was ich mir vorgenommen habe",
        "content": "Unter der Woche nur abends Zeit.\n\n- lieber klein und oft\n- samstags ist die Werkstatt offen",
    });
    let goal = json!({
        "title": "Abende für mich", "currentValue": 1, "metric": "Abende", "status": "active",
        "target": { "value": 3, "period": "week", "comparison": "gte" },
    });
    [(("notes", "notes"), NOTE, with_times(note)), (("companion", "companionGoals"), GOAL, with_times(goal))]
}

/// Id, what to say about it, and the record.
pub(super) fn all(now: Timestamp) -> Vec<(&'static str, &'static str, Value)> {
    let (ago, ahead) = (iso(now - 1.minute()), iso(now + 1.hour()));
    vec![
        (
            DUE,
            "due since a minute",
            mission(
                now,
                "Wohnung renovieren",
                "Jede Woche einen Raum fertig bekommen",
                "active",
                &ago,
                json!([]),
            ),
        ),
        (
            LATER,
            "due in an hour",
            mission(now, "Spanisch lernen", "Täglich eine Lektion", "active", &ahead, json!([])),
        ),
        (PAUSED, "paused", mission(now, "Marathon 2027", "Drei Läufe pro Woche", "paused", &ago, json!([]))),
        (
            REVIEWED,
            "due, with a reviewed iteration",
            mission(now, "Mehr lesen", "Zwei Bücher im Monat", "active", &ago, reviewed(now)),
        ),
    ]
}

fn mission(
    now: Timestamp,
    title: &str,
    objective: &str,
    state: &str,
    next: &str,
    iterations: Value,
) -> Value {
    json!({
        "createdAt": iso(now - 72.hours()),
        "updatedAt": iso(now - 2.minutes()),
        "title": title,
        "conceptMarkdown": format!("## {title}\n\nKleine Schritte, keine Überforderung."),
        "objective": objective,
        "inputs": [
            { "module": "notes", "table": "notes", "id": NOTE },
            { "module": "goals", "table": "companionGoals", "id": GOAL },
        ],
        "cadence": { "kind": "interval", "everyMinutes": 60 },
        "state": state,
        "nextRunAt": next,
        "iterations": iterations,
    })
}

fn reviewed(now: Timestamp) -> Value {
    json!([{
        "id": "demo-iteration-1",
        "startedAt": iso(now - 48.hours()),
        "finishedAt": iso(now - 48.hours()),
        "overallStatus": "rejected",
        "source": "browser",
        "summary": "Leseliste anlegen",
        "userFeedback": "Bitte keine Sachbücher mehr, lieber Romane.",
        "plan": [{
            "id": "demo-iteration-1-0",
            "summary": "Sachbuch besorgen",
            "status": "rejected",
            "rationale": "Ein Anfang.",
            "proposalId": "demo-proposal-1",
            "intent": { "kind": "toolCall", "toolName": "create_task", "params": { "title": "Sachbuch kaufen" } },
        }],
    }])
}
