//! What the age of missions, and how many of them change, cost a tick.

use mana_ai::demo::database::Server;
use mana_ai::demo::llm::{Behaviour, StandIn};
use sqlx::Executor;

use crate::fill::BenchDb;
use crate::measure::{median_ms, once_ms};
use crate::missions::{come_due, fill, looked_at, read_and_insert, warm_up};
use crate::report::Row;
use crate::row;
use crate::ticks::{NOBODY, compared};

/// An idle tick while a mission of a thousand iterations lies in the overlap: 2,000 rows, the newest of 1 MB.
pub async fn idle_beside_an_old_mission(server: &Server) -> Row {
    let db = BenchDb::empty(server, "old").await;
    fill(&db, 1, 1000, 0, 0).await;
    let row = idle(&db, "idle tick, a mission of 1,000 iterations in the overlap", "≤ 5 ms").await;
    db.drop(server).await;
    row
}

/// An idle tick while ten thousand missions have changed in the overlap, with two rows each.
pub async fn idle_beside_many_changes(server: &Server) -> Row {
    let db = BenchDb::empty(server, "changed").await;
    fill(&db, 10_000, 1, 0, 0).await;
    let older = "UPDATE sync_changes SET created_at = created_at - interval '1 day' WHERE op = 'insert'";
    db.admin.execute(older).await.unwrap();
    db.admin.execute("VACUUM ANALYZE sync_changes").await.unwrap();
    let row = idle(&db, "idle tick, 10,000 missions changed in the overlap", "≤ 20 ms").await;
    db.drop(server).await;
    row
}

/// Bound: asking once for the ids of the overlap.
async fn idle(db: &BenchDb, name: &str, bar: &'static str) -> Row {
    let runner = db.runner(NOBODY);
    looked_at(db, &runner).await;
    let ours = median_ms(20, || runner.tick(true)).await;
    let bare = median_ms(20, || async {
        let mut tx = db.store.begin().await.unwrap();
        let sql =
            "SELECT array_agg(id) FROM mana_ai.mission_keys WHERE created_at > now() - interval '10 min'";
        tx.fetch_all(sql).await.unwrap();
        tx.commit().await.unwrap();
    })
    .await;
    row(name, ours, bare, "ms", "the ids of the overlap", bar)
}

/// A tick that plans `due` missions of so many iterations, with a model that answers at once. Bound: reading the newest row
/// of each of these, and inserting it once.
pub async fn due(server: &Server, missions: i32, iterations: i32, due: i32, bar: &'static str) -> Row {
    let db = BenchDb::empty(server, "aged").await;
    fill(&db, missions, iterations, 0, 900).await;
    let llm = StandIn::start(Behaviour::Plan).await.unwrap();
    let runner = db.runner(llm.url());
    looked_at(&db, &runner).await;
    warm_up(&db, &runner, due).await;
    come_due(&db, 1, due).await;
    let mut written = 0;
    let ours = once_ms(async { written = runner.tick(true).await.plans_written_back }).await;
    assert_eq!(i32::try_from(written).unwrap(), due);
    let mut bare = 0.0;
    for mission in 1..=due {
        bare += read_and_insert(&db, mission).await;
    }
    drop(runner);
    db.drop(server).await;
    let name = format!("due tick, {missions} missions × {iterations} iterations, {due} due");
    row(name, ours, bare, "ms", "reading their newest rows once and inserting them once", bar)
}

/// How long the schedule of `rows` rows of `bytes` each takes to be built. Bound: `than`.
pub async fn rebuild(server: &Server, rows: i32, bytes: i32, than: Option<f64>) -> (Row, f64) {
    let db = BenchDb::empty(server, "sizes").await;
    eprintln!("filling {rows} rows of {bytes} bytes …");
    let sql = r#"INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id, created_at)
        SELECT 'ai', 'aiMissions', 'm-' || i / 10, 'u-' || i / 100, CASE i % 10 WHEN 0 THEN 'insert' ELSE 'update' END,
            jsonb_build_object('createdAt', '2026-04-14T10:00:00.000Z', 'updatedAt', '2026-04-14T10:00:00.000Z', 'title', 'Garten',
                'state', 'active', 'nextRunAt', '2096-01-01T00:00:00.000Z', 'cadence', '{"kind": "interval", "everyMinutes": 60}'::jsonb,
                'iterations', jsonb_build_array(jsonb_build_object('id', 'i', 'plan', '[]'::jsonb, 'summary', repeat(md5(i::text), $2 / 32)))),
            CASE i % 10 WHEN 0 THEN '{}'::jsonb ELSE jsonb_build_object('nextRunAt', at, 'updatedAt', at, 'iterations', at) END,
            'web-1', now() - interval '1 day' + i * interval '1 ms'
        FROM generate_series(0, $1 - 1) AS i, LATERAL (SELECT '2026-04-14T10:00:0' || i % 10 || '.000Z' AS at) AS texts"#;
    sqlx::query(sql).bind(rows).bind(bytes).execute(&db.admin).await.unwrap();
    db.admin.execute("VACUUM ANALYZE sync_changes").await.unwrap();
    let ours = median_ms(3, || async {
        db.admin.execute("TRUNCATE mana_ai.mission_schedule").await.unwrap();
        compared(&db).await;
    })
    .await;
    db.drop(server).await;
    let name = format!("rebuild, {rows} rows of {bytes} bytes");
    let bar = if than.is_some() { "≤ 2 ×" } else { "" };
    (row(name, ours, than.unwrap_or(ours), "ms", "the same of 1 kB", bar), ours)
}

/// Plans per second with a model that answers at once. Bound: the statements of the same writes alone, one transaction per
/// plan, on as many connections.
pub async fn plans_per_second(server: &Server) -> Row {
    const PLANS: i32 = 1000;
    let db = BenchDb::empty(server, "plans").await;
    let llm = StandIn::start(Behaviour::Plan).await.unwrap();
    let runner = db.runner(llm.url());
    fill(&db, PLANS, 1, PLANS, 900).await;
    compared(&db).await;
    let mut written = 0;
    let ours = once_ms(async { written = runner.tick(true).await.plans_written_back }).await;
    assert_eq!(i32::try_from(written).unwrap(), PLANS);
    let bare = once_ms(async {
        let lanes = (0..2).map(|lane| {
            let admin = db.admin.clone();
            tokio::spawn(async move {
                for plan in (lane..PLANS).step_by(2) {
                    let mut tx = admin.begin().await.unwrap();
                    let row = "INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id)
                        SELECT app_id, table_name, record_id, user_id, op, data, field_timestamps, 'bench' FROM sync_changes
                        WHERE table_name = 'aiMissions' AND record_id = 'm-' || $1 ORDER BY created_at DESC LIMIT 1";
                    sqlx::query(row).bind(plan + 1).execute(&mut *tx).await.unwrap();
                    let slot = "UPDATE mana_ai.mission_schedule SET next_run_at = now(), attempts = 0
                        WHERE user_id = 'u-' || $1 AND mission_id = 'm-' || $1";
                    sqlx::query(slot).bind(plan + 1).execute(&mut *tx).await.unwrap();
                    let run = "UPDATE mana_ai.mission_runs SET reason = NULL WHERE user_id = 'u-' || $1 AND mission_id = 'm-' || $1";
                    sqlx::query(run).bind(plan + 1).execute(&mut *tx).await.unwrap();
                    tx.commit().await.unwrap();
                }
            })
        });
        for lane in lanes.collect::<Vec<_>>() {
            lane.await.unwrap();
        }
    })
    .await;
    drop(runner);
    db.drop(server).await;
    let per_second = |ms: f64| f64::from(PLANS) / ms * 1000.0;
    row(
        "plans per second, the model answers at once",
        per_second(ours),
        per_second(bare),
        "/s",
        "the writes alone, on two connections",
        "",
    )
}
