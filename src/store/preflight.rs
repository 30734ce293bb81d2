//! The question a tick asks before anything else: what time is it, and could a result be stored?

use jiff::Timestamp;

use super::{DbTime, Store, StoreError};
use crate::store::log::may_read_and_write;

/// What a tick begins with.
#[derive(Debug, Clone, Copy)]
pub struct Preflight {
    /// The database's clock. It decides what is due, over all replicas.
    pub now: Timestamp,
    /// Since when an operator wants no mission to be begun.
    pub paused_since: Option<DbTime>,
}

/// Asks the database for its clock and for the pause, and whether it takes our writes: where nothing can be
/// stored, no model should be called.
///
/// # Errors
/// [`StoreError::ReadOnly`] on a standby, [`StoreError::NotSetUp`] without the privileges on the log, and
/// whatever the database answers.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn preflight(store: &Store) -> Result<Preflight, StoreError> {
    let asked = store.transaction(async |tx| {
        let sql = concat!(
            "SELECT clock_timestamp(), (SELECT paused_at FROM mana_ai.pause),
                 current_setting('transaction_read_only') = 'off', ",
            may_read_and_write!()
        );
        Ok(sqlx::query_as(sql).fetch_one(&mut **tx).await?)
    });
    let (DbTime(now), paused_since, writable, allowed): (_, _, bool, bool) = asked.await?;
    match (writable, allowed) {
        (false, _) => Err(StoreError::ReadOnly),
        (_, false) => Err(StoreError::NotSetUp("role mana_ai may not read and write sync_changes".into())),
        _ => Ok(Preflight { now, paused_since }),
    }
}
