//! Links that lead to nothing that can be shown: each is named, and none costs the mission its plan.

use jiff::ToSpan;
use mana_ai::inputs::linked::State;
use serde_json::{Value, json};

use crate::inputs::{NOTES, link, linked, note, push, states};
use crate::support::{World, due_mission, now, with};

#[tokio::test]
async fn bad_links_show_nothing_and_say_so() {
    let world = World::new().await;
    let (alice, mallory) = (world.device("alice"), world.device("mallory"));
    let secret = json!({ "title": "Geheim", "content": "Geheim" });
    mallory.create(NOTES, "theirs", secret.clone()).await.unwrap();
    alice.create(("times", "entries"), "unlisted", secret.clone()).await.unwrap();
    alice.create(("notes", "drafts"), "draft", secret.clone()).await.unwrap();
    alice.create(("timeblocks", "timeBlocks"), "block", secret.clone()).await.unwrap();
    alice.create(NOTES, "soft", secret.clone()).await.unwrap();
    alice.edit(NOTES, "soft", json!({ "deletedAt": now() }), now()).await.unwrap();
    alice.create(NOTES, "hard", secret.clone()).await.unwrap();
    push(&alice, NOTES, "hard", "delete", json!({}), json!({})).await;
    alice.create(NOTES, "mine", json!({ "title": "Meins" })).await.unwrap();
    let links = [
        note("theirs"),
        note("never"),
        link("times", "entries", "unlisted"),
        link("notes", "drafts", "draft"),
        link("timeblocks", "timeBlocks", "block"),
        link("todo", "notes", "mine"),
        note(""),
        json!("notes"),
        json!({ "module": ["notes"], "table": 7 }),
        note("soft"),
        note("hard"),
        note("mine"),
        note("mine"),
    ];
    // What is no object is no link at all.
    use State::{Deleted, Missing, Shown, Unknown};
    let objects: Vec<Value> = links.iter().filter(|link| link.is_object()).cloned().collect();
    let expected =
        [Missing, Missing, Unknown, Unknown, Unknown, Unknown, Unknown, Unknown, Deleted, Deleted, Shown];
    assert_eq!(states(&linked(&world, "alice", &objects).await), expected);

    let mission = with(due_mission(), json!({ "inputs": links }));
    alice.create_mission("m1", mission).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 1);
    let asked = world.llm.requests()[0].body.to_string();
    assert!(asked.contains("Titel: Meins") && !asked.contains("Geheim"), "{asked}");
    for sentence in [
        "Verknüpft 1, Notiz: wurde nicht gefunden.",
        "Verknüpft 3, Datensatz: gehört zu einem Modul, das du nicht lesen kannst.",
        "Verknüpft 9, Notiz: ist gelöscht.",
    ] {
        assert!(asked.contains(sentence), "{sentence} is not in {asked}");
    }
    assert_eq!(asked.matches("Titel: Meins").count(), 1, "the same link twice is shown once");
}

/// Rows of a later version, of odd shapes, or without end: only their own record is not shown.
#[tokio::test]
async fn rows_that_cannot_be_read_hide_their_record_alone() {
    let world = World::new().await;
    let alice = world.device("alice");
    for id in ["newer", "odd", "big", "inserts", "clocks", "parts", "fine"] {
        alice.create(NOTES, id, json!({ "title": id })).await.unwrap();
    }
    let sql = "UPDATE sync_changes SET schema_version = 2 WHERE record_id = 'newer'";
    sqlx::query(sql).execute(&world.db.admin).await.unwrap();
    push(&alice, NOTES, "odd", "update", json!([1, 2]), json!("none")).await;
    push(&alice, NOTES, "odd", "insert", json!("text"), json!(7)).await;
    let clock = json!(now() + 1.hour());
    let big = json!({ "content": { "a": "x".repeat(40_000) } });
    push(&alice, NOTES, "big", "update", big, json!({ "content": clock, "gone": clock })).await;
    for _ in 0..9 {
        push(&alice, NOTES, "inserts", "insert", json!({ "title": "again" }), json!({})).await;
    }
    let clocks =
        |names: usize| -> Value { (0..names).map(|at| (format!("title.x{at}"), clock.clone())).collect() };
    push(&alice, NOTES, "clocks", "update", json!({}), clocks(2_000)).await;
    // Parts without measure, each of which goes into the field: the values are more than is kept of a record.
    for _ in 0..3 {
        let data: Value = clocks(500)
            .as_object()
            .unwrap()
            .keys()
            .map(|name| (name.clone(), json!("x".repeat(4_000))))
            .collect();
        push(&alice, NOTES, "parts", "update", data, clocks(500)).await;
    }
    let links = ["newer", "odd", "big", "inserts", "clocks", "parts", "fine"].map(note);
    use State::{Shown, TooLarge, Unreadable};
    let linked = linked(&world, "alice", &links).await;
    assert_eq!(states(&linked), [Unreadable, Shown, TooLarge, TooLarge, TooLarge, TooLarge, Shown]);
    assert_eq!(linked.records[1].text, "Titel: odd");
}

/// The read is of the moment of the attempt, after the claim.
#[tokio::test]
async fn a_record_is_read_as_it_is_at_the_attempt() {
    let world = World::new().await;
    let alice = world.device("alice");
    alice.create(NOTES, "n1", json!({ "title": "Erst", "updatedAt": now() - 1.hour() })).await.unwrap();
    let mission = with(due_mission(), json!({ "inputs": [note("n1")] }));
    alice.create_mission("m1", mission).await.unwrap();
    alice.edit(NOTES, "n1", json!({ "title": "Dann" }), now()).await.unwrap();
    world.tick().await;
    let asked = world.llm.requests()[0].body.to_string();
    assert!(asked.contains("Titel: Dann") && !asked.contains("Erst"), "{asked}");
}

/// The user renamed a note of a shared space. Its text is in the row of the member who wrote it, which nobody else may read.
#[tokio::test]
async fn a_part_of_somebody_elses_record_is_not_shown_as_the_whole() {
    let world = World::new().await;
    let bob = world.device("bob");
    bob.create(NOTES, "shared", json!({ "title": "Plan", "content": "Viel" })).await.unwrap();
    world.device("alice").edit(NOTES, "shared", json!({ "title": "Unser Plan" }), now()).await.unwrap();
    let of_alice = linked(&world, "alice", &[note("shared")]).await;
    assert_eq!(states(&of_alice), [State::Missing]);
}
