//! Databases with as many changes as asked for, none of them due.

use mana_ai::app;
use mana_ai::config::Config;
use mana_ai::demo::database::{SYNC_CHANGES, Server};
use mana_ai::runner::Runner;
use mana_ai::store::{Store, access};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Executor, PgPool};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

pub const KEY: &str = "bench-service-key";

/// Ten changes per mission over the last thirty days, a hundred changes per user. Written as devices do:
/// an insert with the whole record, then updates that carry the iterations.
const FILL: &str = r#"
INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id, created_at)
SELECT 'ai', 'aiMissions', 'm-' || i / 10, 'u-' || i / 100, CASE i % 10 WHEN 0 THEN 'insert' ELSE 'update' END,
    CASE i % 10 WHEN 0 THEN '{"createdAt": "2026-04-14T10:00:00.000Z", "updatedAt": "2026-04-14T10:00:00.000Z",
        "title": "Garten", "objective": "Jeden Monat etwas ernten", "conceptMarkdown": "Ein kleiner Garten",
        "state": "active", "nextRunAt": "2096-01-01T00:00:00.000Z", "inputs": [], "iterations": [],
        "cadence": {"kind": "interval", "everyMinutes": 60}}'::jsonb
    ELSE jsonb_build_object('nextRunAt', '2096-01-01T00:00:00.000Z', 'updatedAt', '2026-04-14T10:00:00.000Z',
        'iterations', jsonb_build_array(jsonb_build_object('id', 'i', 'plan', '[]'::jsonb, 'summary', repeat('x', 200)))) END,
    CASE i % 10 WHEN 0 THEN '{}'::jsonb ELSE '{"nextRunAt": "2026-04-14T10:00:00.000Z",
        "updatedAt": "2026-04-14T10:00:00.000Z", "iterations": "2026-04-14T10:00:00.000Z"}' END,
    'web-1', now() - interval '30 days' + i * (interval '29 days' / $1)
FROM generate_series(0, $1 - 1) AS i"#;

pub struct BenchDb {
    name: String,
    pub url: String,
    pub admin: PgPool,
    pub store: Store,
}

impl BenchDb {
    pub async fn empty(server: &Server, name: &str) -> Self {
        let name = format!("mana_ai_bench_{}_{name}", std::process::id());
        let url = server.create_database(&name, None).await.unwrap();
        let admin = PgPoolOptions::new().max_connections(2).connect(&url).await.unwrap();
        admin.execute(SYNC_CHANGES).await.unwrap();
        let store = Store::new(&url, 4).unwrap();
        access::migrate(&store).await.unwrap();
        access::build_index(&store).await.unwrap();
        Self { name, url, admin, store }
    }

    pub async fn filled(server: &Server, changes: u64) -> Self {
        eprintln!("filling {changes} changes …");
        let db = Self::empty(server, &changes.to_string()).await;
        sqlx::query(FILL).bind(i64::try_from(changes).unwrap()).execute(&db.admin).await.unwrap();
        db.admin.execute("VACUUM ANALYZE sync_changes").await.unwrap();
        db
    }

    pub async fn drop(self, server: &Server) {
        self.admin.close().await;
        self.store.close();
        server.drop_database(&self.name).await.unwrap();
    }

    pub fn runner(&self, llm_url: &str) -> Arc<Runner> {
        let config = Config::from_vars(|name| match name {
            "DATABASE_URL" => Some(self.url.clone()),
            "MANA_SERVICE_KEY" => Some(KEY.into()),
            "MANA_LLM_URL" => Some(llm_url.into()),
            "TICK_CONCURRENCY" => Some("64".into()),
            "DATABASE_POOL_SIZE" => Some("40".into()),
            _ => None,
        });
        app::runner(&config.unwrap(), CancellationToken::new()).unwrap().1
    }
}
