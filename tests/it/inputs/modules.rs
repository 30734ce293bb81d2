//! Each module, from rows as devices write them to the text that the model is told.

use jiff::{Timestamp, ToSpan};
use mana_ai::inputs::linked::State;
use mana_ai::inputs::modules::MODULES;
use serde_json::{Value, json};

use crate::inputs::{NOTES, link, linked, push};
use crate::support::{World, now};

/// Writes a record of a module, edits it, and reads what the model is told of it.
async fn told(module: &str, created: Value, edits: &[Value]) -> String {
    let world = World::new().await;
    let module = MODULES.iter().find(|known| known.name == module).unwrap();
    write(&world, (module.table.app, module.table.name), created, edits).await;
    shown(&world, module.name, module.table.name).await
}

async fn write(world: &World, place: (&str, &str), mut created: Value, edits: &[Value]) {
    let (device, began) = (world.device("alice"), now() - 1.hour());
    created["createdAt"] = json!(began);
    created["updatedAt"] = json!(began);
    device.create(place, "r1", created).await.unwrap();
    for (minute, edit) in (1..).zip(edits) {
        device.edit(place, "r1", edit.clone(), began + minute.minutes()).await.unwrap();
    }
}

async fn shown(world: &World, module: &str, table: &str) -> String {
    let mut linked = linked(world, "alice", &[link(module, table, "r1")]).await;
    let record = linked.records.remove(0);
    assert_eq!(record.state, State::Shown);
    assert!(!record.text.contains(['{', '}', '"']), "no JSON: {}", record.text);
    record.text
}

#[tokio::test]
async fn a_note() {
    let created = json!({ "title": "Einkauf", "content": "Brot\nMilch", "color": "gelb" });
    let edits = [json!({ "content": "Brot\n\n- Käse <3" }), json!({ "title": "Markt  am\nSamstag" })];
    assert_eq!(told("notes", created, &edits).await, "Titel: Markt am Samstag\nBrot\n\n- Käse <3");
}

#[tokio::test]
async fn a_kontext_document() {
    let created = json!({ "content": "Ich ziehe um." });
    assert_eq!(told("kontext", created, &[]).await, "Ich ziehe um.");
}

/// The target is an object: a device sends only what changed in it.
#[tokio::test]
async fn a_goal() {
    let created = json!({
        "title": "Wasser", "currentValue": 1, "metric": "Gläser", "status": "active",
        "target": { "value": 6, "period": "week", "comparison": "gte" },
    });
    let edits = [
        json!({ "target": { "value": 8, "period": "day", "comparison": "gte" } }),
        json!({ "currentValue": 3.0 }),
    ];
    let expected = "Titel: Wasser\nFortschritt 3 von 8 pro Tag\nGemessen an: Gläser\nStand: aktiv";
    assert_eq!(told("goals", created, &edits).await, expected);
    let most =
        json!({ "title": "Kaffee", "target": { "value": 2.5, "period": "month", "comparison": "lte" } });
    assert_eq!(told("goals", most, &[]).await, "Titel: Kaffee\nFortschritt 0 von höchstens 2.5 pro Monat");
}

/// Lists travel with every edit.
#[tokio::test]
async fn a_task() {
    let created = json!({
        "title": "Steuer", "description": "Belege suchen", "dueDate": "2026-07-31T21:30:00.000Z",
        "isCompleted": false, "priority": "high", "subtasks": [],
    });
    let subtasks =
        json!([{ "id": "s1", "title": "Ordner", "isCompleted": true }, { "id": "s2", "title": "Scan" }]);
    let edits = [json!({ "subtasks": subtasks }), json!({ "title": "Steuer 2025" })];
    let text = told("todo", created.clone(), &edits).await;
    let expected = "Titel: Steuer 2025\nStand: offen\nFällig: Fr 2026-07-31 23:30\nPriorität: hoch\nBelege suchen\n\
        Teilaufgaben:\n- [erledigt] Ordner\n- [offen] Scan";
    assert_eq!(text, expected);
    let done = json!({ "isCompleted": true, "dueDate": "2026-08-01", "priority": null, "description": "" });
    assert_eq!(told("todo", created, &[done]).await, "Titel: Steuer\nStand: erledigt\nFällig: Sa 2026-08-01");
}

/// Its times are in another table, in UTC; the user reads a clock in Berlin, where summer ends in between.
#[tokio::test]
async fn an_event() {
    let (world, blocks) = (World::new().await, ("timeblocks", "timeBlocks"));
    let event =
        json!({ "title": "Zahnarzt", "location": "Markt 3", "timeBlockId": "b1", "description": "Nüchtern" });
    write(&world, ("calendar", "events"), event, &[]).await;
    let device = world.device("alice");
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let block = json!({ "startDate": at("2026-10-20T08:00:00Z"), "endDate": at("2026-10-20T09:00:00Z"), "kind": "event",
        "createdAt": at("2026-04-01T00:00:00Z"), "updatedAt": at("2026-04-01T00:00:00Z") });
    device.create(blocks, "b1", block).await.unwrap();
    // Somebody else's, which has the same id.
    let theirs = json!({ "startDate": at("2020-01-01T00:00:00Z") });
    world.device("mallory").create(blocks, "b1", theirs).await.unwrap();
    let text = |times: &str| format!("Titel: Zahnarzt\nZeit: {times}\nOrt: Markt 3\nNüchtern");
    let shown = || shown(&world, "calendar", "events");
    assert_eq!(shown().await, text("Di 2026-10-20 10:00 bis 11:00"));
    let moved = json!({ "startDate": at("2026-10-27T08:00:00Z"), "endDate": at("2026-10-28T09:30:00Z") });
    device.edit(blocks, "b1", moved, at("2026-04-02T00:00:00Z")).await.unwrap();
    assert_eq!(shown().await, text("Di 2026-10-27 09:00 bis Mi 2026-10-28 10:30"));
    let deleted = json!({ "deletedAt": at("2026-04-03T00:00:00Z") });
    push(&device, blocks, "b1", "delete", deleted, json!({})).await;
    assert_eq!(shown().await, text("unbekannt"));
}

/// A copied event names the block of the first one.
#[tokio::test]
async fn two_events_of_one_time_block() {
    let (world, blocks) = (World::new().await, ("timeblocks", "timeBlocks"));
    let device = world.device("alice");
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    for id in ["e1", "e2"] {
        let event = json!({ "title": id, "timeBlockId": "b1" });
        device.create(("calendar", "events"), id, event).await.unwrap();
    }
    let times = |start: &str, end: &str| json!({ "startDate": at(start), "endDate": at(end) });
    device.create(blocks, "b1", times("2026-10-20T08:00:00Z", "2026-10-20T09:00:00Z")).await.unwrap();
    let moved = times("2026-10-21T08:00:00Z", "2026-10-21T09:00:00Z");
    device.edit(blocks, "b1", moved, at("2026-04-02T00:00:00Z")).await.unwrap();
    let links = ["e1", "e2"].map(|id| link("calendar", "events", id));
    let texts = linked(&world, "alice", &links).await.records.into_iter().map(|record| record.text);
    let expected = ["e1", "e2"].map(|id| format!("Titel: {id}\nZeit: Mi 2026-10-21 10:00 bis 11:00"));
    assert_eq!(texts.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_journal_entry() {
    let created = json!({ "title": "Dienstag", "content": "Regen.", "mood": "gut" });
    let text = told("journal", created, &[json!({ "content": "Regen,\ndann Sonne." })]).await;
    assert_eq!(text, "Titel: Dienstag\nRegen,\ndann Sonne.");
}

/// Objects of several levels, edited in parts, with a leaf that goes away.
#[tokio::test]
async fn the_profile() {
    let created = json!({
        "about": { "jobTitle": "Lehrerin", "city": "Köln" }, "interests": { "hobbies": ["Rad", "Chor"] },
        "routine": {}, "nutrition": { "diet": { "kind": "vegan", "strict": true } }, "leisure": null,
        "goals": { "short_term": "Gut schlafen" }, "social": { "children": 2 }, "freeform": "Mag \u{201e}Du\u{201c}.",
    });
    let edit = json!({ "about": { "jobTitle": "Rektorin" }, "nutrition": { "diet": { "kind": "alles", "strict": false } } });
    let expected = "Über mich:\n- job title: Rektorin\nInteressen:\n- hobbies: Rad, Chor\n\
        Ernährung:\n- diet: kind: alles; strict: nein\nZiele:\n- short term: Gut schlafen\nSoziales:\n- children: 2\n\
        Mag \u{201e}Du\u{201c}.";
    assert_eq!(told("profile", created, &[edit]).await, expected);
}

/// An edit that was made offline long ago arrives last, and loses.
#[tokio::test]
async fn the_newer_clock_wins() {
    let (world, began) = (World::new().await, now() - 2.hours());
    let device = world.device("alice");
    let data = json!({ "title": "Alt", "content": "Text", "updatedAt": began });
    device.create(NOTES, "r1", data).await.unwrap();
    device.edit(NOTES, "r1", json!({ "title": "Neu" }), began + 1.hour()).await.unwrap();
    let late = json!({ "title": "Zu spät", "content": "Mehr" });
    let clock = json!(began + 30.minutes());
    push(&device, NOTES, "r1", "update", late, json!({ "title": clock, "content": clock })).await;
    assert_eq!(shown(&world, "notes", "notes").await, "Titel: Neu\nMehr");
}
