//! What is kept of a mission while the model is called, and what a row costs that is unpacked once.

use mana_ai::store::log::kept::lock_and_fold;
use mana_ai::store::log::read::begin_and_fold;
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::support::{World, due_mission, now};

const CHANGED_IN_PLACE: &str = "UPDATE sync_changes SET data = data || '{\"title\": \"never\"}'";

/// The data of a row is changed in place, which no device does: so it shows whether the row was read again.
#[tokio::test]
async fn a_small_mission_is_not_read_again_before_it_has_a_new_row() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    let (tx, folded, _room) = begin_and_fold(&world.store, "alice", "m1", false).await.unwrap();
    tx.rollback().await.unwrap();
    let kept = folded.kept().unwrap();
    let title = folded.record.unwrap().unwrap().fields["title"].to_string();
    world.db.admin.execute(CHANGED_IN_PLACE).await.unwrap();
    let titled = async |kept| {
        let (tx, folded, _room) = lock_and_fold(&world.store, "alice", "m1", kept).await.unwrap();
        tx.rollback().await.unwrap();
        folded.record.unwrap().unwrap().fields["title"].to_string()
    };
    assert_eq!(titled(Some(kept.clone())).await, title);
    assert_eq!(titled(None).await, "\"never\"");
    world.device("alice").edit_mission("m1", json!({ "title": "Balkon" }), now()).await.unwrap();
    assert_eq!(titled(Some(kept)).await, "\"Balkon\"", "a new row is read");
}

#[tokio::test]
async fn a_large_mission_is_not_kept() {
    let world = World::new().await;
    let mut mission = due_mission();
    mission["conceptMarkdown"] = json!("x".repeat(100_000));
    world.device("alice").create_mission("m1", mission).await.unwrap();
    let (tx, folded, _room) = begin_and_fold(&world.store, "alice", "m1", false).await.unwrap();
    tx.rollback().await.unwrap();
    assert!(folded.record.is_ok() && folded.kept().is_none());
}

/// A row whose data lies in pieces beside it: all five fields cost what one costs.
#[tokio::test]
async fn the_schedules_fields_unpack_a_row_once() {
    let world = World::new().await;
    let large = "INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, client_id)
        SELECT 'ai', 'aiMissions', 'm1', 'alice', 'insert', jsonb_build_object('state', 'active', 'text',
            (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 40000) AS i)), 'web'";
    world.db.admin.execute(large).await.unwrap();
    let pages = async |sql: &'static str| {
        let mut tx = world.store.begin().await.unwrap();
        let plan: Value = sqlx::query_scalar(sql).fetch_one(&mut *tx).await.unwrap();
        plan[0]["Plan"]["Shared Hit Blocks"].as_i64().unwrap()
    };
    let none = pages("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT id FROM mana_ai.mission_fields").await;
    let all =
        pages("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT field_values FROM mana_ai.mission_fields")
            .await;
    let each =
        pages("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT field_values FROM mana_ai.mission_changes")
            .await;
    assert!(all - none > 100, "{none} {all}: the text is in pieces");
    assert!((all - none) * 3 < each - none, "{none} {all} {each}");
}
