//! Missions with a history, written as devices and the service write them: two rows per slot, the service's with the new
//! iteration, then a device's edit in parts; each carries all iterations so far, of 1 kB each.

use sqlx::Executor;

use crate::fill::BenchDb;

/// `$1` missions of as many users, `$2` iterations each; those up to `$3` are due. An insert, then two rows per iteration,
/// the iterations a minute apart, the last row `$4` seconds ago.
const HISTORY: &str = r#"
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
FROM generate_series(1, $1) AS m, generate_series(0, 2) AS n, generate_series(1, $2) AS k,
    LATERAL (SELECT now() - make_interval(mins => $2 - k, secs => $4 + 2 - n) AS written) AS times,
    LATERAL (SELECT to_char(written AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at,
        CASE WHEN m <= $3 THEN '2026-04-14T10:00:00.000Z' ELSE '2096-01-01T00:00:00.000Z' END AS slot) AS texts,
    LATERAL (SELECT coalesce((SELECT jsonb_agg(jsonb_build_object('id', 'i-' || i, 'source', 'server',
            'startedAt', '2026-04-14T10:00:00.000Z', 'overallStatus', 'approved', 'summary', repeat(md5(i::text), 12),
            'plan', jsonb_build_array(jsonb_build_object('id', 'i-' || i || '-0', 'kind', 'toolCall', 'status', 'approved',
                'proposalId', 'p-' || i, 'summary', repeat(md5((-i)::text), 12)))) ORDER BY i)
        FROM generate_series(1, k) AS i), '[]') AS list) AS lists
WHERE n > 0 OR k = 1"#;

/// Fills a database that has been set up.
pub async fn fill(db: &BenchDb, missions: i32, iterations: i32, due: i32, seconds_ago: i32) {
    eprintln!("filling {missions} missions with {iterations} iterations …");
    let fill = sqlx::query(HISTORY).bind(missions).bind(iterations).bind(due).bind(seconds_ago);
    fill.execute(&db.admin).await.unwrap();
    db.admin.execute("ANALYZE sync_changes").await.unwrap();
}
