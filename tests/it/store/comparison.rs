//! The schedule is compared with the whole log, a slice at a time.

use std::sync::Arc;
use std::time::Duration;

use jiff::ToSpan;
use mana_ai::demo::llm::Behaviour;
use mana_ai::ops::status::status;
use mana_ai::store::schedule::compare::{Stage, compare};
use mana_ai::store::{Store, access};
use sqlx::Executor as _;

use crate::support::{World, compared, due_mission, mission, now, refreshed, soon};

/// Missions that are older than the overlap, all of one user, three rows each.
async fn old_missions(world: &World, missions: i32) {
    let insert =
        "INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, client_id, created_at)
        SELECT 'ai', 'aiMissions', 'm' || m, 'u', CASE r WHEN 0 THEN 'insert' ELSE 'update' END,
            CASE r WHEN 0 THEN $1::jsonb ELSE '{}' END, 'web', now() - interval '1 day' + r * interval '1 s'
        FROM generate_series(1, $2) AS m, generate_series(0, 2) AS r";
    let insert = sqlx::query(insert).bind(mission(now() + 1.hour())).bind(missions);
    insert.execute(&world.db.admin).await.unwrap();
}

/// One slice, by whoever holds the store.
async fn one_slice(store: &Store) -> (u64, Stage) {
    let compared = compare(store, false, Duration::ZERO).await.unwrap();
    (compared.found.rows, compared.stage)
}

/// Another process goes on where the first one stopped, and an operator sees how far it is. No mission is read twice.
#[tokio::test]
async fn a_comparison_survives_the_process_that_began_it() {
    let world = World::new().await;
    old_missions(&world, 3000).await;
    let (first, stage) = one_slice(&world.store).await;
    assert_eq!((first, stage), (2001, Stage::UnderWay), "whole missions, all of one user");
    let seen = status(&world.store).await.unwrap();
    assert_eq!((seen.comparing_since.is_some(), seen.compared_rows, seen.compared_at), (true, 2001, None));

    let other = Store::new(&world.db.url, 2).unwrap();
    let mut rows = first;
    let stage = loop {
        let (read, stage) = one_slice(&other).await;
        rows += read;
        if stage != Stage::UnderWay {
            break stage;
        }
    };
    assert_eq!((rows, stage), (9000, Stage::Ended));
    assert_eq!(world.db.count("SELECT count(*) FROM mana_ai.mission_schedule").await, 3000);
    let seen = status(&world.store).await.unwrap();
    assert_eq!((seen.comparing_since, seen.compared_rows, seen.compared_at.is_some()), (None, 0, true));
    assert_eq!(one_slice(&other).await, (0, Stage::Resting), "the next one is due in an hour");
    let hour_ago = "UPDATE mana_ai.refresh_cursor SET reconciled_at = reconciled_at - interval '1 hour'";
    world.db.admin.execute(hour_ago).await.unwrap();
    assert_eq!(one_slice(&other).await, (2001, Stage::UnderWay));
}

/// Two replicas at once: a slice is compared by one of them.
#[tokio::test]
async fn replicas_share_a_comparison() {
    let world = World::new().await;
    old_missions(&world, 3000).await;
    let other = Store::new(&world.db.url, 2).unwrap();
    let all = async |store: &Store| {
        let mut rows = 0;
        loop {
            let (read, stage) = one_slice(store).await;
            rows += read;
            if matches!(stage, Stage::Ended | Stage::Resting) {
                return rows;
            }
        }
    };
    let (ours, theirs) = soon(async { tokio::join!(all(&world.store), all(&other)) }).await;
    assert_eq!(ours + theirs, 9000);
    assert_eq!(world.db.count("SELECT count(*) FROM mana_ai.mission_schedule").await, 3000);
}

/// What the log no longer has goes, wherever its id lies; a lease that runs keeps its row.
#[tokio::test]
async fn missions_that_are_gone_are_dropped() {
    let world = World::new().await;
    old_missions(&world, 1500).await;
    assert_eq!(compared(&world.store).await, 1500);
    let gone = "INSERT INTO mana_ai.mission_schedule (user_id, mission_id, next_run_at, change_count, lease_token, lease_until)
        SELECT u, m, now(), 1, CASE m WHEN 'held' THEN gen_random_uuid() END, CASE m WHEN 'held' THEN now() + interval '1 min' END
        FROM unnest(ARRAY['', 'a', 'm1', 'm5x', 'zzz', 'held']) AS m, unnest(ARRAY['v']) AS u;
        INSERT INTO mana_ai.mission_healing (user_id, mission_id, change_count) VALUES ('v', 'a', 1), ('u', 'm7', 3), ('v', 'zzz', 1)";
    world.db.admin.execute(gone).await.unwrap();
    assert_eq!(compared(&world.store).await, 5, "as many ids, and m1 of another user");
    let held = "SELECT count(*) FROM mana_ai.mission_schedule WHERE user_id = 'v'";
    assert_eq!(world.db.count(held).await, 1);
    assert_eq!(world.db.count("SELECT count(*) FROM mana_ai.mission_healing").await, 1);
    assert_eq!(world.db.count("SELECT count(*) FROM mana_ai.mission_schedule").await, 1501);
}

/// Somebody empties the schedule between two slices: the comparison begins anew.
#[tokio::test]
async fn a_schedule_emptied_between_two_slices_is_built_anew() {
    let world = World::new().await;
    old_missions(&world, 3000).await;
    assert_eq!(one_slice(&world.store).await, (2001, Stage::UnderWay));
    world.db.admin.execute("TRUNCATE mana_ai.mission_schedule").await.unwrap();
    refreshed(&world.store).await;
    let again = compare(&world.store, false, crate::support::SOON).await.unwrap();
    assert_eq!((again.found.changed, again.stage), (3000, Stage::Ended));
}

/// A mission whose rows make the statement fail is passed over and reported; the others are compared.
#[tokio::test]
async fn a_mission_that_cannot_be_read_stops_no_comparison() {
    let world = World::new().await;
    old_missions(&world, 100).await;
    let broken = "ALTER VIEW mana_ai.mission_fields RENAME TO whole;
        CREATE VIEW mana_ai.mission_fields AS SELECT id, user_id, record_id, op, created_at,
            schema_version / CASE record_id WHEN 'm50' THEN 0 ELSE 1 END AS schema_version, field_values, field_times
        FROM mana_ai.whole;
        COMMENT ON VIEW mana_ai.mission_fields IS 'mana-ai access 1';
        ALTER VIEW mana_ai.mission_fields OWNER TO mana_ai_reader;
        GRANT SELECT ON mana_ai.mission_fields TO mana_ai";
    world.db.admin.execute(broken).await.unwrap();
    let compared = compare(&world.store, true, crate::support::SOON).await.unwrap();
    assert_eq!((compared.found.changed, compared.stage), (99, Stage::Ended));
    let [(mission_id, reason)] = &compared.found.unreadable[..] else { panic!("{compared:?}") };
    assert_eq!(mission_id, "m50");
    assert!(reason.contains("22012"), "{reason}");
}

/// The first start on a long log: what is due is planned before the last mission was compared.
#[tokio::test]
async fn a_first_start_plans_while_it_compares() {
    let world = World::with(&[("TICK_INTERVAL_MS", "100")]).await;
    old_missions(&world, 8_000).await;
    world.device("alice").create_mission("due", due_mission()).await.unwrap();
    let older = "UPDATE sync_changes SET created_at = created_at - interval '1 day' WHERE record_id = 'due'";
    world.db.admin.execute(older).await.unwrap();
    world.llm.behave(Behaviour::Hold);
    let runner = Arc::clone(&world.runner);
    tokio::spawn(async move { runner.run_every(Duration::from_millis(100)).await });
    soon(world.llm.arrived(1)).await;
    let under_way = "SELECT count(*) FROM mana_ai.refresh_cursor WHERE comparison_began_at IS NOT NULL";
    assert_eq!(world.db.count(under_way).await, 1);
    world.llm.behave(Behaviour::Plan);
    world.db.until(under_way, |comparisons| comparisons == 0).await;
    world.stop.cancel();
    assert_eq!(world.db.count("SELECT count(*) FROM mana_ai.mission_schedule").await, 8_001);
}

/// A tick on request ends once the whole log is compared, whatever its share of the interval is.
#[tokio::test]
async fn a_tick_on_request_compares_the_whole_log() {
    let world = World::with(&[("TICK_INTERVAL_MS", "100")]).await;
    old_missions(&world, 5000).await;
    access::verify(&world.store).await.unwrap();
    let stats = world.tick().await;
    assert_eq!(stats.errors, Vec::<String>::new());
    assert_eq!(world.db.count("SELECT count(*) FROM mana_ai.mission_schedule").await, 5000);
    let ended = "SELECT count(*) FROM mana_ai.refresh_cursor WHERE comparison_began_at IS NULL AND isfinite(reconciled_at)";
    assert_eq!(world.db.count(ended).await, 1);
}
