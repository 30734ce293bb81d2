//! What holds after every fault.

use std::collections::HashMap;

use jiff::ToSpan as _;
use mana_ai::demo::device::Device;
use mana_ai::domain::time::iso;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor as _};
use uuid::Uuid;

use super::records::Missing;
use crate::support::{TestDb, World, due_mission, now};

/// The rows that are not ours, as they were at a moment.
pub struct UsersRows(HashMap<Uuid, String>);

impl UsersRows {
    pub async fn of(db: &TestDb) -> Self {
        let rows = "SELECT id, md5(c::text) FROM sync_changes c WHERE client_id <> 'mana-ai-runner'";
        Self(sqlx::query_as(rows).fetch_all(&db.admin).await.unwrap().into_iter().collect())
    }

    /// Devices may have added some since.
    fn lost_or_changed(&self, now: &Self) -> usize {
        self.0.iter().filter(|(id, digest)| now.0.get(id) != Some(digest)).count()
    }
}

/// Each with the count of its violations. A row of ours without `nextRunAt` is a healing row and brings no plan.
const INVARIANTS: [(&str, &str); 5] = [
    (
        // Its id derives from mission and slot, and ours is the last one in our row.
        "slots with more than one row",
        "SELECT count(*) - count(DISTINCT data -> 'iterations' -> -1 ->> 'id') FROM sync_changes
         WHERE client_id = 'mana-ai-runner' AND data ? 'nextRunAt'",
    ),
    (
        "iterations that stand twice in a row",
        "SELECT count(*) FROM (SELECT FROM sync_changes c, jsonb_array_elements(data -> 'iterations') i
         WHERE client_id = 'mana-ai-runner' GROUP BY c.id, i ->> 'id' HAVING count(*) > 1) twice",
    ),
    (
        // Says the same as the first without trusting the derived id. Only rows with `nextRunAt` say when a slot begins.
        "rows before their slot",
        "SELECT count(*) FROM (
             SELECT created_at, client_id, lag(client_id) OVER log AS earlier, lag(data ->> 'nextRunAt') OVER log AS slot
             FROM sync_changes WHERE app_id = 'ai' AND table_name = 'aiMissions' AND data ? 'nextRunAt'
             WINDOW log AS (PARTITION BY user_id, record_id ORDER BY created_at, id)) rows
         WHERE client_id = 'mana-ai-runner' AND earlier = client_id
           AND coalesce(created_at < slot::timestamptz, true)",
    ),
    (
        "missions with more healing rows than rows of devices",
        "SELECT count(*) FROM (SELECT FROM sync_changes WHERE app_id = 'ai' AND table_name = 'aiMissions'
         GROUP BY user_id, record_id HAVING count(*) FILTER (WHERE client_id <> 'mana-ai-runner')
             < count(*) FILTER (WHERE client_id = 'mana-ai-runner' AND NOT data ? 'nextRunAt')) healed",
    ),
    (
        "healing rows with more than iterations",
        "SELECT count(*) FROM sync_changes WHERE client_id = 'mana-ai-runner' AND NOT data ? 'nextRunAt'
         AND (data - 'iterations' <> '{}' OR field_timestamps - 'iterations' <> '{}')",
    ),
];

/// What is broken, in words.
pub async fn violations(db: &TestDb, before: &UsersRows) -> Vec<String> {
    let mut found = Vec::new();
    for (what, sql) in INVARIANTS {
        let count = db.count(sql).await;
        found.extend((count > 0).then(|| format!("{count} {what}")));
    }
    let changed = before.lost_or_changed(&UsersRows::of(db).await);
    found.extend((changed > 0).then(|| format!("{changed} rows of users lost or changed")));
    let Missing { plans, feedback } = Missing::of(db).await;
    found.extend((plans > 0).then(|| format!("{plans} plans of ours lost")));
    found.extend((feedback > 0).then(|| format!("{feedback} texts of feedback lost")));
    found
}

/// At most one plan's row per slot, none early, no iteration twice, a healing row at most for each row of a device; the
/// users' rows as they were, every plan and every feedback in its mission's record.
pub async fn check_invariants(world: &World, before: &UsersRows) {
    assert_eq!(violations(&world.db, before).await, Vec::<String>::new());
}

/// At most one call per attempt, and one more for each answer that had to be repaired. The tiny look whether a
/// configuration is mended, of one message, is nobody's attempt.
pub async fn check_calls(world: &World) {
    let mut requests = world.llm.requests();
    requests.retain(|request| request.body["messages"].as_array().is_none_or(|all| all.len() > 1));
    let is_repair = |messages: &serde_json::Value| messages.as_array().is_some_and(|all| all.len() > 2);
    let repairs = requests.iter().filter(|request| is_repair(&request.body["messages"])).count();
    let attempts = world.db.count("SELECT count(*) FROM mana_ai.mission_runs").await;
    let first = i64::try_from(requests.len() - repairs).unwrap();
    assert!(first <= attempts, "{first} calls and {repairs} repairs of {attempts} attempts");
    assert!(repairs <= requests.len() - repairs, "one repair per attempt");
}

/// How many sessions the service has open.
pub async fn connections(db: &TestDb) -> i64 {
    db.count(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'mana-ai'",
    )
    .await
}

/// Breaks one after the other.
#[tokio::test]
async fn each_invariant_can_be_seen_broken() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    let before = UsersRows::of(&world.db).await;
    world.tick().await;
    assert!(connections(&world.db).await > 0);
    world.device("alice").create_mission("m2", due_mission()).await.unwrap();
    check_invariants(&world, &before).await;
    let sabotage = [
        "UPDATE sync_changes SET data = data || '{\"title\": \"x\"}' WHERE record_id = 'm1' AND client_id = 'web-1'",
        "UPDATE sync_changes SET data = jsonb_set(data, '{iterations}', data -> 'iterations' || (data -> 'iterations'))
         WHERE client_id = 'mana-ai-runner'",
        "INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, client_id, data)
         SELECT app_id, table_name, record_id, user_id, op, client_id,
             data || '{\"iterations\": [{\"id\": \"another\"}]}' FROM sync_changes WHERE client_id = 'mana-ai-runner'",
        "UPDATE sync_changes SET data = data || '{\"iterations\": [{\"id\": \"same\"}]}' WHERE client_id = 'mana-ai-runner'",
    ];
    let expected: [&[&str]; 4] = [
        &["1 rows of users lost or changed"],
        &["1 iterations that stand twice in a row", "1 rows of users lost or changed"],
        &[
            "1 iterations that stand twice in a row",
            "1 rows before their slot",
            "1 rows of users lost or changed",
            // Devices do not take a row without timestamps.
            "1 plans of ours lost",
        ],
        &["1 slots with more than one row", "1 rows before their slot", "1 rows of users lost or changed"],
    ];
    for (sabotage, expected) in sabotage.into_iter().zip(expected) {
        world.db.admin.execute(sabotage).await.unwrap();
        assert_eq!(violations(&world.db, &before).await, expected, "{sabotage}");
    }
}

/// A device with an old list hides what the next tick restores: until then the checks see it.
#[tokio::test]
async fn each_invariant_on_healing_can_be_seen_broken() {
    let world = World::new().await;
    let (tab, phone) = (world.device("alice"), world.device("alice").second());
    tab.create_mission("m1", due_mission()).await.unwrap();
    world.tick().await;
    let before = UsersRows::of(&world.db).await;
    let mut plans = iterations(&phone).await;
    plans[0]["userFeedback"] = json!("Bitte nur Kräuter");
    phone.edit_mission("m1", json!({ "iterations": plans }), now()).await.unwrap();
    check_invariants(&world, &before).await;
    tab.clone().stale().edit_mission("m1", json!({ "title": "Balkon" }), now()).await.unwrap();
    let hidden = ["1 plans of ours lost", "1 texts of feedback lost"];
    assert_eq!(violations(&world.db, &before).await, hidden);
    world.tick().await;
    check_invariants(&world, &before).await;

    let healing_row = "client_id = 'mana-ai-runner' AND NOT data ? 'nextRunAt'";
    let sabotage = [
        (
            format!("UPDATE sync_changes SET data = data || '{{\"title\": \"x\"}}' WHERE {healing_row}"),
            "1 healing rows with more than iterations",
        ),
        (
            format!(
                "INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, client_id, data)
                 SELECT app_id, table_name, record_id, user_id, op, client_id, data - 'title'
                 FROM sync_changes, generate_series(1, 3) WHERE {healing_row}"
            ),
            "1 missions with more healing rows than rows of devices",
        ),
    ];
    for (sabotage, expected) in sabotage {
        world.db.admin.execute(AssertSqlSafe(sabotage)).await.unwrap();
        let found = violations(&world.db, &before).await;
        assert!(found.iter().any(|violation| violation == expected), "{found:?}");
    }
}

/// What nobody has read gives way to a newer plan, to a tab's plan of the same slot, and to the end of its mission.
#[tokio::test]
async fn a_plan_that_gave_way_is_not_lost() {
    let world = World::new().await;
    let tab = world.device("alice");
    tab.create_mission("m1", due_mission()).await.unwrap();
    world.tick().await;
    let before = UsersRows::of(&world.db).await;
    // As if it were older than an unread plan may become.
    let mut old = iterations(&tab).await;
    old[0]["startedAt"] = json!("2026-01-01T00:00:00.000Z");
    let due = json!({ "iterations": old, "nextRunAt": iso(now() - 1.minute()) });
    tab.edit_mission("m1", due, now()).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 1);
    assert_eq!(iterations(&tab).await.len(), 1, "the second took the place of the first");
    check_invariants(&world, &before).await;

    let hidden = json!({ "iterations": [] });
    tab.edit_mission("m1", hidden.clone(), now()).await.unwrap();
    assert_eq!(violations(&world.db, &before).await, ["1 plans of ours lost"]);
    let by_the_tab = json!({ "id": "tab", "source": "browser", "startedAt": iso(now()), "plan": [] });
    tab.edit_mission("m1", json!({ "iterations": [by_the_tab] }), now()).await.unwrap();
    check_invariants(&world, &before).await;

    tab.create_mission("m2", due_mission()).await.unwrap();
    world.tick().await;
    tab.edit_mission("m2", hidden, now()).await.unwrap();
    assert_eq!(violations(&world.db, &before).await, ["1 plans of ours lost"]);
    tab.edit_mission("m2", json!({ "state": "archived" }), now()).await.unwrap();
    check_invariants(&world, &before).await;
}

async fn iterations(device: &Device) -> Vec<Value> {
    let record = device.pull("m1").await.unwrap().unwrap();
    serde_json::from_str(record.fields["iterations"].get()).unwrap()
}
