//! The operational summary: how much is due, who works on it, and since when it is paused.

use serde::Serialize;
use utoipa::ToSchema;

use crate::store::pause::paused_since;
use crate::store::replicas::{Replica, replicas};
use crate::store::schedule::queries::{ScheduleCounts, counts};
use crate::store::{DbTime, Store, StoreError};

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
    /// Missions whose slot has come, and that wait because their user's calls of the last 24 hours are used up
    /// (CALLS_PER_USER_PER_DAY); counted up to 10,000.
    pub over_budget: i64,
    /// When the schedule last followed the log.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub refreshed_at: Option<DbTime>,
    /// When the last comparison with the whole log that came to its end began.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub compared_at: Option<DbTime>,
    /// When the comparison under way began; null between two of them.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub comparing_since: Option<DbTime>,
    /// Rows of the log that the comparison under way has read so far.
    pub compared_rows: i64,
    /// The processes that were seen in the last day, the latest first.
    pub replicas: Vec<Replica>,
}

/// Looks all of it up.
///
/// # Errors
/// Whatever the database answers.
pub async fn status(store: &Store) -> Result<Status, StoreError> {
    let ScheduleCounts {
        now,
        due,
        oldest_due,
        leases,
        quarantined,
        over_budget,
        refreshed_at,
        compared_at,
        comparing_since,
        compared_rows,
    } = counts(store).await?;
    let asked = store.transaction(async |tx| Ok((paused_since(tx).await?, replicas(tx).await?)));
    let (paused_since, replicas) = asked.await?;
    Ok(Status {
        now,
        paused_since,
        due,
        oldest_due,
        leases,
        quarantined,
        over_budget,
        refreshed_at,
        compared_at,
        comparing_since,
        compared_rows,
        replicas,
    })
}
