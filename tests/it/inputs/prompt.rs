//! What operators see of linked records and of the prompt: states and sizes in the API, and all of it where they ask for it.

use mana_ai::ops::explain::statuses;
use mana_ai::planner::version::PROMPT_VERSION;
use serde_json::{Value, json};

use crate::app::process::{command, run, text};
use crate::inputs::{NOTES, link, note};
use crate::support::{World, due_mission, mission, now, with};

async fn world_with_links() -> World {
    let world = World::new().await;
    let alice = world.device("alice");
    alice
        .create(NOTES, "n1", json!({ "title": "Geheimtitel", "content": "Geheim. ".repeat(1_000) }))
        .await
        .unwrap();
    alice.create(NOTES, "n2", json!({ "content": "kurz" })).await.unwrap();
    let inputs = [note("n1"), note("n1"), note("n2"), note("Geheimlink"), link("Geheimart", "Geheim", "x")];
    let data = with(due_mission(), json!({ "inputs": inputs }));
    alice.create_mission("m1", data).await.unwrap();
    world
}

#[tokio::test]
async fn states_and_sizes_are_told_and_no_content() {
    let world = world_with_links().await;
    world.tick().await;
    let status = statuses(&world.store, "alice", Some("m1")).await.unwrap().remove(0);
    let told = serde_json::to_value(&status).unwrap();
    let states: Vec<_> = told["inputs"]["records"].as_array().unwrap().iter().collect();
    assert_eq!(states[1], &json!({ "position": 3, "module": "notes", "state": "shown", "characters": 4 }));
    assert_eq!(states[2], &json!({ "position": 4, "module": "notes", "state": "missing", "characters": 0 }));
    assert_eq!(states[3], &json!({ "position": 5, "module": null, "state": "unknown", "characters": 0 }));
    let (cut, size) = (&states[0]["state"], states[0]["characters"].as_u64().unwrap());
    assert!(cut == "cut" && (3_900..=4_000).contains(&size), "{told}");
    assert_eq!(told["inputs"]["characters"], size + 4);
    assert_eq!(told["runs"][0]["promptVersion"], **PROMPT_VERSION);
    assert!(!told.to_string().contains("Geheim"), "{told}");
    let all = statuses(&world.store, "alice", None).await.unwrap().remove(0);
    assert!(all.inputs.is_none());
}

/// The same words that the attempt sends.
#[tokio::test]
async fn the_prompt_is_printed_as_the_model_would_be_told() {
    let world = world_with_links().await;
    let printed = run(command(&world, &["prompt", "--user", "alice", "--mission", "m1"])).await;
    assert!(
        printed.status.success() && text(&printed.stderr).contains("holds the user's text"),
        "{printed:?}"
    );
    world.tick().await;
    let told = text(&printed.stdout);
    assert!(told.starts_with(&format!("# prompt version {}\n", *PROMPT_VERSION)), "{told}");
    for message in world.llm.requests()[0].body["messages"].as_array().unwrap() {
        // The clock has moved on.
        let sent = message["content"].as_str().unwrap();
        let sent =
            sent.split_once("\n\n").filter(|_| sent.starts_with("Jetzt ist")).map_or(sent, |(_, rest)| rest);
        assert!(told.contains(sent.trim_end()), "{sent} is not in {told}");
    }

    let alice = world.device("alice");
    let closed = with(mission(now()), json!({ "title": "enc:1:Geheim" }));
    alice.create_mission("closed", closed).await.unwrap();
    for (id, why) in [("closed", "its title is encrypted"), ("none", "this user has no such mission")] {
        let refused = run(command(&world, &["prompt", "--user", "alice", "--mission", id])).await;
        assert!(!refused.status.success() && refused.stdout.is_empty());
        assert!(text(&refused.stderr).contains(why), "{id}: {}", text(&refused.stderr));
    }
    let inspected = run(command(&world, &["inspect", "--user", "alice", "--mission", "m1"])).await;
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(inspected[0]["inputs"]["records"].as_array().unwrap().len(), 4);
}
