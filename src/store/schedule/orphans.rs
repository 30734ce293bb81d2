//! What the schedule and the queue of looks still have of missions that the log no longer knows.

use super::due::unleased;
use crate::store::log::keys::MissionKeys;
use crate::store::{StoreError, Tx};

/// A row of the slice that follows `$1`, or begins with it where `$2` is null, and ends with `$3`, or with the last row
/// where that is null; unless its key, joined, is among those that the log has there, `$4`. An array, because Postgres
/// hashes it; a join it may plan as a loop in a loop.
macro_rules! orphan {
    ($table:literal) => {
        concat!(
            "mission_id >= $1 AND mission_id IS DISTINCT FROM $2
             AND mission_id <= coalesce($3, (SELECT max(mission_id) FROM ",
            $table,
            ")) AND user_id || E'\n' || mission_id <> ALL ($4)"
        )
    };
}

/// A lease that runs keeps its row: the mission may have come since the log was read.
const DROP: &str = concat!(
    "WITH healing AS (DELETE FROM mana_ai.mission_healing WHERE ",
    orphan!("mana_ai.mission_healing"),
    "), schedule AS (DELETE FROM mana_ai.mission_schedule WHERE ",
    orphan!("mana_ai.mission_schedule"),
    " AND ",
    unleased!(),
    " RETURNING 1)
     SELECT count(*) FROM schedule"
);

/// Drops the rows of missions that the log does not have among `known`, those of the ids after `after`, up to `last`.
/// Returns how many the schedule had.
#[tracing::instrument(level = "debug", skip_all)]
pub(super) async fn drop_orphans(
    tx: &mut Tx,
    after: Option<&str>,
    last: Option<&str>,
    known: &[MissionKeys],
) -> Result<u64, StoreError> {
    let joined = known.iter().map(|mission| format!("{}\n{}", mission.user_id, mission.mission_id));
    let dropped = sqlx::query_scalar(DROP).bind(after.unwrap_or_default()).bind(after).bind(last);
    let dropped: i64 = dropped.bind(joined.collect::<Vec<_>>()).fetch_one(&mut **tx).await?;
    Ok(dropped.unsigned_abs())
}
