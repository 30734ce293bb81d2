//! The missions to look at for what a stale list hid, `mana_ai.mission_healing`: the refresh queues a mission once for
//! each row of a device beside rows of ours; what a look did is kept for whoever asks.

use serde::Serialize;
use utoipa::ToSchema;

use super::log::keys::MissionKeys;
use super::schedule::due::due;
use super::{DbTime, Store, StoreError, Tx, UserTx};
use crate::domain::healing::Lost;

/// A mission to look at.
#[derive(Debug, Clone, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct QueuedLook {
    /// The user whose mission it is.
    pub user_id: String,
    /// Its `record_id`.
    pub mission_id: String,
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

/// Where the number of rows is not the one that was noticed before.
const NOTICE: &str = "
INSERT INTO mana_ai.mission_healing AS old (user_id, mission_id, change_count)
SELECT noticed.* FROM unnest($1::text[], $2::text[], $3::bigint[]) AS noticed (user_id, mission_id, change_count)
LEFT JOIN mana_ai.mission_healing AS known USING (user_id, mission_id)
WHERE known.change_count IS DISTINCT FROM noticed.change_count
-- Fewer rows than before: some of the log were removed, and what is left has not been looked at.
ON CONFLICT (user_id, mission_id) DO UPDATE SET change_count = excluded.change_count,
    checked_count = CASE WHEN excluded.change_count < old.change_count THEN 0 ELSE old.checked_count END";

/// Queues these missions, which have rows of ours and a device's, each unless it was looked at with all its rows.
#[tracing::instrument(level = "debug", skip_all)]
pub(in crate::store) async fn notice(
    tx: &mut Tx,
    missions: impl Iterator<Item = &MissionKeys>,
) -> Result<(), StoreError> {
    let (mut users, mut ids, mut counts) = (vec![], vec![], vec![]);
    for mission in missions {
        users.push(mission.user_id.as_str());
        ids.push(mission.mission_id.as_str());
        counts.push(mission.rows);
    }
    if !ids.is_empty() {
        sqlx::query(NOTICE).bind(users).bind(ids).bind(counts).execute(&mut **tx).await?;
    }
    Ok(())
}

/// The missions that are due are looked up one by one, by the key of the schedule: a join may be planned as a loop.
const QUEUED: &str = concat!(
    "SELECT user_id, mission_id FROM mana_ai.mission_healing AS queued
     WHERE checked_count < change_count AND (user_id, mission_id) > ($1, $2) AND ($4 OR (
         SELECT ",
    due!("now()"),
    " FROM mana_ai.mission_schedule AS scheduled
         WHERE scheduled.user_id = queued.user_id AND scheduled.mission_id = queued.mission_id) IS NOT TRUE)
     ORDER BY user_id, mission_id LIMIT $3"
);

/// The next missions to look at, at most `limit`, in the order of their ids after the one named; those that are due only
/// where `with_due` is set.
///
/// # Errors
/// Whatever the database answers.
#[tracing::instrument(level = "debug", skip_all)]
pub async fn queued(
    store: &Store,
    after: &QueuedLook,
    limit: u32,
    with_due: bool,
) -> Result<Vec<QueuedLook>, StoreError> {
    let queued = sqlx::query_as(QUEUED).bind(&after.user_id).bind(&after.mission_id).bind(i64::from(limit));
    let queued = queued.bind(with_due);
    store.transaction(async |tx| Ok(queued.fetch_all(&mut **tx).await?)).await
}

/// How many healing rows have followed one another within an hour each, where a look at the mission is due; `None` where it is not.
///
/// # Errors
/// Whatever the database answers.
pub async fn due_look(tx: &mut UserTx, mission_id: &str) -> Result<Option<u32>, StoreError> {
    let in_a_row = sqlx::query_scalar(
        // Whoever writes an hour later is hardly the same tab, and would else never get what that one hid.
        "SELECT CASE WHEN healed_at > clock_timestamp() - interval '1 hour' THEN in_a_row ELSE 0 END
         FROM mana_ai.mission_healing
         WHERE user_id = $1 AND mission_id = $2 AND checked_count < change_count",
    );
    let user_id = tx.user_id().to_owned();
    let in_a_row: Option<i32> = in_a_row.bind(user_id).bind(mission_id).fetch_optional(&mut **tx).await?;
    Ok(in_a_row.map(|in_a_row| u32::try_from(in_a_row).unwrap_or_default()))
}

/// `$4`: was it a healing row? `$5`: the problem.
const KEEP: &str = "
INSERT INTO mana_ai.mission_healing AS old (user_id, mission_id, change_count, checked_count, in_a_row, healing_rows,
    healed_at, iterations, feedback, statuses, proposals, problem)
VALUES ($1, $2, $3, $3, $4::int, $4::int, CASE WHEN $4 THEN clock_timestamp() END, $6, $7, $8, $9, $5)
ON CONFLICT (user_id, mission_id) DO UPDATE SET
    change_count = excluded.change_count, checked_count = excluded.checked_count, problem = excluded.problem,
    in_a_row = CASE WHEN $4 AND old.healed_at > clock_timestamp() - interval '1 hour' THEN old.in_a_row + 1
        WHEN $4 THEN 1 WHEN $5::text IS NULL THEN 0 ELSE old.in_a_row END,
    healing_rows = old.healing_rows + excluded.healing_rows,
    healed_at = coalesce(excluded.healed_at, old.healed_at),
    iterations = old.iterations + excluded.iterations, feedback = old.feedback + excluded.feedback,
    statuses = old.statuses + excluded.statuses, proposals = old.proposals + excluded.proposals";

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
    let kept = sqlx::query(KEEP).bind(tx.user_id().to_owned()).bind(mission_id).bind(change_count);
    let kept = kept.bind(healing_row).bind(problem).bind(i64::from(restored.iterations));
    let kept = kept.bind(i64::from(restored.feedback)).bind(i64::from(restored.statuses));
    kept.bind(i64::from(restored.proposals)).execute(&mut **tx).await?;
    Ok(())
}

/// Takes a mission out of the queue, of which the row of a slot restored nothing: that row was made from all `change_count`
/// rows, itself included, so a look would find nothing either. A mission that is not queued stays as it is.
///
/// # Errors
/// Whatever the database answers.
pub async fn pass(tx: &mut UserTx, mission_id: &str, change_count: i64) -> Result<(), StoreError> {
    let passed = sqlx::query(
        "UPDATE mana_ai.mission_healing SET change_count = $3, checked_count = $3, in_a_row = 0, problem = NULL
         WHERE user_id = $1 AND mission_id = $2 AND checked_count < change_count",
    );
    passed.bind(tx.user_id().to_owned()).bind(mission_id).bind(change_count).execute(&mut **tx).await?;
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
