//! What linked records add to an attempt: one with ten of them against one with none, on the same database and with a model
//! that answers at once. `cargo bench --bench inputs` prints the row and writes docs/benchmarks-inputs.md.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use mana_ai::app;
use mana_ai::config::Config;
use mana_ai::demo::database::{SYNC_CHANGES, Server};
use mana_ai::demo::llm::{Behaviour, StandIn};
use mana_ai::runner::Runner;
use mana_ai::store::{Store, access};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Executor as _, PgPool};
use tokio_util::sync::CancellationToken;

const BINARY: &str = env!("CARGO_BIN_EXE_mana-ai");
/// Attempts of a tick, one after the other.
const ATTEMPTS: u8 = 50;
/// Ticks of each kind. The median counts.
const TICKS: usize = 5;

/// `$1` missions of as many users, due now, each with links to `$2` notes of its user; `$3` begins their ids.
const MISSIONS: &str = r#"
INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, client_id)
SELECT 'ai', 'aiMissions', $3 || m, 'u-' || m, 'insert', jsonb_build_object('createdAt', '2026-04-14T10:00:00.000Z',
    'updatedAt', '2026-04-14T10:00:00.000Z', 'title', 'Garten', 'objective', 'Ernten', 'conceptMarkdown', 'Klein',
    'state', 'active', 'nextRunAt', '2026-04-14T10:00:00.000Z', 'inputs', links, 'iterations', '[]'::jsonb,
    'cadence', '{"kind": "interval", "everyMinutes": 525600}'::jsonb), 'web-1' FROM generate_series(1, $1) AS m,
    LATERAL (SELECT coalesce(jsonb_agg(jsonb_build_object('module', 'notes', 'table', 'notes', 'id', 'n-' || m || '-' || n)), '[]') AS links
        FROM generate_series(1, $2) AS n) AS linked"#;

/// Ten notes for each of `$1` users, an insert and `$2` edits of each, with 4 kB of text in each row.
const NOTES: &str = r#"
INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id, created_at)
SELECT 'notes', 'notes', 'n-' || u || '-' || n, 'u-' || u, CASE e WHEN 0 THEN 'insert' ELSE 'update' END,
    jsonb_build_object('title', 'Notiz', 'updatedAt', at,
        'content', (SELECT string_agg(md5(u || '-' || n || '-' || e || '-' || part), ' ') FROM generate_series(1, 120) AS part)),
    CASE e WHEN 0 THEN '{}' ELSE jsonb_build_object('content', at, 'updatedAt', at) END, 'web-1', written
FROM generate_series(1, $1) AS u, generate_series(1, 10) AS n, generate_series(0, $2) AS e,
    LATERAL (SELECT now() - make_interval(mins => $2 - e + 1) AS written) AS times,
    LATERAL (SELECT to_char(written AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at) AS texts"#;

#[tokio::main]
async fn main() {
    // `cargo test --benches` calls this too; it only wants to know that it builds. A part that is named is of another bench.
    let args: Vec<String> = std::env::args().skip(1).collect();
    if !args.iter().any(|arg| arg == "--bench") || args.iter().any(|arg| arg != "--bench" && arg != "inputs")
    {
        return;
    }
    let server = Server::find(Path::new(BINARY)).await.unwrap();
    let mut rows = String::new();
    for edits in [10, 100] {
        let (none, linked) = measure(&server, edits).await;
        let row = format!(
            "| 10 linked notes of {} rows each | {linked:.1} ms | {none:.1} ms | {:.1} × |\n",
            edits + 1,
            linked / none
        );
        print!("{row}");
        rows += &row;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks-inputs.md");
    let build = if cfg!(debug_assertions) { "a debug build" } else { "a release build" };
    std::fs::write(path, format!("{}{rows}", HEAD.replace("{build}", build))).unwrap();
}

const HEAD: &str = "# What linked records add to an attempt

Written by `cargo bench --bench inputs`: the time of one attempt of fifty in a row, from its claim to its row in the log,
with a model that answers at once, by {build}. The median of five ticks. The notes have 4 kB of text in each row.

| | with them | without | |
|---|---|---|---|
";

/// Milliseconds per attempt: without links, and with ten.
async fn measure(server: &Server, edits: i32) -> (f64, f64) {
    let name = format!("mana_ai_bench_{}_inputs_{edits}", std::process::id());
    let url = server.create_database(&name, None).await.unwrap();
    let db = PgPoolOptions::new().max_connections(2).connect(&url).await.unwrap();
    db.execute(SYNC_CHANGES).await.unwrap();
    let store = Store::new(&url, 2).unwrap();
    access::migrate(&store).await.unwrap();
    access::build_index(&store).await.unwrap();
    store.close();
    sqlx::query(NOTES).bind(i32::from(ATTEMPTS)).bind(edits).execute(&db).await.unwrap();
    db.execute("VACUUM ANALYZE sync_changes").await.unwrap();
    let llm = StandIn::start(Behaviour::Plan).await.unwrap();
    let runner = runner(&url, llm.url());
    let (mut none, mut linked) = (Vec::new(), Vec::new());
    for tick in 0..=TICKS {
        none.push(tick_ms(&db, &runner, 0, &format!("none-{tick}-")).await);
        linked.push(tick_ms(&db, &runner, 10, &format!("linked-{tick}-")).await);
    }
    let asked = llm.requests();
    assert!(asked.last().unwrap().body.to_string().contains("Titel: Notiz"), "the links are read");
    db.close().await;
    drop(runner);
    (median(none), median(linked))
}

/// The first tick of a process does more than the others, so it does not count.
fn median(mut times: Vec<f64>) -> f64 {
    times.remove(0);
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

async fn tick_ms(db: &PgPool, runner: &Runner, links: i32, ids: &str) -> f64 {
    sqlx::query(MISSIONS).bind(i32::from(ATTEMPTS)).bind(links).bind(ids).execute(db).await.unwrap();
    db.execute("ANALYZE sync_changes").await.unwrap();
    let began = Instant::now();
    let stats = runner.tick(true).await;
    let ms = began.elapsed().as_secs_f64() * 1000.0;
    assert_eq!(stats.plans_written_back, usize::from(ATTEMPTS), "{stats:?}");
    ms / f64::from(ATTEMPTS)
}

fn runner(url: &str, llm_url: &str) -> Arc<Runner> {
    let config = Config::from_vars(|name| match name {
        "DATABASE_URL" => Some(url.into()),
        "MANA_SERVICE_KEY" => Some("bench-service-key".into()),
        "MANA_LLM_URL" => Some(llm_url.into()),
        "TICK_CONCURRENCY" => Some("1".into()),
        _ => None,
    });
    app::runner(&config.unwrap(), CancellationToken::new()).unwrap().1
}
