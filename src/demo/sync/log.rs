//! mana-sync's table, read and written for one user at a time.

use jiff_sqlx::Timestamp as SqlTime;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::postgres::{PgPool, PgPoolOptions, Postgres};
use sqlx::types::Json;
use sqlx::{Executor as _, Transaction};
use uuid::Uuid;

/// Roles belong to the whole cluster: another demo may create this one at this moment.
const SET_UP: &str = "
DO $$ BEGIN CREATE ROLE mana_ai_demo_sync NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
DO $$ BEGIN
    IF NOT pg_has_role(current_user, 'mana_ai_demo_sync', 'MEMBER') THEN
        EXECUTE format('GRANT mana_ai_demo_sync TO %I', current_user);
    END IF;
END $$;
GRANT SELECT, INSERT ON sync_changes TO mana_ai_demo_sync;";

/// No condition on the user: row security alone decides whose rows these are.
const PULL: &str = r#"
SELECT id, app_id, table_name, record_id, op, data, field_timestamps, client_id, schema_version, actor,
    to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at_text
FROM sync_changes
WHERE app_id = $1 AND client_id <> $2
    AND ($3::timestamptz IS NULL OR created_at > $3 OR (created_at = $3 AND id > $4))
ORDER BY created_at, id LIMIT $5"#;

const PUSH: &str = "
INSERT INTO sync_changes (id, app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id, actor)
SELECT id, $1, table_name, record_id, $2, op, data, coalesce(field_timestamps, '{}'), $3, actor
FROM jsonb_to_recordset($4::jsonb)
    AS pushed(id uuid, table_name text, record_id text, op text, data jsonb, field_timestamps jsonb, actor jsonb)
ON CONFLICT (id) DO NOTHING";

/// A row as a device pulls it.
#[derive(Debug, Serialize, sqlx::FromRow)]
pub(super) struct LogRow {
    id: Uuid,
    app_id: String,
    table_name: String,
    record_id: String,
    op: String,
    data: Option<Json<Box<RawValue>>>,
    field_timestamps: Option<Json<Box<RawValue>>>,
    client_id: String,
    #[serde(rename = "created_at")]
    created_at_text: String,
    schema_version: i32,
    actor: Option<Json<Box<RawValue>>>,
}

/// A row as a device pushes it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct NewRow {
    pub id: Uuid,
    pub table_name: String,
    pub record_id: String,
    pub op: Op,
    pub data: Box<RawValue>,
    pub field_timestamps: Option<Box<RawValue>>,
    pub actor: Option<Box<RawValue>>,
}

/// What a row does to its record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Op {
    Insert,
    Update,
    Delete,
}

/// From where a device reads on: after this row, or after this time.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    pub since: Option<SqlTime>,
    pub after: Option<Uuid>,
}

/// The table, as the stand-in sees it.
#[derive(Debug, Clone)]
pub(super) struct SyncLog {
    db: PgPool,
}

impl SyncLog {
    /// Connects, and makes the role that row security binds.
    pub(super) async fn open(url: &str) -> sqlx::Result<Self> {
        let db = PgPoolOptions::new().max_connections(8).connect(url).await?;
        db.execute(SET_UP).await?;
        Ok(Self { db })
    }

    /// The rows of `app` that the user may see and another client wrote, in the order of the log.
    pub(super) async fn pull(
        &self,
        user: &str,
        app: &str,
        client_id: &str,
        cursor: Cursor,
        limit: i64,
    ) -> sqlx::Result<Vec<LogRow>> {
        let mut tx = self.begin(user).await?;
        let rows =
            sqlx::query_as(PULL).bind(app).bind(client_id).bind(cursor.since).bind(cursor.after).bind(limit);
        let rows = rows.fetch_all(&mut *tx).await?;
        tx.commit().await?;
        Ok(rows)
    }

    /// Appends all rows, or none. A row whose id is there already is left as it is.
    pub(super) async fn push(
        &self,
        user: &str,
        app: &str,
        client_id: &str,
        rows: &[NewRow],
    ) -> Result<(), super::error::SyncError> {
        let rows =
            serde_json::to_string(rows).map_err(|error| super::error::SyncError::bad(error.to_string()))?;
        let mut tx = self.begin(user).await?;
        sqlx::query(PUSH).bind(app).bind(user).bind(client_id).bind(rows).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// As mana-sync begins: the user is set for this transaction alone.
    async fn begin(&self, user: &str) -> sqlx::Result<Transaction<'static, Postgres>> {
        let mut tx = self.db.begin().await?;
        tx.execute("SET LOCAL ROLE mana_ai_demo_sync").await?;
        sqlx::query("SELECT set_config('app.current_user_id', $1, true)")
            .bind(user)
            .execute(&mut *tx)
            .await?;
        Ok(tx)
    }
}
