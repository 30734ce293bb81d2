//! The missions to look at for what a stale list hid, `mana_ai.mission_healing`: the refresh queues a mission once for
//! each row of a device beside rows of ours; what a look did is kept for whoever asks.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{DbTime, Store, StoreError, UserTx, sql_time};
use crate::domain::healing::Lost;

/// A mission to look at.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct QueuedLook {
    /// The user whose mission it is.
    pub user_id: String,
    /// Its `record_id`.
    pub mission_id: String,
    /// How many healing rows have followed one another so far, each overwritten by the same loss; none where the last
    /// is older than an hour.
    pub in_a_row: i32,
}

/// What came of a look at a mission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Nothing is lost, or the mission is deleted or ended.
    Nothing,
    /// A healing row restored this.
    Healed(Lost),
    /// The row of a plan restored this along with it.
    Planned(Lost),
    /// Something is lost and stays so until the next plan's row, for this reason.
    Left(String),
}

/// Healing rows in a row, as far as the last is younger than an hour: whoever writes later is hardly the same tab, and
/// would else never get what that one hid.
macro_rules! in_a_row {
    () => {
        "(CASE WHEN healed_at > clock_timestamp() - interval '1 hour' THEN in_a_row ELSE 0 END)"
    };
}

/// Queues the missions that `$missions` selects with the number of their rows. Reads the keys of the rows alone, which
/// unpacks no `data`. What the overlap shows again was noticed before, and its count is no larger.
macro_rules! notice {
    ($missions:literal) => {
        concat!(
            "INSERT INTO mana_ai.mission_healing AS old (user_id, mission_id, change_count) ",
            $missions,
            " ON CONFLICT (user_id, mission_id) DO UPDATE SET change_count = excluded.change_count
                  WHERE old.change_count < excluded.change_count"
        )
    };
}

/// In one pass over the rows. A join of the view with itself takes minutes at some ten thousand rows while the planner
/// has no statistics, as on a log that was just restored.
const NOTICE_WHOLE: &str = notice!(
    "SELECT user_id, record_id, count(*) FROM mana_ai.mission_writers
     GROUP BY user_id, record_id HAVING bool_or(ours) AND bool_or(NOT ours)"
);
/// By the index on `created_at`, and then by each mission's key: few missions have a row newer than `$1`.
const NOTICE_TOUCHED: &str = notice!(
    "SELECT user_id, record_id, count(*)
     FROM (SELECT DISTINCT user_id, record_id FROM mana_ai.mission_writers WHERE created_at > $1 AND NOT ours) AS touched
     JOIN mana_ai.mission_writers USING (user_id, record_id)
     GROUP BY user_id, record_id HAVING bool_or(ours)"
);

/// Queues every mission with rows of ours that has a row of a device newer than `since`, or at all where that is
/// `None`, unless it was looked at with that row.
///
/// # Errors
/// Whatever the database answers.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn notice(store: &Store, since: Option<Timestamp>) -> Result<(), StoreError> {
    let noticed = match since {
        None => sqlx::query(NOTICE_WHOLE),
        Some(since) => sqlx::query(NOTICE_TOUCHED).bind(sql_time(since)),
    };
    let mut tx = super::schedule::write::begin_long(store).await?;
    noticed.execute(&mut *tx).await?;
    tx.commit().await
}

/// At most `limit` missions to look at.
///
/// # Errors
/// Whatever the database answers.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn queued(store: &Store, limit: u32) -> Result<Vec<QueuedLook>, StoreError> {
    let queued = sqlx::query_as(concat!(
        "SELECT user_id, mission_id, ",
        in_a_row!(),
        " AS in_a_row FROM mana_ai.mission_healing
             WHERE checked_count < change_count ORDER BY user_id, mission_id LIMIT $1",
    ));
    let queued = queued.bind(i64::from(limit));
    store.transaction(async |tx| Ok(queued.fetch_all(&mut **tx).await?)).await
}

/// Keeps what came of a look at a mission with so many rows, ours included.
///
/// # Errors
/// Whatever the database answers.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn keep(
    tx: &mut UserTx,
    mission_id: &str,
    change_count: i64,
    look: &Look,
) -> Result<(), StoreError> {
    let (healing_row, restored, problem) = match look {
        Look::Nothing => (false, Lost::default(), None),
        Look::Healed(lost) => (true, *lost, None),
        Look::Planned(lost) => (false, *lost, None),
        Look::Left(problem) => (false, Lost::default(), Some(problem)),
    };
    let kept = sqlx::query(
        concat!(
            "UPDATE mana_ai.mission_healing SET checked_count = $3, change_count = greatest(change_count, $3),
             in_a_row = CASE WHEN $4 THEN ", in_a_row!(), " + 1 WHEN $5::text IS NULL THEN 0 ELSE in_a_row END,
             healing_rows = healing_rows + $4::int, healed_at = CASE WHEN $4 THEN clock_timestamp() ELSE healed_at END,
             iterations = iterations + $6, feedback = feedback + $7, statuses = statuses + $8,
             proposals = proposals + $9, problem = $5
         WHERE user_id = $1 AND mission_id = $2",
        ),
    );
    let kept = kept.bind(tx.user_id().to_owned()).bind(mission_id).bind(change_count).bind(healing_row);
    let kept = kept.bind(problem).bind(i64::from(restored.iterations)).bind(i64::from(restored.feedback));
    let kept = kept.bind(i64::from(restored.statuses)).bind(i64::from(restored.proposals));
    kept.execute(&mut **tx).await?;
    Ok(())
}

/// Keeps why a look failed, so that the mission is not looked at again before a device writes it.
///
/// # Errors
/// Whatever the database answers.
pub async fn keep_problem(store: &Store, queued: &QueuedLook, problem: &str) -> Result<(), StoreError> {
    let kept = sqlx::query(
        "UPDATE mana_ai.mission_healing SET checked_count = change_count, problem = $3
         WHERE user_id = $1 AND mission_id = $2",
    );
    let kept = kept.bind(&queued.user_id).bind(&queued.mission_id).bind(problem);
    store.transaction(async |tx| Ok(kept.execute(&mut **tx).await.map(drop)?)).await
}

/// What was healed of a mission. None of its text.
#[derive(Debug, Clone, Serialize, ToSchema, sqlx::FromRow)]
#[serde(rename_all = "camelCase")]
pub struct Healing {
    /// Its `record_id`.
    #[serde(skip)]
    pub mission_id: String,
    /// Is a look due in the next tick?
    pub queued: bool,
    /// Healing rows so far.
    pub healing_rows: i64,
    /// Whole iterations that they restored.
    pub iterations: i64,
    /// Texts of feedback that they restored.
    pub feedback: i64,
    /// Statuses and summaries that they restored.
    pub statuses: i64,
    /// Ids of proposals that they restored.
    pub proposals: i64,
    /// When the last healing row was written.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub healed_at: Option<DbTime>,
    /// Why the last look did not restore what is lost; null where it did, or where nothing is.
    pub problem: Option<String>,
}

/// What was healed of the missions of the transaction's user, or of the one named.
///
/// # Errors
/// Whatever the database answers.
pub async fn healings(tx: &mut UserTx, mission_id: Option<&str>) -> Result<Vec<Healing>, StoreError> {
    let user_id = tx.user_id().to_owned();
    let rows = sqlx::query_as(
        "SELECT mission_id, checked_count < change_count AS queued, healing_rows, iterations, feedback, statuses,
             proposals, healed_at, problem
         FROM mana_ai.mission_healing WHERE user_id = $1 AND ($2::text IS NULL OR mission_id = $2)",
    );
    Ok(rows.bind(user_id).bind(mission_id).fetch_all(&mut **tx).await?)
}
