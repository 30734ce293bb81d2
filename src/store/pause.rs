//! The pause: a row in the database. Each claim looks at it, so it holds in every replica at once.

use sqlx::postgres::PgConnection;

use super::{DbTime, Store, StoreError};

/// From now on no replica claims a mission; attempts that are running go on. Answers since when it is paused.
///
/// # Errors
/// Whatever the database answers.
pub async fn pause(store: &Store) -> Result<DbTime, StoreError> {
    let sql = "INSERT INTO mana_ai.pause AS old DEFAULT VALUES
        ON CONFLICT (singleton) DO UPDATE SET paused_at = old.paused_at RETURNING paused_at";
    store.transaction(async |tx| Ok(sqlx::query_scalar(sql).fetch_one(&mut **tx).await?)).await
}

/// Ends the pause; `false` where there was none.
///
/// # Errors
/// Whatever the database answers.
pub async fn resume(store: &Store) -> Result<bool, StoreError> {
    let sql = "DELETE FROM mana_ai.pause";
    let ended = store.transaction(async |tx| Ok(sqlx::query(sql).execute(&mut **tx).await?)).await?;
    Ok(ended.rows_affected() > 0)
}

/// Since when the runner is paused, if it is.
///
/// # Errors
/// Whatever the database answers.
pub async fn paused_since(db: &mut PgConnection) -> Result<Option<DbTime>, StoreError> {
    Ok(sqlx::query_scalar("SELECT paused_at FROM mana_ai.pause").fetch_optional(db).await?)
}
