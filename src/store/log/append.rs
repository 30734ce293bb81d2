//! Our row in the log, and whether it is the last one.

use sqlx::types::Json;

use crate::domain::change::{APP_ID, CLIENT_ID, NewChange, SCHEMA_VERSION, TABLE_NAME};
use crate::store::{StoreError, UserTx};

/// Appends our one row of a slot. Its `created_at` is this moment and not the start of the transaction: the less
/// time between it and COMMIT, the smaller the chance that a device's cursor passes the row before the
/// device can see it. So this comes late in the transaction.
///
/// # Errors
/// Whatever the database answers, a refusal by row security included.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn append(tx: &mut UserTx, mission_id: &str, change: &NewChange) -> Result<(), StoreError> {
    let (shape, user_id) = (tx.shape(), tx.user_id().to_owned());
    let appended = sqlx::query(shape.sql(
        "INSERT INTO public.sync_changes (user_id, record_id, app_id, table_name, op, data, {clocks}, client_id,
             schema_version, actor, created_at)
         VALUES ($1, $2, $3, $4, 'update', $5, $6, $7, $8, $9, clock_timestamp())",
    ));
    let appended = appended
        .bind(user_id)
        .bind(mission_id)
        .bind(APP_ID)
        .bind(TABLE_NAME)
        .bind(Json(&change.data))
        .bind(Json(change.field_timestamps()))
        .bind(CLIENT_ID)
        .bind(SCHEMA_VERSION)
        .bind(Json(&shape.actor));
    appended.execute(&mut **tx).await?;
    Ok(())
}

/// Has nobody written the mission since there were `change_count` rows? Devices do not take our lock: a row that
/// one commits after our fold and before this is seen here.
///
/// # Errors
/// Whatever the database answers.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn is_last_word(tx: &mut UserTx, mission_id: &str, change_count: i64) -> Result<bool, StoreError> {
    let user_id = tx.user_id().to_owned();
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM public.sync_changes WHERE user_id = $1 AND app_id = $2 AND table_name = $3 AND record_id = $4",
    )
    .bind(user_id)
    .bind(APP_ID)
    .bind(TABLE_NAME)
    .bind(mission_id)
    .fetch_one(&mut **tx)
    .await?;
    Ok(count == change_count)
}
