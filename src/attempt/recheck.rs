//! What the log says of a claimed mission at this moment, compared with what was claimed.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};

use crate::domain::fold::Record;
use crate::domain::mission::{Mission, Standing, Unreadable, Waiting};
use crate::store::StoreError;
use crate::store::schedule::claim::{ClaimedMission, Retry};

pub(super) enum Finding {
    /// To be planned, for exactly the claimed slot.
    Due(Box<Mission>),
    /// Paused, deleted, or at another slot.
    Moved { next: Option<Timestamp> },
    /// Due, but to be left for now.
    Waits { retry: Retry, reason: String },
}

pub(super) fn recheck(
    record: Option<Record>,
    claimed: &ClaimedMission,
    now: Timestamp,
    default_zone: &TimeZone,
) -> Result<Finding, Unreadable> {
    let Some(record) = record else { return Ok(Finding::Moved { next: None }) };
    match Standing::of(&record)? {
        Standing::Scheduled(slot) if slot == claimed.slot.0 => {}
        // The slot is this moment, and what the mission has stays as it is. One that was due all along, which
        // the schedule did not know, is to be claimed for its slot.
        Standing::Scheduled(slot) if claimed.forced && slot > claimed.claimed_at.0 => {}
        Standing::Unscheduled if claimed.forced => {}
        Standing::Off(reason) if claimed.forced => {
            return Ok(Finding::Waits { retry: Retry::After(Duration::ZERO), reason });
        }
        Standing::Scheduled(slot) => return Ok(Finding::Moved { next: Some(slot) }),
        Standing::Unscheduled | Standing::Off(_) => return Ok(Finding::Moved { next: None }),
    }
    let mission = Mission::read(&claimed.mission_id, &record)?;
    // Before anything is spent: could a result be written at all, and is there a slot to go to?
    mission.write_timestamp(now)?;
    mission.next_run(now, default_zone)?;
    Ok(match mission.waits(now) {
        Some(waiting) => {
            let retry = if let Waiting::ForegroundRunner { until } = waiting {
                Retry::At(until)
            } else {
                Retry::OnNewRow
            };
            Finding::Waits { retry, reason: waiting.to_string() }
        }
        None => Finding::Due(Box::new(mission)),
    })
}

/// A claimed mission had rows a moment ago, and the log only grows.
pub(super) fn visible(change_count: i64) -> Result<i64, StoreError> {
    if change_count == 0 { Err(StoreError::Invisible) } else { Ok(change_count) }
}
