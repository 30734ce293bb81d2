//! The answer to "why is it not due?", straight from the log.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use crate::domain::change::{Clocks, Fields};
use crate::domain::fold::Record;
use crate::domain::mission::{Mission, Standing, Unreadable};
use crate::store::changes::{FoldedMission, fold_missions};
use crate::store::{Store, StoreError, UserTx};

/// One mission of a user.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspected {
    /// Its `record_id`.
    pub mission_id: String,
    /// Its fields; null where it is hard-deleted or cannot be read.
    pub record: Option<Fields>,
    /// Their clocks.
    pub field_timestamps: Clocks,
    /// Would a tick plan it now?
    pub due: bool,
    /// Why, or why not.
    pub reason: String,
}

/// All missions of the user, or the one named.
pub async fn inspect(
    store: &Store,
    user_id: &str,
    mission_id: Option<&str>,
) -> Result<Vec<Inspected>, StoreError> {
    let mut tx = UserTx::begin(store, user_id).await?;
    let now = tx.began_at();
    let missions: BTreeMap<_, _> = fold_missions(&mut tx, mission_id).await?;
    tx.commit().await?;
    Ok(missions.into_iter().map(|(id, mission)| inspected(id, mission, now)).collect())
}

fn inspected(mission_id: String, mission: FoldedMission, now: Timestamp) -> Inspected {
    let without_record = |mission_id, reason| Inspected {
        mission_id,
        record: None,
        field_timestamps: Clocks::new(),
        due: false,
        reason,
    };
    match mission.record {
        Err(error) => without_record(mission_id, error.to_string()),
        Ok(None) => without_record(mission_id, "hard-deleted".into()),
        Ok(Some(record)) => {
            let verdict = verdict(&mission_id, &record, now);
            let (due, reason) = match verdict {
                Ok(due_since) => (true, due_since),
                Err(reason) => (false, reason),
            };
            Inspected {
                mission_id,
                record: Some(record.fields),
                field_timestamps: record.clocks,
                due,
                reason,
            }
        }
    }
}

/// `Ok` if it is due, with the reason either way.
fn verdict(id: &str, record: &Record, now: Timestamp) -> Result<String, String> {
    let unreadable = |error: Unreadable| format!("cannot be planned: {error}");
    let slot = match Standing::of(record).map_err(unreadable)? {
        Standing::Off(reason) => return Err(reason),
        Standing::Scheduled(slot) if slot > now => return Err(format!("not before {slot}")),
        Standing::Scheduled(slot) => slot,
    };
    let mission = Mission::read(id, record).map_err(unreadable)?;
    mission.write_timestamp(now).map_err(unreadable)?;
    mission.next_run(now, &TimeZone::UTC).map_err(unreadable)?;
    mission.waits(now).map_or(Ok(format!("due since {slot}")), |waiting| Err(waiting.to_string()))
}
