//! A device that sends an old list hides what was written since. The service restores it with one row.

use jiff::ToSpan;
use mana_ai::demo::llm::Behaviour;
use mana_ai::domain::healing::MAX_IN_A_ROW;
use mana_ai::ops::explain::{MissionStatus, statuses};
use serde_json::{Value, json};

use crate::support::{World, due_mission, now, soon, with};

const HEALING_ROWS: &str =
    "SELECT count(*) FROM sync_changes WHERE client_id = 'mana-ai-runner' AND NOT data ? 'nextRunAt'";
const PLANS: &str =
    "SELECT count(*) FROM sync_changes WHERE client_id = 'mana-ai-runner' AND data ? 'nextRunAt'";
const QUEUED: &str = "SELECT count(*) FROM mana_ai.mission_healing WHERE checked_count < change_count";
const DEVICE_ROWS: &str = "SELECT count(*) FROM sync_changes WHERE client_id <> 'mana-ai-runner'";

async fn planned() -> (World, Value) {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 1);
    let plan = iterations(&world).await.remove(0);
    (world, plan)
}

async fn iterations(world: &World) -> Vec<Value> {
    let record = world.device("alice").pull("m1").await.unwrap().unwrap();
    serde_json::from_str(record.fields["iterations"].get()).unwrap()
}

/// An edit by a device that has this list.
async fn edit(world: &World, list: &Value, fields: Value) {
    let fields = with(fields, json!({ "iterations": list }));
    world.device("alice").edit_mission("m1", fields, now()).await.unwrap();
}

async fn inspected(world: &World) -> MissionStatus {
    statuses(&world.store, "alice", Some("m1")).await.unwrap().remove(0)
}

#[tokio::test]
async fn a_stale_title_edit_loses_no_plan() {
    let (world, plan) = planned().await;
    edit(&world, &json!([]), json!({ "title": "Balkon" })).await;
    assert!(iterations(&world).await.is_empty(), "the old list has the newer clock");
    let stats = world.tick().await;
    assert_eq!((stats.due_mission_count, stats.errors.len()), (0, 0), "{stats:?}");
    assert_eq!(iterations(&world).await, std::slice::from_ref(&plan));
    let row = world.db.written().await.pop().unwrap();
    assert_eq!(row["data"], json!({ "iterations": [plan] }), "no other field is touched");
    assert_eq!(row["field_timestamps"].as_object().unwrap().len(), 1);
    assert_eq!(row["actor"], json!({ "kind": "system", "source": "mission-runner" }));

    let told = serde_json::to_value(inspected(&world).await).unwrap();
    assert_eq!(told["healing"]["healingRows"], 1);
    assert_eq!(told["healing"]["iterations"], 1);
    assert_eq!(told["healing"]["problem"], Value::Null);
    let metrics = world.runner.exposition().unwrap();
    assert!(metrics.contains("mana_ai_healing_rows_total 1\n"), "{metrics}");
    assert!(metrics.contains("mana_ai_healed_total{what=\"iterations\"} 1\n"));
    for _ in 0..3 {
        world.tick().await;
    }
    assert_eq!(world.db.count(HEALING_ROWS).await, 1, "healed once");
}

#[tokio::test]
async fn feedback_that_was_written_before_our_plan_arrived_reaches_the_next_prompt() {
    let (world, plan) = planned().await;
    let read = with(plan.clone(), json!({ "overallStatus": "approved" }));
    edit(&world, &json!([read]), json!({ "nextRunAt": "2026-01-01T00:00:00.000Z" })).await;
    let told = with(read.clone(), json!({ "userFeedback": "Bitte nur Kräuter" }));
    let written_offline = now();
    assert_eq!(world.tick().await.plans_written_back, 1);
    // Pushed after our row, under a clock before it: last-writer-wins drops it on every device.
    let device = world.device("alice");
    device.edit_mission("m1", json!({ "iterations": [told] }), written_offline).await.unwrap();
    assert_eq!(iterations(&world).await[0]["userFeedback"], Value::Null);
    world.tick().await;
    let healed = iterations(&world).await;
    assert_eq!(healed.len(), 2);
    assert_eq!(healed[0]["userFeedback"], "Bitte nur Kräuter");

    // The second plan is read, and the mission is due again.
    let list = json!([healed[0], with(healed[1].clone(), json!({ "overallStatus": "approved" }))]);
    edit(&world, &list, json!({ "nextRunAt": "2026-01-02T00:00:00.000Z" })).await;
    world.tick().await;
    let prompt = world.llm.requests().last().unwrap().body.to_string();
    assert!(prompt.contains("Bitte nur Kräuter"));
}

#[tokio::test]
async fn a_due_mission_is_planned_with_what_its_record_has_lost() {
    let (world, plan) = planned().await;
    let told = with(plan, json!({ "userFeedback": "zu viel", "overallStatus": "rejected" }));
    edit(&world, &json!([told]), json!({})).await;
    // The next edit, due at once, comes from a device that knows nothing: the prompt has the feedback all the same.
    edit(&world, &json!([]), json!({ "nextRunAt": "2026-01-01T00:00:00.000Z" })).await;
    assert_eq!(world.tick().await.plans_written_back, 1);
    assert!(world.llm.requests().last().unwrap().body.to_string().contains("zu viel"));
    assert_eq!(iterations(&world).await.len(), 2);
    assert_eq!(world.db.count(HEALING_ROWS).await, 0, "its plan's row restores what a healing row would");
    assert_eq!(world.db.count(QUEUED).await, 0, "and it need not be looked at once more");
}

/// While no call may be made, a due mission gets no plan, and so no row that restores anything by the way.
#[tokio::test]
async fn a_due_mission_is_healed_while_the_circuit_is_open() {
    let (world, plan) = planned().await;
    world.llm.behave(Behaviour::Raw(401, vec![], b"{}".to_vec()));
    world.device("bob").create_mission("m2", due_mission()).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 0);
    edit(&world, &json!([]), json!({ "nextRunAt": "2026-01-01T00:00:00.000Z" })).await;
    world.tick().await;
    assert_eq!(iterations(&world).await, [plan]);
    assert_eq!(world.db.count(HEALING_ROWS).await, 1);
}

#[tokio::test]
async fn a_slot_that_a_tab_has_planned_gets_no_second_plan() {
    let (world, _) = planned().await;
    let by_the_tab = json!({ "id": "tab", "source": "browser", "startedAt": now().to_string(),
        "overallStatus": "awaiting-review", "plan": [] });
    let next = now() + 1.hour();
    edit(&world, &json!([by_the_tab]), json!({ "nextRunAt": next.to_string() })).await;
    world.tick().await;
    assert_eq!(iterations(&world).await, [by_the_tab]);
    assert_eq!(world.db.count(HEALING_ROWS).await, 0);
}

#[tokio::test]
async fn what_is_deleted_or_ended_is_left_alone() {
    for fields in [
        json!({ "deletedAt": now().to_string() }),
        json!({ "state": "done" }),
        json!({ "state": "archived" }),
    ] {
        let (world, _) = planned().await;
        edit(&world, &json!([]), fields.clone()).await;
        world.tick().await;
        assert_eq!(world.db.count(HEALING_ROWS).await, 0, "{fields}");
    }
    let (world, plan) = planned().await;
    edit(&world, &json!([]), json!({ "state": "paused" })).await;
    world.tick().await;
    assert_eq!(iterations(&world).await, [plan], "a paused mission may go on");
}

#[tokio::test]
async fn a_tab_that_does_not_read_ends_it() {
    let (world, plan) = planned().await;
    for _ in 0..8 {
        edit(&world, &json!([]), json!({ "title": "x" })).await;
        world.tick().await;
    }
    assert_eq!(world.db.count(HEALING_ROWS).await, i64::from(MAX_IN_A_ROW));
    let told = serde_json::to_value(inspected(&world).await).unwrap();
    assert!(
        told["healing"]["problem"].as_str().unwrap().contains("the next plan's row restores it"),
        "{told}"
    );
    // A device that has read it ends the count.
    edit(&world, &json!([plan]), json!({ "title": "y" })).await;
    world.tick().await;
    edit(&world, &json!([]), json!({ "title": "z" })).await;
    world.tick().await;
    assert_eq!(world.db.count(HEALING_ROWS).await, i64::from(MAX_IN_A_ROW) + 1);
    assert!(world.db.count(HEALING_ROWS).await <= world.db.count(DEVICE_ROWS).await);
}

#[tokio::test]
async fn an_hour_after_a_tab_that_does_not_read_it_is_tried_again() {
    let (world, plan) = planned().await;
    for _ in 0..5 {
        edit(&world, &json!([]), json!({ "title": "x" })).await;
        world.tick().await;
    }
    assert_eq!(world.db.count(HEALING_ROWS).await, i64::from(MAX_IN_A_ROW));
    let earlier = "UPDATE mana_ai.mission_healing SET healed_at = healed_at - interval '1 hour'";
    sqlx::query(earlier).execute(&world.db.admin).await.unwrap();
    // A device that has pulled: the record has no plan, so its list has none either.
    edit(&world, &json!([]), json!({ "title": "y" })).await;
    world.tick().await;
    assert_eq!(iterations(&world).await, [plan]);
    for _ in 0..5 {
        edit(&world, &json!([]), json!({ "title": "z" })).await;
        world.tick().await;
    }
    assert_eq!(world.db.count(HEALING_ROWS).await, 2 * i64::from(MAX_IN_A_ROW), "three more, not more");
}

#[tokio::test]
async fn an_unread_plan_is_replaced_once_it_is_old() {
    let (world, plan) = planned().await;
    edit(&world, &json!([plan]), json!({ "nextRunAt": "2026-01-01T00:00:00.000Z" })).await;
    assert_eq!(world.tick().await.plans_written_back, 0);
    assert!(inspected(&world).await.reason.contains("an unread plan waits for a device"));
    let old = with(plan.clone(), json!({ "startedAt": "2026-01-01T00:00:00.000Z" }));
    edit(&world, &json!([old]), json!({})).await;
    assert_eq!(world.tick().await.plans_written_back, 1);
    let list = iterations(&world).await;
    assert_eq!(list.len(), 1, "at most one unread plan");
    assert_ne!(list[0]["id"], plan["id"]);
    assert_eq!(world.db.count(HEALING_ROWS).await, 0, "what we superseded is not restored");
}

#[tokio::test]
async fn a_row_that_cannot_be_written_stops_no_other() {
    let world = World::new().await;
    for user in ["alice", "bob"] {
        world.device(user).create_mission("m1", due_mission()).await.unwrap();
    }
    assert_eq!(world.tick().await.plans_written_back, 2);
    sqlx::raw_sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.user_id = 'alice' AND NEW.client_id = 'mana-ai-runner' THEN RAISE 'no'; END IF; RETURN NEW; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON sync_changes FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    .execute(&world.db.admin)
    .await
    .unwrap();
    for user in ["alice", "bob"] {
        let stale = json!({ "title": "x", "iterations": [] });
        world.device(user).edit_mission("m1", stale, now()).await.unwrap();
    }
    world.tick().await;
    assert_eq!(world.db.count(HEALING_ROWS).await, 1, "bob's");
    let told = serde_json::to_value(inspected(&world).await).unwrap();
    assert!(told["healing"]["problem"].as_str().unwrap().contains("P0001"), "{told}");
}

/// A code that the server gives for itself, such as that of a full disk, but for one mission alone.
#[tokio::test]
async fn a_healing_row_that_the_server_refuses_breaks_off_no_tick() {
    let (world, _) = planned().await;
    sqlx::raw_sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             RAISE 'no' USING ERRCODE = '53100'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON sync_changes FOR EACH ROW
             WHEN (NEW.user_id = 'alice' AND NEW.client_id = 'mana-ai-runner') EXECUTE FUNCTION refuse()",
    )
    .execute(&world.db.admin)
    .await
    .unwrap();
    edit(&world, &json!([]), json!({})).await;
    world.device("bob").create_mission("m1", due_mission()).await.unwrap();
    let stats = world.tick().await;
    assert_eq!((stats.plans_written_back, stats.errors.len()), (1, 0), "{stats:?}");
}

#[tokio::test]
async fn healing_ends_no_wait_of_the_mission() {
    let (world, _) = planned().await;
    edit(&world, &json!([]), json!({ "nextRunAt": "2026-01-01T00:00:00.000Z" })).await;
    // The tick heals, then the plan that it restored is unread and fresh: the mission waits for a device.
    world.llm.behave(Behaviour::Hang);
    soon(world.tick()).await;
    world.tick().await;
    world.tick().await;
    let runs = "SELECT count(*) FROM mana_ai.mission_runs WHERE outcome = 'skipped'";
    assert_eq!(world.db.count(runs).await, 1, "claimed once after the device's row, not after ours");
    assert_eq!(world.db.count(PLANS).await, 1);
}

#[tokio::test]
async fn unread_plans_of_one_user_may_be_bounded() {
    let world = World::with(&[("MAX_UNREAD_PER_USER", "2")]).await;
    for (user, missions) in [("alice", ["m1", "m2", "m3"]), ("bob", ["m1", "m2", "m3"])] {
        for mission in missions {
            world.device(user).create_mission(mission, due_mission()).await.unwrap();
        }
    }
    assert_eq!(world.tick().await.plans_written_back, 4, "two of each user");
    let told = statuses(&world.store, "alice", Some("m3")).await.unwrap().remove(0);
    assert!(told.reason.contains("MAX_UNREAD_PER_USER is 2"), "{}", told.reason);
    let waiting =
        "SELECT count(*) FROM mana_ai.mission_schedule WHERE not_before > now() AND not_before < 'infinity'";
    assert_eq!(world.db.count(waiting).await, 2);
}
