//! What happens during the call is seen before the write. The model holds its answer meanwhile.

use jiff::{Timestamp, ToSpan};
use mana_ai::demo::device::SyncRow;
use mana_ai::demo::llm::Behaviour;
use mana_ai::domain::iteration::Actor;
use mana_ai::domain::time::iso;
use mana_ai::ops::explain::statuses;
use mana_ai::runner::stats::TickStats;
use serde_json::{Value, json};

use crate::support::{World, due_mission, now, soon, with};

/// Ticks, and does `meanwhile` while the model is thinking.
async fn tick_while(world: &World, meanwhile: impl Future<Output = ()>) -> TickStats {
    let asked = world.llm.requests().len();
    world.llm.behave(Behaviour::Hold);
    let tick = world.tick_in_background();
    soon(world.llm.arrived(asked + 1)).await;
    meanwhile.await;
    world.llm.behave(Behaviour::Plan);
    soon(tick).await.unwrap()
}

async fn world_with_due_mission() -> World {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    world
}

#[tokio::test]
async fn an_edit_during_the_call_survives() {
    let world = world_with_due_mission().await;
    let device = world.device("alice");
    let feedback = json!([{ "id": "from-browser", "plan": [], "overallStatus": "approved" }]);
    let edit = json!({ "title": "Balkon", "iterations": feedback });
    let stats = tick_while(&world, async { device.edit_mission("m1", edit, now()).await.unwrap() }).await;
    assert_eq!(stats.plans_written_back, 1, "{stats:?}");
    let record = device.pull("m1").await.unwrap().unwrap();
    assert_eq!(record.fields["title"].get(), "\"Balkon\"");
    let iterations: Vec<Value> = serde_json::from_str(record.fields["iterations"].get()).unwrap();
    assert_eq!(iterations.len(), 2, "ours is appended to what is there at the commit");
    assert_eq!(iterations[0]["id"], "from-browser");
}

#[tokio::test]
async fn a_mission_that_changed_during_the_call_gets_no_plan() {
    let running = json!([{ "id": "fg", "startedAt": iso(now()), "overallStatus": "running", "plan": [] }]);
    for (name, edit) in [
        ("paused", json!({ "state": "paused" })),
        ("soft-deleted", json!({ "deletedAt": iso(now()) })),
        ("moved", json!({ "nextRunAt": iso(now() + 1.hour()) })),
        ("no slot", json!({ "nextRunAt": null })),
        ("taken by a browser", json!({ "iterations": running })),
        ("unreadable", json!({ "iterations": "gone" })),
    ] {
        let world = world_with_due_mission().await;
        let device = world.device("alice");
        let stats = tick_while(&world, async { device.edit_mission("m1", edit, now()).await.unwrap() }).await;
        assert_eq!((stats.plans_produced, stats.plans_written_back), (1, 0), "{name}: {stats:?}");
        assert!(world.db.written().await.is_empty(), "{name}");
        let leases =
            world.db.count("SELECT count(*) FROM mana_ai.mission_schedule WHERE lease_token IS NOT NULL");
        assert_eq!(leases.await, 0, "{name}: the lease is given up");
    }
}

#[tokio::test]
async fn a_hard_delete_during_the_call_wins() {
    let world = world_with_due_mission().await;
    let device = world.device("alice");
    let gone = SyncRow {
        place: ("ai", "aiMissions"),
        record_id: "m1",
        op: "delete",
        data: json!({}),
        field_timestamps: json!({}),
        actor: Actor::User,
    };
    let stats = tick_while(&world, async { device.push(gone).await.unwrap() }).await;
    assert_eq!((stats.plans_produced, stats.plans_written_back), (1, 0), "{stats:?}");
    assert!(device.pull("m1").await.unwrap().is_none(), "it does not rise from the dead");
}

/// A device whose clock is years ahead wrote every field: our row must win there, or the mission would
/// be planned again every minute.
#[tokio::test]
async fn a_clock_ten_years_ahead_does_not_bury_our_row() {
    let world = World::new().await;
    let mut device = world.device("alice");
    let ahead: Timestamp = "2036-11-20T10:00:00.000Z".parse().unwrap();
    device.create_mission("m1", due_mission()).await.unwrap();
    let slot = due_mission()["nextRunAt"].clone();
    device.edit_mission("m1", json!({ "nextRunAt": slot, "iterations": [] }), ahead).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 1);
    let record = device.pull("m1").await.unwrap().unwrap();
    assert_eq!(record.clocks["iterations"], "2036-11-20T10:00:00.001Z");
    assert_eq!(device.stage("m1", now()).await.unwrap().len(), 2, "the device sees the plan");
    assert_eq!(world.tick().await.due_mission_count, 0, "and it is not planned twice");
}

/// No timestamp can pass this clock: said once, before a model is paid for it.
#[tokio::test]
async fn a_clock_that_nothing_passes_is_named() {
    let world = World::new().await;
    let data = with(due_mission(), json!({ "updatedAt": "zzz" }));
    world.device("alice").create_mission("m1", data).await.unwrap();
    let stats = world.tick().await;
    assert!(stats.errors[0].starts_with("mission m1: field_timestamps hold a clock"), "{stats:?}");
    assert_eq!(world.tick().await.due_mission_count, 0, "it waits for a new row");
    assert!(world.llm.requests().is_empty());
}

#[tokio::test]
async fn a_running_browser_is_left_alone_for_ten_minutes() {
    // The last: a tab whose clock is years ahead crashed, and must not block the mission for years.
    for (minutes, planned) in [(9, 0), (11, 1), (-5, 0), (-10 * 365 * 24 * 60, 1)] {
        let world = World::new().await;
        let running = json!([{ "id": "fg", "startedAt": iso(now() - minutes.minutes()), "overallStatus": "running", "plan": [] }]);
        let data = with(due_mission(), json!({ "iterations": running }));
        world.device("alice").create_mission("m1", data).await.unwrap();
        let stats = world.tick().await;
        assert_eq!((stats.plans_written_back, stats.errors.len()), (planned, 0), "{minutes}: {stats:?}");
    }
}

#[tokio::test]
async fn one_unread_plan_is_enough() {
    let world = World::new().await;
    let mut device = world.device("alice");
    device.create_mission("m1", due_mission()).await.unwrap();
    for round in 1..=2 {
        let planned = usize::from(round == 1);
        let stats = world.tick().await;
        assert_eq!((stats.plans_written_back, stats.errors.len()), (planned, 0), "round {round}: {stats:?}");
        device
            .edit_mission("m1", json!({ "nextRunAt": iso(now() - round.seconds()) }), now() + 1.second())
            .await
            .unwrap();
    }
    // The last edit ended the wait; this tick finds the same plan unread.
    assert_eq!(world.tick().await.plans_written_back, 0);
    let calls = world.llm.requests().len();
    let reason: Option<String> = sqlx::query_scalar("SELECT waits FROM mana_ai.mission_schedule")
        .fetch_one(&world.db.admin)
        .await
        .unwrap();
    let reason = reason.unwrap_or_default();
    assert!(
        reason.starts_with("an unread plan waits for a device; the next one takes its place after 20"),
        "{reason}"
    );
    assert_eq!(calls, 1);
    device.stage("m1", now() + 2.seconds()).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 1, "a device has read it");
}

/// Back at a slot that has its plan: said by the tick's schedule and by inspect, not planned again.
#[tokio::test]
async fn a_slot_is_planned_once_even_if_its_user_goes_back() {
    let world = world_with_due_mission().await;
    let device = world.device("alice");
    let slot = device.pull("m1").await.unwrap().unwrap().fields["nextRunAt"].clone();
    assert_eq!(world.tick().await.plans_written_back, 1);
    device.edit_mission("m1", json!({ "nextRunAt": slot }), now() + 1.second()).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 0);
    let told = &statuses(&world.store, "alice", None).await.unwrap()[0];
    assert_eq!(
        (told.due, told.reason.as_str()),
        (false, "this slot has its plan already; only another nextRunAt makes it due")
    );
    assert_eq!(world.llm.requests().len(), 1);
}

/// Two replicas without a common lease table would both get here; the derived id and the slot stop
/// the second even then.
#[tokio::test]
async fn a_truncated_schedule_makes_no_second_plan() {
    let world = world_with_due_mission().await;
    let other = world.replica(&[]);
    let stats = tick_while(&world, async {
        sqlx::query("TRUNCATE mana_ai.mission_schedule").execute(&world.db.admin).await.unwrap();
        world.llm.behave(Behaviour::Plan);
        soon(other.tick(true)).await;
    })
    .await;
    assert!(stats.plans_written_back <= 1, "{stats:?}");
    assert_eq!(world.db.written().await.len(), 1);
}

#[tokio::test]
async fn replicas_share_the_work() {
    let world = World::with(&[("USER_CONCURRENCY", "100")]).await;
    let device = world.device("alice");
    for mission in 0..40 {
        device.create_mission(&format!("m{mission}"), due_mission()).await.unwrap();
    }
    let replicas = [world.replica(&[]), world.replica(&[]), world.replica(&[])];
    let ticks = replicas.map(|replica| tokio::spawn(async move { replica.tick(true).await }));
    let mut written = 0;
    for tick in ticks {
        let stats = soon(tick).await.unwrap();
        assert!(stats.errors.is_empty(), "{stats:?}");
        written += stats.plans_written_back;
    }
    // The replica that found the refresh taken may have looked at an empty schedule and gone.
    written += world.tick().await.plans_written_back;
    assert_eq!((written, world.db.written().await.len(), world.llm.requests().len()), (40, 40, 40));
}
