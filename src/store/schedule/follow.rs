//! Brings the schedule's rows of some missions up to the log: all rows of each are folded again over the few fields that
//! decide due-ness. Nothing is merged, so a late, repeated or reordered row cannot leave the schedule wrong.

use jiff::Timestamp;

use super::write::{Changed, MissionSlot, write};
use crate::domain::fold::Record;
use crate::domain::mission::Standing;
use crate::store::log::keys::MissionKeys;
use crate::store::log::schedule_fields::{ScheduleFold, fold_schedule_fields};
use crate::store::{StoreError, Tx};

/// What was found where missions were folded.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Found {
    /// Rows of the log that were read.
    pub rows: u64,
    /// Rows of the schedule that were not as the log has them.
    pub changed: u64,
    /// Missions that turned out unreadable, with the reason.
    pub unreadable: Vec<(String, String)>,
}

impl Found {
    /// Adds what was found in other missions.
    pub(super) fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.changed += other.changed;
        self.unreadable.extend(other.unreadable);
    }

    fn count(&mut self, changed: Vec<Changed>) {
        self.changed += changed.len() as u64;
        let unreadable = changed.into_iter().filter_map(|row| Some((row.mission_id, row.unreadable?)));
        self.unreadable.extend(unreadable);
    }
}

/// Missions of so many rows are folded at once, or a single one with more: that bounds the memory and the time of a
/// statement.
const ROWS: i64 = 8_000;

/// Folds these missions, and writes what the schedule has otherwise. `forced`: also where the log has fewer rows than the
/// schedule knows of.
#[tracing::instrument(level = "debug", skip_all)]
pub(super) async fn follow(
    tx: &mut Tx,
    missions: &[MissionKeys],
    forced: bool,
    found: &mut Found,
) -> Result<(), StoreError> {
    let (mut group, mut rows) = (Vec::new(), 0);
    for (n, mission) in missions.iter().enumerate() {
        group.push((mission.user_id.clone(), mission.mission_id.clone()));
        rows += mission.rows;
        let next = missions.get(n + 1).map_or(ROWS, |next| next.rows);
        if rows + next > ROWS || n + 1 == missions.len() {
            let slots = fold_schedule_fields(tx, &group).await?.into_iter().map(MissionSlot::from);
            let slots: Vec<MissionSlot> =
                slots.inspect(|slot| found.rows += slot.change_count.unsigned_abs()).collect();
            found.count(write(tx, slots, forced).await?);
            (group, rows) = (Vec::new(), 0);
        }
    }
    Ok(())
}

impl From<ScheduleFold> for MissionSlot {
    fn from(fold: ScheduleFold) -> Self {
        let ((user_id, mission_id), change_count) = (fold.key, fold.change_count);
        Self { user_id, mission_id, slot: slot(fold.record), change_count }
    }
}

/// The next slot of what was folded, `None` where it has none; `Err` where it is no readable mission.
fn slot(record: Result<Option<Record>, StoreError>) -> Result<Option<Timestamp>, String> {
    let Some(record) = record.map_err(|error| error.to_string())? else { return Ok(None) };
    match Standing::of(&record).map_err(|error| error.to_string())? {
        Standing::Scheduled(slot) => Ok(Some(slot)),
        Standing::Unscheduled | Standing::Off(_) => Ok(None),
    }
}
