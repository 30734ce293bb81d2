//! Missions with a history, written as devices and the service write them: two rows per slot, the service's with the new
//! iteration, then a device's edit in parts; each carries all iterations so far, of 1 kB each.

use std::time::Instant;

use futures_util::TryStreamExt;
use mana_ai::runner::Runner;
use sqlx::Executor;

use crate::fill::BenchDb;

/// `$1` missions of as many users, `$2` iterations each; those up to `$3` are due. An insert, then two rows per iteration,
/// the iterations an hour apart, as their cadence says, the last row `$4` seconds ago. Of the rows before the newest `$5`
/// iterations the lists hold twenty iterations at most: all of them would take gigabytes, and nobody reads them.
const HISTORY: &str = r#"
WITH lists AS MATERIALIZED (SELECT k, (SELECT jsonb_agg(jsonb_build_object('id', 'i-' || i, 'source', 'server',
        'startedAt', '2026-04-14T10:00:00.000Z', 'overallStatus', 'approved', 'summary', repeat(md5(i::text), 12),
        'plan', jsonb_build_array(jsonb_build_object('id', 'i-' || i || '-0', 'kind', 'toolCall', 'status', 'approved',
            'proposalId', 'p-' || i, 'summary', repeat(md5((-i)::text), 12)))) ORDER BY i)
    FROM generate_series(CASE WHEN k > $2 - $5 THEN 1 ELSE greatest(1, k - 19) END, k) AS i) AS list FROM generate_series(1, $2) AS k)
INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id, created_at)
SELECT 'ai', 'aiMissions', 'm-' || m, 'u-' || m, CASE n WHEN 0 THEN 'insert' ELSE 'update' END,
    CASE n WHEN 0 THEN jsonb_build_object('createdAt', '2026-04-14T10:00:00.000Z', 'updatedAt', '2026-04-14T10:00:00.000Z',
        'title', 'Garten', 'objective', 'Jeden Monat etwas ernten', 'conceptMarkdown', 'Ein kleiner Garten', 'inputs', '[]'::jsonb,
        'state', 'active', 'nextRunAt', slot, 'cadence', '{"kind": "interval", "everyMinutes": 60}'::jsonb, 'iterations', '[]'::jsonb)
    WHEN 1 THEN jsonb_build_object('iterations', lists.list, 'nextRunAt', slot)
    ELSE jsonb_build_object('iterations', lists.list, 'inputs', '[]'::jsonb, 'updatedAt', at, 'cadence.everyMinutes', 60) END,
    CASE n WHEN 0 THEN '{}'::jsonb WHEN 1 THEN jsonb_build_object('iterations', at, 'nextRunAt', at)
    ELSE jsonb_build_object('iterations', at, 'inputs', at, 'updatedAt', at, 'cadence.everyMinutes', at) END,
    CASE n WHEN 1 THEN 'mana-ai-runner' ELSE 'web-1' END, written
FROM lists, generate_series(1, $1) AS m, generate_series(0, 2) AS n,
    LATERAL (SELECT now() - make_interval(hours => $2 - k, secs => $4 + 2 - n) AS written) AS times,
    LATERAL (SELECT to_char(written AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at,
        CASE WHEN m <= $3 THEN '2026-04-14T10:00:00.000Z' ELSE '2096-01-01T00:00:00.000Z' END AS slot) AS texts
WHERE n > 0 OR k = 1"#;

/// Fills a database that has been set up.
pub async fn fill(db: &BenchDb, missions: i32, iterations: i32, due: i32, seconds_ago: i32) {
    fill_newest(db, missions, iterations, due, seconds_ago, iterations).await;
}

/// The same, but only the rows of the newest `whole` iterations have all of them.
pub async fn fill_newest(
    db: &BenchDb,
    missions: i32,
    iterations: i32,
    due: i32,
    seconds_ago: i32,
    whole: i32,
) {
    eprintln!("filling {missions} missions with {iterations} iterations …");
    let fill = sqlx::query(HISTORY).bind(missions).bind(iterations).bind(due).bind(seconds_ago).bind(whole);
    fill.execute(&db.admin).await.unwrap();
    db.admin.execute("ANALYZE sync_changes").await.unwrap();
}

/// The first ticks of a process: they compare the whole log, and look at each mission once for what a stale list hid.
pub async fn looked_at(db: &BenchDb, runner: &Runner) {
    let queued = "SELECT count(*) FROM mana_ai.mission_healing WHERE checked_count < change_count";
    assert!(runner.tick(true).await.errors.is_empty());
    while sqlx::query_scalar::<_, i64>(queued).fetch_one(&db.admin).await.unwrap() > 0 {
        runner.tick(true).await;
    }
}

/// A device makes the missions from `first` to `last` due at this moment, as time does: a slot before our newest row would
/// be one that its user moved back, whose plan is looked for in all our rows since then.
pub async fn come_due(db: &BenchDb, first: i32, last: i32) {
    let come = "INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id)
        SELECT 'ai', 'aiMissions', 'm-' || m, 'u-' || m, 'update', jsonb_build_object('nextRunAt',
                to_char(now() AT TIME ZONE 'UTC' - interval '1 s', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')),
            '{\"nextRunAt\": \"2096-04-15T10:00:00.000Z\"}', 'web-1' FROM generate_series($1, $2) AS m";
    sqlx::query(come).bind(first).bind(last).execute(&db.admin).await.unwrap();
}

/// Plans `due` young missions, so that connections are open and their statements prepared, as they are in a process that has
/// run for a while.
pub async fn warm_up(db: &BenchDb, runner: &Runner, due: i32) {
    let young = r#"INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, client_id)
        SELECT 'ai', 'aiMissions', 'young-' || i, 'young-' || i, 'insert', '{"updatedAt": "2026-04-14T10:00:00.000Z",
            "title": "Garten", "objective": "Ernten", "state": "active", "nextRunAt": "2026-04-14T10:00:00.000Z",
            "cadence": {"kind": "interval", "everyMinutes": 60}, "iterations": []}', 'web-1' FROM generate_series(1, $1) AS i"#;
    sqlx::query(young).bind(due).execute(&db.admin).await.unwrap();
    assert_eq!(i32::try_from(runner.tick(true).await.plans_written_back).unwrap(), due);
}

/// Milliseconds of reading the newest row of a mission and inserting it once more.
pub async fn read_and_insert(db: &BenchDb, mission: i32) -> f64 {
    let began = Instant::now();
    let copy = "INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id)
        SELECT app_id, table_name, 'copy-' || record_id, user_id, op, data, field_timestamps, 'bench' FROM sync_changes
        WHERE table_name = 'aiMissions' AND record_id = 'm-' || $1 ORDER BY created_at DESC LIMIT 1 RETURNING data::text";
    let mut copied = sqlx::query(copy).bind(mission).fetch(&db.admin);
    while copied.try_next().await.unwrap().is_some() {}
    began.elapsed().as_secs_f64() * 1000.0
}
