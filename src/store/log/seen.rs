//! Are there rows that a user's own transaction does not see? The view shows rows of all users, whatever the policies for
//! users are.

use crate::store::{StoreError, UserTx};

/// Has the transaction's user rows of missions, or of the one named?
///
/// # Errors
/// Whatever the database answers.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn has_rows(tx: &mut UserTx, mission_id: Option<&str>) -> Result<bool, StoreError> {
    let seen = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM mana_ai.mission_keys
         WHERE user_id = $1 AND ($2::text IS NULL OR record_id = $2))",
    );
    Ok(seen.bind(tx.user_id().to_owned()).bind(mission_id).fetch_one(&mut **tx).await?)
}
