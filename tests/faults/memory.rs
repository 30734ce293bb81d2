//! Whatever is in the log, the real process stays under the memory that docs/operations.md asks for: 128 MiB. Its highest
//! resident memory (`VmHWM`) is compared with that: what a cgroup of this limit would kill it for.

use std::time::Duration;

use mana_ai::demo::llm::Behaviour;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::processes::peak_kib;
use crate::app::process::{Serving, command};
use crate::support::{KEY, World, soon};

/// A debug build on a busy machine reads a large mission for many seconds.
const PATIENCE: Duration = Duration::from_mins(5);
const DOCUMENTED_KIB: u64 = 128 * 1024;

/// An iteration of 1 kB. Texts are random, so that they stay long when Postgres compresses them.
const USUAL: &str = "jsonb_build_object('id', 'i' || n, 'source', 'server', 'overallStatus', 'approved', 'startedAt',
    '2026-01-01T00:00:00.000Z', 'summary', text, 'plan', jsonb_build_array(jsonb_build_object('id', 'i' || n || '-0',
        'status', 'approved', 'summary', 's')))";

/// Missions of a user with so many iterations, in an insert and an update with the whole list.
async fn fill(world: &World, user: &str, missions: i64, iterations: i64, iteration: &str) {
    let sql = format!(
        r#"WITH long AS (SELECT jsonb_agg({iteration}) AS list FROM generate_series(1, {iterations}) AS n,
            LATERAL (SELECT array_to_string(ARRAY(SELECT md5(random()::text || n) FROM generate_series(1, 25)), '') AS text) AS random)
        INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id, created_at)
        SELECT 'ai', 'aiMissions', '{user}-' || m, '{user}', op, data, times, 'web-1', now() - age FROM long,
            generate_series(1, {missions}) AS m, LATERAL (VALUES
            ('insert', '{{"createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-01T00:00:00.000Z", "title": "t",
                "objective": "o", "state": "active", "nextRunAt": "2026-01-01T00:00:00.000Z", "iterations": [],
                "cadence": {{"kind": "interval", "everyMinutes": 60}}}}'::jsonb, '{{}}'::jsonb, interval '2 min'),
            ('update', jsonb_build_object('iterations', list), '{{"iterations": "2026-02-01T00:00:00.000Z"}}'::jsonb,
                interval '1 min')) AS made (op, data, times, age)"#
    );
    sqlx::query(AssertSqlSafe(sql)).execute(&world.db.admin).await.unwrap();
}

async fn get(service: &Serving, path: &str) -> Value {
    let client = mana_ai::http_client::builder().build().unwrap();
    let url = format!("http://127.0.0.1:{}/internal/{path}", service.port);
    let answer = client.get(url).header("x-service-key", KEY).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.unwrap()
}

async fn tick(service: &Serving) -> Value {
    let client = mana_ai::http_client::builder().build().unwrap();
    let url = format!("http://127.0.0.1:{}/internal/tick?wait=true", service.port);
    let ticked = async { client.post(url).header("x-service-key", KEY).send().await?.json().await };
    tokio::time::timeout(PATIENCE, ticked).await.expect("the tick ends").unwrap()
}

async fn serve(world: &World) -> Serving {
    let mut command = command(world, &["serve"]);
    command.env("TICK_ENABLED", "false");
    Serving::start(command).await
}

fn check(service: &Serving, what: &str) {
    let peak = peak_kib(service.pid());
    eprintln!("{what}: {:.1} MiB at most", peak as f64 / 1024.0);
    assert!(peak < DOCUMENTED_KIB, "{what}: {peak} KiB");
}

#[tokio::test]
async fn a_row_of_30_mb_is_set_aside_with_its_size() {
    let world = World::new().await;
    fill(&world, "alice", 1, 32_000, USUAL).await;
    fill(&world, "bob", 1, 10, USUAL).await;
    let service = serve(&world).await;
    let stats = tick(&service).await;
    assert_eq!(stats["plansWrittenBack"], 1, "{stats}");
    for path in ["missions/alice/alice-1", "missions?user=alice"] {
        let told = soon(get(&service, path)).await.to_string();
        assert!(told.contains("MB to be read, at most 8.4 MB are"), "{told}");
    }
    let quarantine = soon(get(&service, "quarantine")).await.to_string();
    assert!(quarantine.contains("alice-1") && quarantine.contains("MB to be read"), "{quarantine}");
    check(&service, "a row of 30 MB");
}

#[tokio::test]
async fn lists_of_large_missions_are_read_one_by_one() {
    let world = World::new().await;
    fill(&world, "alice", 15, 2_000, USUAL).await;
    let service = serve(&world).await;
    let list = || get(&service, "missions?user=alice");
    let (one, two, three) = tokio::join!(list(), list(), list());
    for told in [one, two, three] {
        assert_eq!(told["missions"].as_array().unwrap().len(), 15);
    }
    check(&service, "three lists of 15 missions of 2 MB");
}

#[tokio::test]
async fn missions_of_five_thousand_iterations_are_planned() {
    let world = World::new().await;
    fill(&world, "alice", 1, 5_000, USUAL).await;
    fill(&world, "bob", 1, 5_000, USUAL).await;
    let service = serve(&world).await;
    let stats = tick(&service).await;
    assert_eq!(stats["plansWrittenBack"], 2, "{stats}");
    check(&service, "two missions of 5,000 iterations");
}

#[tokio::test]
async fn forty_plans_of_256_kb_do_not_grow_a_mission_without_bound() {
    let world = World::new().await;
    fill(&world, "alice", 1, 1, USUAL).await;
    let step = json!({ "summary": "s".repeat(50_000), "toolName": "create_task", "params": { "title": "t" },
        "rationale": "r".repeat(50_000) });
    let plan = json!({ "summary": "p".repeat(50_000), "steps": [step, step] });
    world.llm.behave(Behaviour::Say(plan.to_string()));
    let service = serve(&world).await;
    for slot in 0..40 {
        let stats = tick(&service).await;
        assert_eq!(stats["plansWrittenBack"], 1, "{slot}: {stats}");
        // A device reads the plan and moves the mission back to a slot that has none.
        let read = format!(
            r#"INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id)
            SELECT app_id, table_name, record_id, user_id, 'update', jsonb_build_object('nextRunAt', '2026-01-{:02}T{:02}:00:00.000Z',
                'iterations', replace((data -> 'iterations')::text, '"awaiting-review"', '"approved"')::jsonb),
                '{{"nextRunAt": "2090-01-01T00:00:{slot:02}.000Z", "iterations": "2090-01-01T00:00:{slot:02}.000Z"}}', 'web-1'
            FROM sync_changes WHERE client_id = 'mana-ai-runner' ORDER BY created_at DESC LIMIT 1"#,
            2 + slot / 20,
            slot % 20
        );
        sqlx::query(AssertSqlSafe(read)).execute(&world.db.admin).await.unwrap();
    }
    let longest: i32 = sqlx::query_scalar("SELECT max(octet_length(data::text)) FROM sync_changes")
        .fetch_one(&world.db.admin)
        .await
        .unwrap();
    assert!(longest < 40 * 8_000 + 100_000, "{longest} bytes");
    check(&service, "forty plans of 256 kB");
}

/// Of few bytes each, but of far more than that once they are read.
#[tokio::test]
async fn a_mission_of_tiny_values_is_set_aside() {
    let world = World::new().await;
    let steps = "jsonb_build_object('id', 'i' || n, 'plan', (SELECT jsonb_agg(jsonb_build_object('id', step)) FROM generate_series(1, 400000) AS step))";
    fill(&world, "alice", 1, 300_000, "jsonb_build_object('id', n)").await;
    fill(&world, "bob", 1, 1, steps).await;
    fill(&world, "carol", 1, 10, USUAL).await;
    let service = serve(&world).await;
    let stats = tick(&service).await;
    assert_eq!(stats["plansWrittenBack"], 1, "{stats}");
    for path in ["missions/alice/alice-1", "missions/bob/bob-1"] {
        let told = soon(get(&service, path)).await.to_string();
        assert!(told.contains("MB of memory to be read"), "{told}");
    }
    check(&service, "tiny values");
}

/// Whatever is long, and wherever it stands.
#[tokio::test]
async fn long_texts_anywhere_in_a_row_are_not_taken() {
    let world = World::new().await;
    let long = "repeat('x', 30000000)";
    for (user, data, times, client) in [
        ("alice", "'{}'", "jsonb_build_object('title', REPEAT)", "'web-1'"),
        (
            "bob",
            "jsonb_build_object('title', REPEAT)",
            "'{\"title\": \"2026-02-01T00:00:00.000Z\"}'",
            "'web-1'",
        ),
        ("carol", "'{}'", "'{}'", "REPEAT"),
    ] {
        fill(&world, user, 1, 1, USUAL).await;
        let sql = format!(
            "INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id)
             SELECT 'ai', 'aiMissions', '{user}-1', '{user}', 'update', {data}, {times}, {client}"
        );
        let sql = sql.replace("REPEAT", long);
        sqlx::query(AssertSqlSafe(sql)).execute(&world.db.admin).await.unwrap();
    }
    let service = serve(&world).await;
    let stats = tick(&service).await;
    assert_eq!(stats["plansWrittenBack"], 1, "only carol's can be read: {stats}");
    check(&service, "long texts");
}

/// Each of the first is hidden by each of the others. What is kept of that is less than for each pair a number.
#[tokio::test]
async fn many_new_iterations_that_hide_many_others() {
    let world = World::new().await;
    fill(&world, "alice", 1, 8_000, "jsonb_build_object('id', 'i' || n, 'source', 'server')").await;
    let hiding = "INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id)
        SELECT 'ai', 'aiMissions', 'alice-1', 'alice', 'update',
            jsonb_build_object('iterations', jsonb_agg(jsonb_build_object('id', 'b' || n))),
            '{\"iterations\": \"2026-02-02T00:00:00.000Z\"}', 'web-2' FROM generate_series(1, 8000) AS n";
    sqlx::query(hiding).execute(&world.db.admin).await.unwrap();
    let service = serve(&world).await;
    let stats = tick(&service).await;
    assert_eq!(stats["plansWrittenBack"], 1, "{stats}");
    check(&service, "8,000 iterations that hide 8,000");
}
