//! Ticks of a runner in this process, on a real Postgres.

use std::time::Duration;

use futures_util::TryStreamExt;
use mana_ai::demo::database::Server;
use mana_ai::demo::llm::{Behaviour, StandIn};
use mana_ai::store::schedule::claim::{ClaimScope, ClaimTerms, claim};
use mana_ai::store::schedule::compare::{Stage, compare};
use sqlx::Executor;

use crate::fill::BenchDb;
use crate::measure::{median_ms, once_ms};
use crate::report::Row;
use crate::row;

pub const NOBODY: &str = "http://127.0.0.1:1";

/// Figure 1: A tick that finds nothing new and nothing due. Bound: asking once what is new.
pub async fn idle(db: &BenchDb, size: u64) -> (Row, f64) {
    let runner = db.runner(NOBODY);
    assert!(runner.tick(true).await.errors.is_empty());
    let ours = median_ms(50, || runner.tick(true)).await;
    let bare = median_ms(50, || async {
        let sql = "SELECT DISTINCT user_id, record_id FROM mana_ai.mission_fields WHERE created_at > now() - interval '10 min'";
        let mut tx = db.store.begin().await.unwrap();
        tx.fetch_all(sql).await.unwrap();
        tx.commit().await.unwrap();
    })
    .await;
    (
        row(
            format!("idle tick, {size} changes"),
            ours,
            bare,
            "ms",
            "one query for what is new",
            "≤ 5 ms at 1 M",
        ),
        ours,
    )
}

/// Figure 2: A tick after a hundred missions changed. Bound: reading all rows of those missions.
pub async fn hundred_new_rows(db: &BenchDb) -> Row {
    let runner = db.runner(NOBODY);
    runner.tick(true).await;
    let touch = "INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id)
        SELECT 'ai', 'aiMissions', 'm-' || m, 'u-' || m / 10, 'update', '{\"title\": \"neu\"}',
            '{\"title\": \"2026-04-15T10:00:00.000Z\"}', 'web-1' FROM generate_series(0, 99000, 1000) AS m";
    // Its rows stay in the overlap, so later runs fold the same hundred missions again.
    let mut times = Vec::new();
    for _ in 0..10 {
        db.admin.execute(touch).await.unwrap();
        times.push(once_ms(runner.tick(true)).await);
    }
    times.sort_by(f64::total_cmp);
    let bare = median_ms(10, || async {
        let mut tx = db.store.begin().await.unwrap();
        let sql = "SELECT * FROM mana_ai.mission_fields WHERE record_id = ANY($1) ORDER BY created_at, id";
        let missions: Vec<String> = (0..100).map(|m| format!("m-{}", m * 1000)).collect();
        sqlx::query(sql).bind(missions).fetch_all(&mut *tx).await.unwrap();
    })
    .await;
    row("tick with 100 changed missions at 1 M", times[5], bare, "ms", "reading their rows", "")
}

/// Figure 3: The schedule from nothing. Bound: reading the view once.
pub async fn rebuild(db: &BenchDb) -> Row {
    let ours = median_ms(3, || async {
        db.admin.execute("TRUNCATE mana_ai.mission_schedule").await.unwrap();
        compared(db).await;
    })
    .await;
    let bare = read_view(db).await;
    row("rebuild, 1 M changes, 100 k missions", ours, bare, "ms", "bare read of the view", "≤ 2 ×")
}

/// The hourly reconcile: the whole log, and nothing to mend. Bound: reading the view once.
pub async fn reconcile(db: &BenchDb) -> Row {
    let ours = median_ms(3, || async {
        assert_eq!(compared(db).await, 0);
    })
    .await;
    let bare = read_view(db).await;
    row("reconcile, the same with nothing to mend", ours, bare, "ms", "bare read of the view", "")
}

/// The whole log is compared with the schedule. Returns how many rows of the schedule changed.
pub async fn compared(db: &BenchDb) -> u64 {
    let compared = compare(&db.store, true, Duration::MAX).await.unwrap();
    assert_eq!(compared.stage, Stage::Ended);
    compared.found.changed
}

async fn read_view(db: &BenchDb) -> f64 {
    median_ms(3, || async {
        let mut tx = db.store.begin().await.unwrap();
        let mut rows = tx.fetch("SELECT * FROM mana_ai.mission_fields");
        while rows.try_next().await.unwrap().is_some() {}
    })
    .await
}

/// Figure 4: A thousand due missions of five hundred users, after a first thousand that warmed up connections and
/// statements. Bound: calls / concurrency × latency.
pub async fn thousand_due(server: &Server) -> Row {
    let db = BenchDb::empty(server, "due").await;
    let latency = Duration::from_millis(200);
    let llm = StandIn::start(Behaviour::Late(latency)).await.unwrap();
    let runner = db.runner(llm.url());
    let mut times = Vec::new();
    for round in 0..4 {
        due_missions(&db, round).await;
        let mut written = 0;
        times.push(once_ms(async { written = runner.tick(true).await.plans_written_back }).await);
        assert_eq!(written, 1000);
    }
    drop(runner);
    db.drop(server).await;
    times[1..].sort_by(f64::total_cmp);
    let bound = 1000.0 / 64.0 * latency.as_secs_f64() * 1000.0;
    row(
        "1,000 due, model 200 ms, 64 at once",
        times[2],
        bound,
        "ms",
        "calls / concurrency × latency",
        "≤ 1.11 × (90 %)",
    )
}

async fn due_missions(db: &BenchDb, round: i32) {
    sqlx::query(
        r#"INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, client_id)
        SELECT 'ai', 'aiMissions', 'm-' || $1 || '-' || i, 'u-' || i % 500, 'insert', '{"updatedAt": "2026-04-14T10:00:00.000Z",
            "title": "Garten", "objective": "Ernten", "state": "active", "nextRunAt": "2026-04-14T10:00:00.000Z",
            "cadence": {"kind": "interval", "everyMinutes": 60}, "iterations": []}', 'web-1'
        FROM generate_series(1, 1000) AS i"#,
    )
    .bind(round)
    .execute(&db.admin)
    .await
    .unwrap();
    // As the server does by itself after so many rows.
    db.admin.execute("ANALYZE sync_changes").await.unwrap();
}

/// One claim from a backlog that the planner's statistics know nothing of, as after an outage. Bound: the
/// oldest rows alone.
pub async fn backlog(server: &Server) -> Row {
    let db = BenchDb::empty(server, "backlog").await;
    db.admin
        .execute(
            "ALTER TABLE mana_ai.mission_schedule SET (autovacuum_enabled = false);
             INSERT INTO mana_ai.mission_schedule (user_id, mission_id, next_run_at, change_count)
             SELECT 'u-' || i % 50000, 'm-' || i, now() + interval '1 day', 1 FROM generate_series(1, 100000) AS i;
             ANALYZE mana_ai.mission_schedule;
             UPDATE mana_ai.mission_schedule SET next_run_at = now() - interval '1 hour'",
        )
        .await
        .unwrap();
    let due_at = mana_ai::store::preflight(&db.store).await.unwrap().now;
    let terms = ClaimTerms { replica: uuid::Uuid::nil(), per_user: 2, lease: Duration::from_secs(120) };
    let scope = ClaimScope::Due { at: due_at, missions: 64, poison_candidate: true };
    let ours = median_ms(20, || async {
        assert_eq!(claim(&db.store, terms, scope).await.unwrap().len(), 64);
    })
    .await;
    let bare = median_ms(20, || async {
        let mut tx = db.store.begin().await.unwrap();
        let sql =
            "SELECT * FROM mana_ai.mission_schedule WHERE next_run_at <= now() AND not_before < 'infinity'
            AND lease_until IS NULL ORDER BY next_run_at LIMIT 1000";
        tx.fetch_all(sql).await.unwrap();
        tx.commit().await.unwrap();
    })
    .await;
    db.drop(server).await;
    row(
        "a claim of 64 out of 100,000 due, stale statistics",
        ours,
        bare,
        "ms",
        "reading the 1,000 oldest",
        "",
    )
}

/// Figure 7: A mission that has come to a thousand iterations, one row each. Bound: reading those rows.
pub async fn thousand_iterations(server: &Server) -> Row {
    let db = BenchDb::empty(server, "iterations").await;
    let llm = StandIn::start(Behaviour::Plan).await.unwrap();
    let runner = db.runner(llm.url());
    runner.tick(true).await;
    db.admin
        .execute(
            r#"WITH steps AS (SELECT n, jsonb_build_object('id', 'i' || n, 'source', 'browser', 'overallStatus', 'approved',
                'summary', repeat('s', 100), 'plan', jsonb_build_array(jsonb_build_object('id', 'p', 'status', 'approved',
                'summary', repeat('p', 100)))) AS step FROM generate_series(1, 1000) AS n)
            INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id, created_at)
            SELECT 'ai', 'aiMissions', 'm', 'u', 'update', jsonb_build_object('iterations', (SELECT jsonb_agg(step ORDER BY n)
                FROM steps WHERE n <= k), 'nextRunAt', '2026-04-14T10:00:00.000Z', 'state', 'active', 'title', 'Garten',
                'cadence', '{"kind": "interval", "everyMinutes": 60}'::jsonb),
                '{"iterations": "2026-04-14T10:00:00.000Z", "nextRunAt": "2026-04-14T10:00:00.000Z", "state": "2026-04-14T10:00:00.000Z",
                  "title": "2026-04-14T10:00:00.000Z", "cadence": "2026-04-14T10:00:00.000Z"}', 'web-1', now() - (1001 - k) * interval '1 min'
            FROM generate_series(1, 1000) AS k"#,
        )
        .await
        .unwrap();
    let mut written = 0;
    let ours = once_ms(async { written = runner.tick(true).await.plans_written_back }).await;
    assert_eq!(written, 1);
    let bare = median_ms(3, || async {
        let mut rows = db.admin.fetch("SELECT * FROM sync_changes WHERE record_id = 'm'");
        while rows.try_next().await.unwrap().is_some() {}
    })
    .await;
    drop(runner);
    db.drop(server).await;
    row("tick, one mission of 1,000 iterations in 1,000 rows", ours, bare, "ms", "reading its rows once", "")
}
