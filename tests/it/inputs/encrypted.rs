//! What only the user's devices can read never reaches the model.

use mana_ai::inputs::linked::State;
use mana_ai::ops::explain::statuses;
use serde_json::{Value, json};

use crate::inputs::{NOTES, link, linked, note, states};
use crate::support::{World, due_mission, now, with};

const CLOSED: &str = "enc:1:R2VoZWlt";

/// Anywhere in any field that is read, and in the link itself.
#[tokio::test]
async fn an_encrypted_record_is_named_and_not_shown() {
    let world = World::new().await;
    let alice = world.device("alice");
    let profile = ("profile", "userContext");
    let places: [((&str, &str), Value); 6] = [
        (NOTES, json!({ "title": "Offen", "content": CLOSED })),
        (NOTES, json!({ "title": format!(" {CLOSED}"), "content": "Offen" })),
        (profile, json!({ "about": { "job": { "title": ["x", { "y": CLOSED }] } }, "freeform": "Offen" })),
        (profile, json!({ "about": { CLOSED: "x" }, "freeform": "Offen" })),
        (
            ("todo", "tasks"),
            json!({ "title": "Offen", "subtasks": [{ "title": "x", "isCompleted": CLOSED }] }),
        ),
        (("calendar", "events"), json!({ "title": "Offen", "timeBlockId": "block" })),
    ];
    let mut links = Vec::new();
    for (at, (place, data)) in places.into_iter().enumerate() {
        let id = format!("r{at}");
        alice.create(place, &id, data).await.unwrap();
        let module = if place == NOTES { "notes" } else { place.0 };
        links.push(link(module, place.1, &id));
    }
    alice.create(("timeblocks", "timeBlocks"), "block", json!({ "startDate": CLOSED })).await.unwrap();
    links.push(note(CLOSED));
    links.push(link(CLOSED, "notes", "r0"));
    assert_eq!(states(&linked(&world, "alice", &links).await), [State::Encrypted; 8]);

    // Also in what is left of a long history.
    let step = json!({ "summary": CLOSED, "intent": { "toolName": CLOSED, "params": { "a": [CLOSED] } } });
    let iteration = json!({ "startedAt": CLOSED, "summary": CLOSED, "userFeedback": CLOSED, "plan": [step] });
    let mission = with(due_mission(), json!({ "inputs": links, "iterations": [iteration] }));
    alice.create_mission("m1", mission).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 1);
    let asked = world.llm.requests()[0].body.to_string();
    assert!(!asked.contains("enc:1") && !asked.contains("Offen"), "{asked}");
    assert!(asked.contains("Verknüpft 1, Notiz: ist verschlüsselt"), "{asked}");
}

/// It is looked at once, is no error, and is planned as soon as a row makes it plain.
#[tokio::test]
async fn an_encrypted_mission_is_not_planned_and_says_why() {
    for field in ["title", "conceptMarkdown", "objective"] {
        let world = World::new().await;
        let alice = world.device("alice");
        alice.create_mission("m1", with(due_mission(), json!({ field: CLOSED }))).await.unwrap();
        for attempts in [1, 0] {
            let stats = world.tick().await;
            assert_eq!((stats.due_mission_count, stats.errors.len()), (attempts, 0), "{field}: {stats:?}");
        }
        assert!(world.llm.requests().is_empty());
        let status = statuses(&world.store, "alice", Some("m1")).await.unwrap().remove(0);
        let told = format!("its {field} is encrypted");
        assert!(!status.due && status.reason.starts_with(&told), "{}", status.reason);
        let run = &status.runs.unwrap()[0];
        assert_eq!(run.outcome.as_deref(), Some("skipped"));
        assert!(run.reason.as_ref().unwrap().starts_with(&told) && run.prompt_version.is_none());
        let quarantined = "SELECT count(*) FROM mana_ai.mission_schedule WHERE quarantined OR attempts > 0";
        assert_eq!(world.db.count(quarantined).await, 0);

        alice.edit_mission("m1", json!({ field: "Offen" }), now()).await.unwrap();
        assert_eq!(world.tick().await.plans_written_back, 1, "{field}");
    }
}
