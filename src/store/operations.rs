//! What operators ask for: pause and resume, lift a quarantine, who is at work, where a mission stands.

use serde::Serialize;
use serde_json::Value;
use sqlx::types::Json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{DbTime, Store, StoreError, TRANSACTION, UserTx, within};

/// From now on nobody claims a mission, in any replica; what is in flight goes on. Since when that is so.
pub async fn pause(store: &Store) -> Result<DbTime, StoreError> {
    within(TRANSACTION, async {
        let mut tx = store.begin().await?;
        let since = sqlx::query_scalar(
            "INSERT INTO mana_ai.pause AS old DEFAULT VALUES
             ON CONFLICT (singleton) DO UPDATE SET paused_at = old.paused_at RETURNING paused_at",
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(since)
    })
    .await
}

/// Ends the pause; `false` where there was none.
pub async fn resume(store: &Store) -> Result<bool, StoreError> {
    within(TRANSACTION, async {
        let mut tx = store.begin().await?;
        let ended = sqlx::query("DELETE FROM mana_ai.pause").execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
        Ok(ended > 0)
    })
    .await
}

/// Lifts every wait of a mission: quarantine, backoff, rest. `false` where it has none to lift.
pub async fn lift_waits(store: &Store, user_id: &str, mission_id: &str) -> Result<bool, StoreError> {
    within(TRANSACTION, async {
        let mut tx = store.begin().await?;
        let lifted = sqlx::query(
            "UPDATE mana_ai.mission_schedule SET quarantined = false, not_before = '-infinity', waits = NULL,
                 attempts = 0, lost = 0, refusals = 0, failed_slots = 0
             WHERE user_id = $1 AND mission_id = $2 AND unreadable IS NULL AND lease_token IS NULL
                 AND (quarantined OR not_before > clock_timestamp())",
        );
        let lifted = lifted.bind(user_id).bind(mission_id).execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
        Ok(lifted > 0)
    })
    .await
}

/// Where a mission stands in the schedule. None of its text.
#[derive(Debug, Clone, Serialize, ToSchema, sqlx::FromRow)]
#[serde(rename_all = "camelCase")]
pub struct Scheduled {
    /// Which.
    pub mission_id: String,
    /// Its slot; null where it cannot be read.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_run_at: Option<DbTime>,
    /// Why the log makes no mission.
    pub unreadable: Option<String>,
    /// Not claimed before this.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub not_before: Option<DbTime>,
    /// Not claimed before a device writes a row of it.
    pub until_new_row: bool,
    /// Set aside: it cannot be planned, or its attempts ended with their processes.
    pub quarantined: bool,
    /// What the last attempt left as the reason to wait.
    pub waits: Option<String>,
    /// Until when whoever is at it keeps it without a sign of life.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub lease_until: Option<DbTime>,
    /// Attempts at this slot.
    pub attempts: i32,
    /// Attempts in a row that nobody came back from.
    pub lost: i32,
    /// Slots that failed in a row.
    pub failed_slots: i32,
}

/// The schedule's rows of the transaction's user, or of the one mission named.
pub async fn scheduled(tx: &mut UserTx, mission_id: Option<&str>) -> Result<Vec<Scheduled>, StoreError> {
    let user_id = tx.user_id().to_owned();
    let rows = sqlx::query_as(
        "SELECT mission_id, next_run_at, unreadable, waits, quarantined, attempts, lost, failed_slots,
             CASE WHEN isfinite(not_before) THEN not_before END AS not_before, not_before = 'infinity' AS until_new_row,
             CASE WHEN lease_until > clock_timestamp() THEN lease_until END AS lease_until
         FROM mana_ai.mission_schedule WHERE user_id = $1 AND ($2::text IS NULL OR mission_id = $2)
         ORDER BY mission_id",
    );
    Ok(rows.bind(user_id).bind(mission_id).fetch_all(&mut **tx).await?)
}

/// Since when the runner is paused, if it is.
pub async fn paused_since(tx: &mut UserTx) -> Result<Option<DbTime>, StoreError> {
    Ok(sqlx::query_scalar("SELECT paused_at FROM mana_ai.pause").fetch_optional(&mut **tx).await?)
}

/// Why mana-llm is not called, if none of the replicas that were seen lately calls it: what the latest says.
pub async fn breaker(tx: &mut UserTx) -> Result<Option<String>, StoreError> {
    let why = "SELECT CASE WHEN bool_and(breaker IS NOT NULL) THEN (array_agg(breaker ORDER BY seen_at DESC))[1] END
        FROM mana_ai.replicas WHERE seen_at > clock_timestamp() - interval '10 minutes'";
    Ok(sqlx::query_scalar(why).fetch_one(&mut **tx).await?)
}

/// One process that works on this database.
#[derive(Debug, Clone, Serialize, ToSchema, sqlx::FromRow)]
#[serde(rename_all = "camelCase")]
pub struct Replica {
    /// As in the runs.
    pub id: Uuid,
    /// Of mana-ai.
    pub version: String,
    /// When its first tick ended.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: DbTime,
    /// When its last tick ended.
    #[schema(value_type = String, format = DateTime)]
    pub seen_at: DbTime,
    /// Why it does not call mana-llm; null where it does.
    pub breaker: Option<String>,
    /// Missions that it has at work.
    pub leases: i64,
    /// The counts of its last tick.
    #[schema(value_type = Object)]
    pub last_tick: Json<Value>,
}

/// Everything that an operator asks first.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The database's clock.
    #[schema(value_type = String, format = DateTime)]
    pub now: DbTime,
    /// Since when the runner is paused; null where it is not.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub paused_since: Option<DbTime>,
    /// Missions that could be claimed now; counted up to 10,000.
    pub due: i64,
    /// The oldest slot among them.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub oldest_due: Option<DbTime>,
    /// Missions that are being worked on.
    pub leases: i64,
    /// Missions that are set aside; counted up to 10,000.
    pub quarantined: i64,
    /// When the schedule last followed the log.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub refreshed_at: Option<DbTime>,
    /// The processes that were seen in the last day, the latest first.
    pub replicas: Vec<Replica>,
}

#[derive(sqlx::FromRow)]
struct Counts {
    now: DbTime,
    paused_since: Option<DbTime>,
    due: i64,
    oldest_due: Option<DbTime>,
    leases: i64,
    quarantined: i64,
    refreshed_at: Option<DbTime>,
}

/// One page of truth.
pub async fn status(store: &Store) -> Result<Status, StoreError> {
    within(TRANSACTION, async {
        let mut tx = store.begin().await?;
        let counts: Counts = sqlx::query_as(
            "WITH due AS (SELECT next_run_at FROM mana_ai.mission_schedule
                 WHERE next_run_at <= clock_timestamp() AND not_before < 'infinity' AND not_before <= clock_timestamp()
                     AND (lease_until IS NULL OR lease_until <= clock_timestamp()) ORDER BY next_run_at LIMIT 10000)
             SELECT clock_timestamp() AS now, (SELECT paused_at FROM mana_ai.pause) AS paused_since,
                 (SELECT count(*) FROM due) AS due, (SELECT min(next_run_at) FROM due) AS oldest_due,
                 (SELECT count(*) FROM mana_ai.mission_schedule WHERE lease_until > clock_timestamp()) AS leases,
                 (SELECT count(*) FROM (SELECT FROM mana_ai.mission_schedule
                      WHERE unreadable IS NOT NULL OR quarantined LIMIT 10000) AS aside) AS quarantined,
                 (SELECT refreshed_at FROM mana_ai.refresh_cursor WHERE isfinite(refreshed_at)) AS refreshed_at",
        )
        .fetch_one(&mut *tx)
        .await?;
        let replicas = sqlx::query_as(
            "SELECT id, version, started_at, seen_at, breaker, last_tick, (
                 SELECT count(*) FROM mana_ai.mission_schedule JOIN mana_ai.mission_runs AS run ON run.id = run_id
                 WHERE lease_until > clock_timestamp() AND run.replica = replicas.id) AS leases
             FROM mana_ai.replicas WHERE seen_at > clock_timestamp() - interval '1 day' ORDER BY seen_at DESC LIMIT 100",
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let Counts { now, paused_since, due, oldest_due, leases, quarantined, refreshed_at } = counts;
        Ok(Status { now, paused_since, due, oldest_due, leases, quarantined, refreshed_at, replicas })
    })
    .await
}

/// What a replica says after each tick, for [`status`]; those that are gone are forgotten after a day.
pub async fn heartbeat_row(
    store: &Store,
    replica: Uuid,
    breaker: Option<String>,
    last_tick: &Value,
) -> Result<(), StoreError> {
    within(TRANSACTION, async {
        let mut tx = store.begin().await?;
        // Nobody misses it after a crash, so the tick need not wait for the disk.
        sqlx::query(
            "WITH lazily AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
             gone AS (DELETE FROM mana_ai.replicas WHERE seen_at < clock_timestamp() - interval '1 day')
             INSERT INTO mana_ai.replicas (id, version, breaker, last_tick)
             SELECT $1, $2, $3, $4 FROM lazily
             ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp(), breaker = excluded.breaker, last_tick = excluded.last_tick",
        )
        .bind(replica)
        .bind(env!("CARGO_PKG_VERSION"))
        .bind(breaker)
        .bind(Json(last_tick))
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    })
    .await
}
