//! One bad row stops nothing but its own mission.

use jiff::ToSpan;
use mana_ai::ops::explain::{inspect, statuses};
use serde_json::{Value, json};

use crate::support::{World, due_mission, mission, now, with};

/// Straight into the table: no device writes these.
async fn insert(world: &World, user: &str, id: &str, data: Option<Value>, schema_version: i32) {
    sqlx::query(
        "INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, client_id, schema_version)
         VALUES ('ai', 'aiMissions', $1, $2, 'insert', $3, 'bad', $4)",
    )
    .bind(id)
    .bind(user)
    .bind(data)
    .bind(schema_version)
    .execute(&world.db.admin)
    .await
    .unwrap();
}

#[tokio::test]
async fn bad_rows_stop_nothing_else() {
    let world = World::new().await;
    let bad = |fields| Some(with(mission(now() - 2.hours()), fields));
    insert(&world, "alice", "data-null", None, 1).await;
    insert(&world, "alice", "data-json-null", Some(Value::Null), 1).await;
    insert(&world, "alice", "data-string", Some(json!("mission")), 1).await;
    insert(&world, "alice", "data-array", Some(json!([1, 2])), 1).await;
    insert(&world, "alice", "next-number", bad(json!({ "nextRunAt": 5 })), 1).await;
    insert(&world, "alice", "next-soon", bad(json!({ "nextRunAt": "soon" })), 1).await;
    insert(&world, "alice", "next-ancient", bad(json!({ "nextRunAt": "-009999-01-02T00:00:00.000Z" })), 1)
        .await;
    insert(&world, "alice", "iterations-object", bad(json!({ "iterations": {} })), 1).await;
    insert(&world, "alice", "cadence-unknown", bad(json!({ "cadence": { "kind": "hourly" } })), 1).await;
    insert(&world, "alice", "no-cadence", bad(json!({ "cadence": null })), 1).await;
    insert(&world, "alice", "version-2", bad(json!({})), 2).await;
    insert(&world, "alice", "state-number", bad(json!({ "state": 1 })), 1).await;
    insert(&world, "alice", "huge", bad(json!({ "conceptMarkdown": "x".repeat(5_000_000) })), 1).await;
    insert(&world, "", "no-user", bad(json!({})), 1).await;
    // Not a NUL, which jsonb refuses, but the six characters that stand for one.
    insert(&world, "alice", "nul-text", bad(json!({ "title": "a\\u0000b" })), 1).await;
    insert(
        &world,
        "alice",
        "cron-never",
        bad(json!({ "cadence": { "kind": "cron", "expression": "0 0 30 2 *" } })),
        1,
    )
    .await;
    insert(&world, "alice", "", bad(json!({ "inputs": "none", "title": 7, "objective": null })), 1).await;
    world.device("bob").create_mission("good", due_mission()).await.unwrap();

    let stats = world.tick().await;
    let planned: Vec<Value> = world.db.written().await.iter().map(|row| row["record_id"].clone()).collect();
    for expected in ["huge", "nul-text", "", "good"] {
        assert!(planned.contains(&json!(expected)), "{expected:?} is not among {planned:?}, {stats:?}");
    }
    assert_eq!((stats.plans_written_back, planned.len()), (4, 4), "{stats:?}");
    let named = |mission: &str, reason: &str| {
        let start = format!("mission {mission}: ");
        assert!(
            stats.errors.iter().any(|e| e.starts_with(&start) && e.contains(reason)),
            "{mission}: {stats:?}"
        );
    };
    named("next-number", "nextRunAt is a number, not a timestamp");
    named("next-soon", "nextRunAt is a string, not a timestamp");
    named("next-ancient", "nextRunAt is a string, not a timestamp");
    named("iterations-object", "iterations is an object, not an array");
    named("cadence-unknown", "cadence is none of");
    named("no-cadence", "cadence is none of");
    named("version-2", "schema_version 2");
    named("no-user", "the user id is empty");
    named("cron-never", "cadence never comes");
    assert_eq!(stats.errors.len(), 9, "{stats:?}");

    let quiet = world.tick().await;
    assert_eq!((quiet.due_mission_count, quiet.errors.len()), (0, 0), "said once: {quiet:?}");
}

/// Said once, then waits for a new row, and runs when that mends it.
#[tokio::test]
async fn a_mended_mission_runs() {
    let world = World::new().await;
    let device = world.device("alice");
    device.create_mission("next", with(due_mission(), json!({ "nextRunAt": "soon" }))).await.unwrap();
    device.create_mission("cadence", with(due_mission(), json!({ "cadence": 7 }))).await.unwrap();
    assert_eq!(world.tick().await.errors.len(), 2);
    let quiet = world.tick().await;
    assert_eq!((quiet.due_mission_count, quiet.errors.len()), (0, 0), "{quiet:?}");
    let (good, at) = (due_mission(), now());
    device.edit_mission("next", json!({ "nextRunAt": good["nextRunAt"] }), at).await.unwrap();
    device.edit_mission("cadence", json!({ "cadence": good["cadence"] }), at).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 2);
}

/// Fields that no timestamp came with never reached a device, so they do not count for us either.
#[tokio::test]
async fn fields_without_a_timestamp_do_not_exist() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", mission(now() + 1.hour())).await.unwrap();
    sqlx::query(
        "INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id)
         VALUES ('ai', 'aiMissions', 'm1', 'alice', 'update', $1, '{\"nextRunAt\": 5}', 'bad')",
    )
    .bind(json!({ "nextRunAt": due_mission()["nextRunAt"] }))
    .execute(&world.db.admin)
    .await
    .unwrap();
    assert_eq!(world.tick().await.due_mission_count, 0);
}

#[tokio::test]
async fn inspect_tells_why() {
    let world = World::new().await;
    let device = world.device("alice");
    for (id, fields) in [
        ("a-due", json!({})),
        ("b-paused", json!({ "state": "paused" })),
        ("c-later", json!({ "nextRunAt": "2036-01-01T00:00:00.000Z" })),
        ("d-soon", json!({ "nextRunAt": "soon" })),
        ("e-cadence", json!({ "cadence": {} })),
        ("f-off", json!({ "nextRunAt": null })),
    ] {
        device.create_mission(id, with(due_mission(), fields)).await.unwrap();
    }
    insert(&world, "alice", "g-version", Some(due_mission()), 2).await;
    world.device("bob").create_mission("theirs", due_mission()).await.unwrap();
    let all = statuses(&world.store, "alice", None).await.unwrap();
    let told: Vec<_> = all
        .iter()
        .map(|mission| (mission.mission_id.as_str(), mission.due, mission.reason.as_str()))
        .collect();
    let expected = [
        ("a-due", true, "due since "),
        ("b-paused", false, "state is paused"),
        ("c-later", false, "not before 2036-01-01T00:00:00Z"),
        ("d-soon", false, "cannot be planned: nextRunAt is a string"),
        ("e-cadence", false, "cannot be planned: cadence is none of"),
        ("f-off", false, "it has no nextRunAt"),
        ("g-version", false, "change "),
    ];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for (told, (id, due, reason)) in told.iter().zip(expected) {
        assert!(
            told.0 == id && told.1 == due && told.2.starts_with(reason),
            "{told:?} is not {id} {due} {reason}"
        );
    }
    let mut all = Vec::new();
    inspect(&world.store, "alice", None, |mission| all.push(mission)).await.unwrap();
    assert_eq!(all.len(), expected.len());
    let mut one = Vec::new();
    inspect(&world.store, "alice", Some("a-due"), |mission| one.push(mission)).await.unwrap();
    assert_eq!(one.len(), 1);
    assert_eq!(one[0].record.as_ref().unwrap()["title"].get(), "\"Garten\"");
}
