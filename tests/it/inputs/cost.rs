//! What linked records cost: bytes that are sent, statements, and memory that other attempts need.

use std::time::Duration;

use mana_ai::inputs::linked::State;
use mana_ai::inputs::links::Links;
use mana_ai::store::limits::ROOM;
use mana_ai::store::log::linked::read_linked;
use mana_ai::store::{StoreError, UserTx};
use serde_json::json;
use sqlx::Executor as _;

use crate::inputs::{NOTES, linked, note, states};
use crate::support::{World, due_mission, now, soon, with};

/// `updates` edits of each of ten notes, the last one with 200 kB of text, and one insert per note before them.
async fn notes_of_many_rows(world: &World, updates: i32) {
    for id in 0..10 {
        let device = world.device("alice");
        let data = json!({ "title": "Alt", "content": "alt", "updatedAt": "2026-01-01T00:00:00.000Z" });
        device.create(NOTES, &format!("n{id}"), data).await.unwrap();
    }
    let sql = "INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id)
        SELECT 'notes', 'notes', 'n' || note, 'alice', 'update', jsonb_build_object('content', n || repeat(' Wort', CASE n WHEN $1 THEN 40000 ELSE 200 END)),
            jsonb_build_object('content', clock, 'updatedAt', clock), 'web'
        FROM generate_series(0, 9) AS note, generate_series(1, $1) AS n,
            LATERAL (SELECT to_char(timestamp '2026-02-01' + n * interval '1 second', 'YYYY-MM-DD\"T\"HH24:MI:SS.000Z') AS clock) AS at";
    sqlx::query(sql).bind(updates).execute(&world.db.admin).await.unwrap();
}

/// Only the winner of each field is opened, and of that only what can be shown.
#[tokio::test]
async fn thousands_of_rows_of_long_notes_are_read_by_their_clocks() {
    let world = World::new().await;
    notes_of_many_rows(&world, 1_900).await;
    let links: Vec<_> = (0..10).map(|id| note(&format!("n{id}"))).collect();
    let began = std::time::Instant::now();
    let linked = soon(linked(&world, "alice", &links)).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(states(&linked), [State::Cut; 10]);
    assert!(linked.records.iter().all(|record| record.text.starts_with("Titel: Alt\n1900 Wort")));
}

/// A record with more rows than are read does not keep out the others.
#[tokio::test]
async fn a_record_of_rows_without_end_keeps_out_itself_alone() {
    let world = World::new().await;
    notes_of_many_rows(&world, 1).await;
    let rows = "INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id)
        SELECT 'notes', 'notes', 'n3', 'alice', 'update', '{\"title\": \"x\"}', '{\"title\": \"2026-03-01T00:00:00.000Z\"}', 'web'
        FROM generate_series(1, 20000)";
    world.db.admin.execute(rows).await.unwrap();
    let linked = linked(&world, "alice", &[note("n3"), note("n4")]).await;
    assert_eq!(states(&linked), [State::TooLarge, State::Cut]);
}

/// Linked records take room beside their mission. A mission that has nearly all of it is planned without them.
#[tokio::test]
async fn linked_records_take_the_room_of_their_mission() {
    let world = World::new().await;
    let alice = world.device("alice");
    alice.create(NOTES, "n1", json!({ "content": "Wort ".repeat(2_000) })).await.unwrap();
    let small = with(due_mission(), json!({ "inputs": [note("n1")] }));
    // Each number of the list counts as 92 bytes, see `src/store/log/held.rs`.
    let large = with(small.clone(), json!({ "filler": vec![0; (ROOM - 14_000) / 92] }));
    alice.create_mission("large", large).await.unwrap();
    assert_eq!(soon(world.tick()).await.plans_written_back, 1);
    let asked = world.llm.requests()[0].body.to_string();
    assert!(asked.contains("Verknüpft 1, Notiz: ist zu groß"), "{}", &asked[asked.len() - 3_000..]);
    for at in 0..6 {
        alice.create_mission(&format!("small{at}"), small.clone()).await.unwrap();
    }
    assert_eq!(soon(world.tick()).await.plans_written_back, 6);
    assert!(world.llm.requests()[1..].iter().all(|call| call.body.to_string().contains("Wort Wort")));
}

/// The mission finds room, its linked note does not: the attempt gives all back, waits, and reads both anew.
#[tokio::test]
async fn linked_records_wait_for_room_with_nothing_held() {
    let world = World::new().await;
    let alice = world.device("alice");
    alice.create(NOTES, "n1", json!({ "content": "Wort ".repeat(2_000) })).await.unwrap();
    alice.create_mission("m1", with(due_mission(), json!({ "inputs": [note("n1")] }))).await.unwrap();
    let other = UserTx::begin(&world.store, "bob").await.unwrap();
    let mut room = other.room();
    room.grow(ROOM - 12 * 1024).unwrap();
    let mut tx = UserTx::begin(&world.store, "alice").await.unwrap();
    let links = Links::of(&[serde_json::from_value(note("n1")).unwrap()]);
    let mut none = tx.room();
    let refused = read_linked(&mut tx, &links, &mut none).await.unwrap_err();
    assert!(matches!(refused, StoreError::NoRoom(bytes) if bytes > 12 * 1024), "{refused}");
    tx.rollback().await.unwrap();
    drop(none);
    let ticking = world.tick_in_background();
    let claimed = "SELECT count(*) FROM mana_ai.mission_schedule WHERE lease_token IS NOT NULL";
    soon(world.db.until(claimed, |missions| missions == 1)).await;
    alice.edit(NOTES, "n1", json!({ "title": "Erst danach" }), now()).await.unwrap();
    assert!(world.llm.requests().is_empty());
    let idle = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'mana-ai' AND datname = current_database()
        AND state LIKE 'idle in transaction%'";
    soon(world.db.until(idle, |sessions| sessions == 1)).await;
    drop(room);
    assert_eq!(soon(ticking).await.unwrap().plans_written_back, 1);
    let asked = world.llm.requests()[0].body.to_string();
    assert!(asked.contains("Titel: Erst danach") && asked.contains("Wort Wort"), "{asked}");
}
