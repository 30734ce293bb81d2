//! The schedule follows the log, whatever arrives late, twice or out of order.

use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, ToSpan};
use mana_ai::demo::database::SYNC_CHANGES;
use mana_ai::demo::llm::Behaviour;
use mana_ai::domain::run::{RunEnd, RunOutcome, Usage};
use mana_ai::domain::time::iso;
use mana_ai::store::access;
use mana_ai::store::pause::{pause, resume};
use mana_ai::store::schedule::claim::renew;
use mana_ai::store::schedule::claimed::ClaimedMission;
use mana_ai::store::schedule::compare::{Stage, compare};
use mana_ai::store::schedule::queries::counts;
use mana_ai::store::schedule::transition::{Transition, give_back};
use serde_json::json;
use sqlx::{Executor, Row};

use crate::support::{
    SOON, TERMS, World, claim_due, compared, due_mission, mission, now, refreshed, soon, with,
};

async fn slots(world: &World) -> Vec<(String, Option<String>)> {
    let rows = sqlx::query(
        "SELECT mission_id, to_char(next_run_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')
         FROM mana_ai.mission_schedule ORDER BY mission_id",
    );
    rows.fetch_all(&world.db.admin).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn a_refresh_folds_what_is_new() {
    let world = World::new().await;
    let device = world.device("alice");
    let at = now() + 1.hour();
    device.create_mission("m1", mission(at)).await.unwrap();
    device.create_mission("m2", with(mission(at), json!({ "state": "paused" }))).await.unwrap();
    assert_eq!(refreshed(&world.store).await, 1);
    assert_eq!(slots(&world).await, [("m1".into(), Some(iso(at)))]);
    assert_eq!(refreshed(&world.store).await, 0, "the overlap folds the same rows to the same end");

    device.edit_mission("m2", json!({ "state": "active" }), now()).await.unwrap();
    device.edit_mission("m1", json!({ "state": "archived" }), now()).await.unwrap();
    assert_eq!(refreshed(&world.store).await, 2);
    assert_eq!(slots(&world).await, [("m2".into(), Some(iso(at)))]);
}

/// What the write-back leaves in the schedule is what a fold of the log finds there.
#[tokio::test]
async fn our_own_row_changes_nothing() {
    let world = World::new().await;
    let device = world.device("alice");
    device.create_mission("hourly", due_mission()).await.unwrap();
    device
        .create_mission(
            "daily",
            with(due_mission(), json!({ "cadence": { "kind": "daily", "atHour": 9, "atMinute": 0 } })),
        )
        .await
        .unwrap();
    assert_eq!(world.tick().await.plans_written_back, 2);
    assert_eq!(refreshed(&world.store).await, 0);
    assert_eq!(compared(&world.store).await, 0);
}

/// A transaction that began long ago commits now: its row carries the time of its beginning.
#[tokio::test]
async fn a_late_commit_is_seen() {
    let world = World::new().await;
    let device = world.device("alice");
    device.create_mission("m1", mission(now() + 1.hour())).await.unwrap();
    let mut late = world.db.admin.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id)
         VALUES ('ai', 'aiMissions', 'm1', 'alice', 'update', $1, $2, 'late')",
    )
    .bind(json!({ "nextRunAt": due_mission()["nextRunAt"] }))
    .bind(json!({ "nextRunAt": iso(now()) }))
    .execute(&mut *late)
    .await
    .unwrap();
    for _ in 0..2 {
        assert_eq!(world.tick().await.due_mission_count, 0, "not visible yet");
    }
    late.commit().await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 1);
}

/// A row that became visible after the overlap.
#[tokio::test]
async fn the_comparison_mends_what_was_missed() {
    let world = World::new().await;
    compared(&world.store).await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    sqlx::query("UPDATE sync_changes SET created_at = created_at - interval '1 hour'")
        .execute(&world.db.admin)
        .await
        .unwrap();
    assert_eq!(refreshed(&world.store).await, 0);
    assert_eq!(compared(&world.store).await, 1);
    sqlx::query("UPDATE mana_ai.mission_schedule SET next_run_at = 'epoch'")
        .execute(&world.db.admin)
        .await
        .unwrap();
    sqlx::query("INSERT INTO mana_ai.mission_schedule (user_id, mission_id, next_run_at, change_count) VALUES ('x', 'gone', 'epoch', 1)")
        .execute(&world.db.admin)
        .await
        .unwrap();
    assert_eq!(compared(&world.store).await, 2);
    assert_eq!(slots(&world).await.len(), 1);
}

#[tokio::test]
async fn an_emptied_schedule_is_built_anew() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", mission(now() + 1.hour())).await.unwrap();
    sqlx::query("UPDATE sync_changes SET created_at = created_at - interval '1 hour'")
        .execute(&world.db.admin)
        .await
        .unwrap();
    assert_eq!(compared(&world.store).await, 1);
    for emptied in ["TRUNCATE mana_ai.mission_schedule", "DELETE FROM mana_ai.mission_schedule"] {
        assert_eq!(compare(&world.store, false, SOON).await.unwrap().stage, Stage::Resting, "{emptied}");
        sqlx::query(emptied).execute(&world.db.admin).await.unwrap();
        let built = compare(&world.store, false, SOON).await.unwrap();
        assert_eq!((built.found.changed, built.stage), (1, Stage::Ended), "{emptied}");
    }
}

/// That the last mission loses its slot is known, not forgotten.
#[tokio::test]
async fn a_schedule_that_ran_empty_is_not_built_anew() {
    let world = World::new().await;
    let device = world.device("alice");
    device.create_mission("m1", mission(now() + 1.hour())).await.unwrap();
    compared(&world.store).await;
    device.edit_mission("m1", json!({ "state": "paused" }), now()).await.unwrap();
    assert_eq!(refreshed(&world.store).await, 1);
    assert_eq!(compare(&world.store, false, SOON).await.unwrap().stage, Stage::Resting);
}

/// A tick of the loop leaves what it has no time for to the next, which begins at once and sees what came
/// meanwhile.
#[tokio::test]
async fn a_long_tick_makes_way_for_what_is_new() {
    const INTERVAL: Duration = Duration::from_millis(500);
    let world = World::with(&[("TICK_CONCURRENCY", "1")]).await;
    for mission in 0..3 {
        world.device("greedy").create_mission(&format!("m{mission}"), due_mission()).await.unwrap();
    }
    world.llm.behave(Behaviour::Hold);
    let runner = Arc::clone(&world.runner);
    tokio::spawn(async move { runner.run_every(INTERVAL).await });
    soon(world.llm.arrived(1)).await;
    let older = with(mission(now() - 1.hour()), json!({ "title": "Bescheiden" }));
    world.device("modest").create_mission("one", older).await.unwrap();
    // The first call takes longer than the tick may claim.
    tokio::time::sleep(INTERVAL * 2).await;
    world.llm.behave(Behaviour::Plan);
    soon(world.llm.arrived(4)).await;
    world.stop.cancel();
    let second = world.llm.requests()[1].body.to_string();
    assert!(second.contains("Bescheiden"), "the new one comes before the rest of the old ones");
}

/// A pause that is set while a tick runs: what is in flight goes on, and the same tick claims nothing more.
#[tokio::test]
async fn a_pause_stops_the_next_claim_of_a_tick() {
    let world = World::with(&[("TICK_CONCURRENCY", "1")]).await;
    for user in ["alice", "bob"] {
        world.device(user).create_mission(user, due_mission()).await.unwrap();
    }
    world.llm.behave(Behaviour::Hold);
    let tick = world.tick_in_background();
    soon(world.llm.arrived(1)).await;
    pause(&world.store).await.unwrap();
    world.llm.behave(Behaviour::Plan);
    let stats = soon(tick).await.unwrap();
    assert_eq!((stats.due_mission_count, stats.plans_written_back), (1, 1), "{stats:?}");
    assert_eq!(world.llm.requests().len(), 1);
    assert_eq!(
        counts(&world.store).await.unwrap().due,
        1,
        "the other one is due, and waits for the pause to end"
    );
    resume(&world.store).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 1);
}

/// More rows than a slice, and rows that share a microsecond: their ids decide.
#[tokio::test]
async fn rows_of_one_microsecond_in_many_batches() {
    let world = World::new().await;
    let at: Timestamp = "2036-01-01T00:00:00Z".parse().unwrap();
    sqlx::query(
        "INSERT INTO sync_changes (id, app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id, created_at)
         SELECT lpad(to_hex(m * 10 + r), 32, '0')::uuid, 'ai', 'aiMissions', 'm' || m, 'u' || m % 7,
             CASE r WHEN 0 THEN 'insert' ELSE 'update' END,
             CASE r WHEN 0 THEN $1::jsonb ELSE jsonb_build_object('nextRunAt', to_char(timestamp '2036-01-01' + r * interval '1 day', 'YYYY-MM-DD\"T\"HH24:MI:SS.000\"Z\"')) END,
             CASE r WHEN 0 THEN '{}'::jsonb ELSE '{\"nextRunAt\": \"2026-04-14T10:00:00.000Z\"}' END,
             'web', timestamptz '2026-04-14 10:00:00.123456Z'
         FROM generate_series(1, 4500) AS m, generate_series(0, 3) AS r",
    )
    .bind(with(mission(at), json!({ "updatedAt": "2026-04-14T09:00:00.000Z" })))
    .execute(&world.db.admin)
    .await
    .unwrap();
    assert_eq!(compared(&world.store).await, 4500);
    let last = world
        .db
        .count("SELECT count(*) FROM mana_ai.mission_schedule WHERE next_run_at = '2036-01-04T00:00:00Z'");
    assert_eq!(last.await, 4500, "of equal times and timestamps the later row wins");
}

#[tokio::test]
async fn no_user_takes_all_the_places() {
    let world = World::new().await;
    for mission in 0..20 {
        world.device("greedy").create_mission(&format!("m{mission:02}"), due_mission()).await.unwrap();
    }
    world.device("modest").create_mission("m1", due_mission()).await.unwrap();
    refreshed(&world.store).await;
    let users = |claimed: Vec<ClaimedMission>| {
        let mut users: Vec<String> = claimed.into_iter().map(|claimed| claimed.user_id).collect();
        users.sort();
        users
    };
    let first = claim_due(&world.store, now() + 1.second()).await;
    assert_eq!(users(first), ["greedy", "greedy", "modest"]);
    let second = claim_due(&world.store, now() + 1.second()).await;
    assert!(second.is_empty(), "two are in flight already: {second:?}");
}

/// The row to wait for may have come between the claim and the release, folded by another replica.
#[tokio::test]
async fn a_row_that_comes_before_the_release_is_not_slept_over() {
    let world = World::new().await;
    let device = world.device("alice");
    device.create_mission("m1", due_mission()).await.unwrap();
    refreshed(&world.store).await;
    let claimed = claim_due(&world.store, now() + 1.second()).await.remove(0);
    device.edit_mission("m1", json!({ "title": "neu" }), now()).await.unwrap();
    refreshed(&world.store).await;
    let end = RunEnd::of(RunOutcome::Skipped, Some("waits".into()), &Usage::default());
    give_back(&world.store, &claimed, Transition::Parked, &end).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 1);
}

/// mana-sync's own index takes longer ids than ours would.
#[tokio::test]
async fn an_endless_id_stops_nobody() {
    let world = World::new().await;
    // Random, or it would be compressed into the index.
    let endless: String = (0..85)
        .map(|n| {
            format!("{:032x}", u128::from(n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_0C8D_1B2A_55E1))
        })
        .collect();
    world.device("alice").create_mission(&endless[..2660], due_mission()).await.unwrap();
    world.device("bob").create_mission("m1", due_mission()).await.unwrap();
    let stats = world.tick().await;
    assert_eq!((stats.plans_written_back, stats.errors.len()), (1, 0), "{stats:?}");
}

/// What is scheduled already is planned even if the schedule cannot be refreshed.
#[tokio::test]
async fn a_failed_refresh_stops_no_claim() {
    let world = World::new().await;
    // The first tick looks at the set-up, and would mend it.
    world.tick().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    refreshed(&world.store).await;
    sqlx::query("REVOKE SELECT ON mana_ai.mission_fields FROM mana_ai")
        .execute(&world.db.admin)
        .await
        .unwrap();
    let stats = world.tick().await;
    assert_eq!((stats.plans_written_back, stats.errors.len()), (1, 1), "{stats:?}");
    assert!(stats.errors[0].contains("permission denied for view mission_fields"), "{stats:?}");
}

/// No rows to be seen is a missing policy, not a deleted mission: it stays scheduled.
#[tokio::test]
async fn rows_out_of_sight_are_not_deleted_ones() {
    let world = World::new().await;
    world.device("alice").create_mission("later", mission(now() + 1.hour())).await.unwrap();
    world.tick().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    world.db.admin.execute("DROP POLICY sync_changes_user_isolation ON sync_changes").await.unwrap();
    let stats = world.tick().await;
    assert!(stats.errors[0].starts_with("1 mission(s) put off: its rows are not visible"), "{stats:?}");
    let told = access::verify(&world.store).await.unwrap_err().to_string();
    assert!(told.contains("own rows be read and written"), "{told}");
    world.db.admin.execute(SYNC_CHANGES).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 1);
}

/// Who stops renewing loses the mission, by the database's clock.
#[tokio::test]
async fn an_expired_lease_is_claimed_again() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    refreshed(&world.store).await;
    let due_at = now() + 1.second();
    let first = claim_due(&world.store, due_at).await.remove(0);
    assert!(claim_due(&world.store, due_at).await.is_empty());
    sqlx::query("UPDATE mana_ai.mission_schedule SET lease_until = now() - interval '1 second'")
        .execute(&world.db.admin)
        .await
        .unwrap();
    let second = claim_due(&world.store, due_at).await.remove(0);
    assert_ne!(first.lease_token, second.lease_token);
    assert!(!renew(&world.store, &first, TERMS.lease).await.unwrap());
    assert!(renew(&world.store, &second, TERMS.lease).await.unwrap());
}
