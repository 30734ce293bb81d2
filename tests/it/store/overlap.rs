//! Each refresh asks again for the rows of the overlap, and folds the missions of those alone that it has not seen.

use jiff::ToSpan;
use mana_ai::store::schedule::refresh::{Refreshed, refresh};
use mana_ai::store::schedule::seen::Seen;
use serde_json::json;
use sqlx::Executor as _;

use crate::support::{OVERLAP, World, mission, now};

/// What a process that has seen so much reads and changes.
async fn follow(world: &World, seen: &mut Seen) -> (u64, u64) {
    let Refreshed { found, elsewhere } = refresh(&world.store, seen, OVERLAP).await.unwrap();
    assert!(!elsewhere);
    (found.rows, found.changed)
}

async fn three_missions(world: &World) {
    for id in ["m1", "m2", "m3"] {
        world.device("alice").create_mission(id, mission(now() + 1.hour())).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_seen_is_not_folded_again() {
    let (world, mut seen) = (World::new().await, Seen::default());
    three_missions(&world).await;
    assert_eq!(follow(&world, &mut seen).await, (3, 3));
    assert_eq!(follow(&world, &mut seen).await, (0, 0));
    world.device("alice").edit_mission("m2", json!({ "state": "paused" }), now()).await.unwrap();
    assert_eq!(follow(&world, &mut seen).await, (2, 1), "the rows of that mission alone");
    assert_eq!(follow(&world, &mut seen).await, (0, 0));
    assert_eq!(follow(&world, &mut Seen::default()).await, (4, 0), "after a restart, once");
}

/// A row that carries an older time than rows that were seen of the same mission, by each replica for itself.
#[tokio::test]
async fn a_late_row_behind_a_seen_one_is_new_to_every_replica() {
    let (world, mut first, mut second) = (World::new().await, Seen::default(), Seen::default());
    three_missions(&world).await;
    let mut late = world.db.admin.begin().await.unwrap();
    let paused = "INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id)
        VALUES ('ai', 'aiMissions', 'm1', 'alice', 'update', '{\"state\": \"paused\"}',
            '{\"state\": \"2096-01-01T00:00:00.000Z\"}', 'late')";
    late.execute(paused).await.unwrap();
    world.device("alice").edit_mission("m1", json!({ "title": "neu" }), now()).await.unwrap();
    assert_eq!(follow(&world, &mut first).await, (4, 3));
    assert_eq!(follow(&world, &mut second).await, (4, 0));
    late.commit().await.unwrap();
    assert_eq!(follow(&world, &mut first).await, (3, 1));
    assert_eq!(follow(&world, &mut second).await, (3, 0), "seen for itself, and changed already");
    assert_eq!(follow(&world, &mut first).await, (0, 0));
}

/// The digests of all that time would be one statement, which might never end.
#[tokio::test]
async fn after_a_long_pause_every_row_since_is_followed() {
    let (world, mut seen) = (World::new().await, Seen::default());
    follow(&world, &mut seen).await;
    three_missions(&world).await;
    let pause = "UPDATE mana_ai.refresh_cursor SET refreshed_at = now() - interval '1 day';
        UPDATE sync_changes SET created_at = now() - interval '20 hours' WHERE record_id = 'm1';
        UPDATE sync_changes SET created_at = now() - interval '1 hour' WHERE record_id = 'm2'";
    world.db.admin.execute(pause).await.unwrap();
    assert_eq!(follow(&world, &mut seen).await, (3, 3));
    assert_eq!(follow(&world, &mut seen).await, (0, 0), "the overlap is compared again, and was seen");
    world.device("alice").edit_mission("m1", json!({ "state": "paused" }), now()).await.unwrap();
    assert_eq!(follow(&world, &mut seen).await, (2, 1));
}

/// More rows than are kept: they are folded again where a row is added to their slice of time, and nothing is missed.
#[tokio::test]
async fn beyond_the_bound_rows_are_folded_again() {
    let (world, mut seen) = (World::new().await, Seen::bounded(2));
    three_missions(&world).await;
    assert_eq!(follow(&world, &mut seen).await, (3, 3));
    assert_eq!(follow(&world, &mut seen).await, (0, 0), "no slice has other rows than it had");
    let at_that_time = "INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id, created_at)
        SELECT 'ai', 'aiMissions', 'm1', 'alice', 'update', '{\"state\": \"paused\"}',
            '{\"state\": \"2096-01-01T00:00:00.000Z\"}', 'web', max(created_at) FROM sync_changes";
    world
        .db
        .admin
        .execute("UPDATE sync_changes SET created_at = (SELECT max(created_at) FROM sync_changes)")
        .await
        .unwrap();
    let mut seen = Seen::bounded(2);
    assert_eq!(follow(&world, &mut seen).await, (3, 0));
    world.db.admin.execute(at_that_time).await.unwrap();
    assert_eq!(follow(&world, &mut seen).await, (3, 1), "the new one, and the third, which is not kept");
    assert_eq!(follow(&world, &mut seen).await, (0, 0));
}

/// A row that becomes visible with the time of a slice that had no other row, and one with the time of a full one.
#[tokio::test]
async fn a_late_row_is_found_in_any_slice_of_the_overlap() {
    let (world, mut seen) = (World::new().await, Seen::default());
    three_missions(&world).await;
    assert_eq!(follow(&world, &mut seen).await, (3, 3));
    for (minutes, rows) in [(9, 2), (5, 3), (0, 4), (5, 5), (-3, 6)] {
        let late = "INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id, created_at)
            SELECT 'ai', 'aiMissions', 'm2', 'alice', 'update', '{}', '{}', 'late', max(created_at) - make_interval(mins => $1)
            FROM sync_changes WHERE op = 'insert'";
        sqlx::query(late).bind(minutes).execute(&world.db.admin).await.unwrap();
        assert_eq!(follow(&world, &mut seen).await, (rows, 1), "{minutes} minutes ago");
        assert_eq!(follow(&world, &mut seen).await, (0, 0), "{minutes} minutes ago");
    }
}

/// More rows than are asked for at once, some of them of one moment.
#[tokio::test]
async fn a_flood_is_followed_page_by_page() {
    let (world, mut seen) = (World::new().await, Seen::default());
    let flood = "INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, client_id, created_at)
        SELECT 'ai', 'aiMissions', 'm' || i % 1000, 'u', CASE WHEN i < 1000 THEN 'insert' ELSE 'update' END,
            CASE WHEN i < 1000 THEN $1::jsonb ELSE '{}' END, 'web', now() - interval '5 min' + (i / 7) * interval '1 ms'
        FROM generate_series(0, 59999) AS i";
    sqlx::query(flood).bind(mission(now() + 1.hour())).execute(&world.db.admin).await.unwrap();
    let (rows, changed) = follow(&world, &mut seen).await;
    assert!(rows >= 60_000, "{rows}");
    assert_eq!(changed, 1000);
    assert_eq!(follow(&world, &mut seen).await, (0, 0));
}
