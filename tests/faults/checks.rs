//! What holds after every fault.

use std::collections::HashMap;

use sqlx::Executor as _;
use uuid::Uuid;

use crate::support::{TestDb, World, due_mission};

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

/// Each with the count of its violations.
const INVARIANTS: [(&str, &str); 3] = [
    (
        // Its id derives from mission and slot, and ours is the last one in our row.
        "slots with more than one row",
        "SELECT count(*) - count(DISTINCT data -> 'iterations' -> -1 ->> 'id') FROM sync_changes
         WHERE client_id = 'mana-ai-runner'",
    ),
    (
        "iterations that stand twice in a row",
        "SELECT count(*) FROM (SELECT FROM sync_changes c, jsonb_array_elements(data -> 'iterations') i
         WHERE client_id = 'mana-ai-runner' GROUP BY c.id, i ->> 'id' HAVING count(*) > 1) twice",
    ),
    (
        // Says the same as the first without trusting the derived id.
        "rows before their slot",
        "SELECT count(*) FROM (
             SELECT created_at, client_id, lag(client_id) OVER log AS earlier, lag(data ->> 'nextRunAt') OVER log AS slot
             FROM sync_changes WHERE app_id = 'ai' AND table_name = 'aiMissions'
             WINDOW log AS (PARTITION BY user_id, record_id ORDER BY created_at, id)) rows
         WHERE client_id = 'mana-ai-runner' AND earlier = client_id
           AND coalesce(created_at < slot::timestamptz, true)",
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
    found
}

/// At most one row per slot, none early, no iteration twice, and the users' rows as they were.
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
        ],
        &["1 slots with more than one row", "1 rows before their slot", "1 rows of users lost or changed"],
    ];
    for (sabotage, expected) in sabotage.into_iter().zip(expected) {
        world.db.admin.execute(sabotage).await.unwrap();
        assert_eq!(violations(&world.db, &before).await, expected, "{sabotage}");
    }
}
