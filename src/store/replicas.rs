//! The processes that work on this database: each writes a row after its ticks.

use serde::Serialize;
use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::types::Json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::schedule::due::leased;
use super::{DbTime, Store, StoreError};

/// One process that works on this database.
#[derive(Debug, Clone, Serialize, ToSchema, sqlx::FromRow)]
#[serde(rename_all = "camelCase")]
pub struct Replica {
    /// The id that its runs carry: random, new at each start.
    pub id: Uuid,
    /// Its version of mana-ai.
    pub version: String,
    /// When its first tick ended.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: DbTime,
    /// When its last tick ended.
    #[schema(value_type = String, format = DateTime)]
    pub seen_at: DbTime,
    /// Why it does not call mana-llm; null where it does.
    pub breaker: Option<String>,
    /// How many missions it has under a lease.
    pub leases: i64,
    /// The most missions of one user that it lets be planned at once; null where an older version does not say.
    pub user_concurrency: Option<i32>,
    /// The counts of its last tick.
    #[schema(value_type = Object)]
    pub last_tick: Json<Value>,
}

/// The processes that were seen in the last day, the latest first.
///
/// # Errors
/// Whatever the database answers.
pub async fn replicas(db: &mut PgConnection) -> Result<Vec<Replica>, StoreError> {
    let replicas = sqlx::query_as(concat!(
        "SELECT id, version, started_at, seen_at, breaker, last_tick, user_concurrency, (
             SELECT count(*) FROM mana_ai.mission_schedule JOIN mana_ai.mission_runs AS run ON run.id = run_id
             WHERE ",
        leased!(),
        " AND run.replica = replicas.id) AS leases
         FROM mana_ai.replicas WHERE seen_at > clock_timestamp() - interval '1 day' ORDER BY seen_at DESC LIMIT 100",
    ));
    Ok(replicas.fetch_all(db).await?)
}

/// Why mana-llm is not called, if none of the replicas that were seen in the last ten minutes calls it: the
/// reason of the one that was seen last.
///
/// # Errors
/// Whatever the database answers.
pub async fn breaker(db: &mut PgConnection) -> Result<Option<String>, StoreError> {
    let why = "SELECT CASE WHEN bool_and(breaker IS NOT NULL) THEN (array_agg(breaker ORDER BY seen_at DESC))[1] END
        FROM mana_ai.replicas WHERE seen_at > clock_timestamp() - interval '10 minutes'";
    Ok(sqlx::query_scalar(why).fetch_one(db).await?)
}

/// The most missions of one user that the replicas of the last ten minutes let be planned at once: that of the one that
/// lets the most.
///
/// # Errors
/// Whatever the database answers.
pub async fn user_concurrency(db: &mut PgConnection) -> Result<Option<i32>, StoreError> {
    let most = "SELECT max(user_concurrency) FROM mana_ai.replicas WHERE seen_at > clock_timestamp() - interval '10 minutes'";
    Ok(sqlx::query_scalar(most).fetch_one(db).await?)
}

/// When a tick of any replica last ended; `None` where none ever has.
///
/// # Errors
/// Whatever the database answers.
pub async fn last_tick(db: &mut PgConnection) -> Result<Option<DbTime>, StoreError> {
    // Replicas are forgotten after a day, but only by the tick of another one.
    Ok(sqlx::query_scalar("SELECT max(seen_at) FROM mana_ai.replicas").fetch_one(db).await?)
}

/// Writes this replica's row after a tick, and forgets the replicas that were not seen for a day.
///
/// # Errors
/// Whatever the database answers.
pub async fn report_tick(
    store: &Store,
    replica: Uuid,
    user_concurrency: u32,
    breaker: Option<String>,
    last_tick: &Value,
) -> Result<(), StoreError> {
    // A crash may lose the row without harm, so COMMIT need not wait for the disk.
    let written = sqlx::query(
        "WITH lazily AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
         gone AS (DELETE FROM mana_ai.replicas WHERE seen_at < clock_timestamp() - interval '1 day')
         INSERT INTO mana_ai.replicas (id, version, breaker, last_tick, user_concurrency)
         SELECT $1, $2, $3, $4, $5 FROM lazily
         ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp(), breaker = excluded.breaker, last_tick = excluded.last_tick",
    )
    .bind(replica)
    .bind(env!("CARGO_PKG_VERSION"))
    .bind(breaker)
    .bind(Json(last_tick))
    .bind(i32::try_from(user_concurrency).unwrap_or(i32::MAX));
    store.transaction(async |tx| written.execute(&mut **tx).await.map(drop).map_err(StoreError::from)).await
}
