//! What the log says of a claimed mission at this moment, compared with what was claimed.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};

use crate::domain::fold::Record;
use crate::domain::history::History;
use crate::domain::mission::{Mission, Standing, Unreadable, Waiting};
use crate::store::StoreError;
use crate::store::log::read::FoldedMission;
use crate::store::schedule::change::NextSlot;
use crate::store::schedule::claimed::ClaimedMission;
use crate::store::schedule::transition::{RetryAt, Transition};

/// Is the claimed mission still to be planned?
pub(super) enum Recheck {
    /// Yes, for exactly the claimed slot.
    Due(Box<Mission>),
    /// No. `transition` changes its row, `reason` is shown to operators.
    Skip { transition: Transition, reason: String },
}

/// Compares the claim with the mission's rows as they are.
///
/// # Errors
/// [`StoreError::Invisible`] where no row is to be seen, and what makes the mission unreadable.
pub(super) fn recheck(
    folded: FoldedMission,
    claimed: &ClaimedMission,
    now: Timestamp,
    default_zone: &TimeZone,
) -> Result<Recheck, super::AttemptError> {
    let FoldedMission { record, history, change_count, .. } = folded;
    // A claimed mission had rows a moment ago, and the log only grows.
    if change_count == 0 {
        return Err(StoreError::Invisible.into());
    }
    let moved = |next_run_at| Ok(Recheck::moved(NextSlot { next_run_at, change_count }));
    let Some(record) = record? else { return moved(None) };
    match (Standing::of(&record)?, claimed.forced) {
        (Standing::Scheduled(slot), _) if slot == claimed.slot.0 => {}
        // Claimed before its slot: the slot of the attempt is the moment of the claim, and the mission's own slot
        // stays. One that was due all along, which the schedule did not know, is to be claimed for its slot.
        (Standing::Scheduled(slot), true) if slot > claimed.claimed_at.0 => {}
        (Standing::Unscheduled, true) => {}
        (Standing::Off(reason), true) => return Ok(Recheck::later(RetryAt::After(Duration::ZERO), reason)),
        (Standing::Scheduled(slot), _) => return moved(Some(slot)),
        (Standing::Unscheduled | Standing::Off(_), false) => return moved(None),
    }
    Ok(plannable(record, history, claimed, now, default_zone)?)
}

/// Checks what the slot does not tell: can the mission be read, can our row be written, is it waiting?
fn plannable(
    record: Record,
    history: History,
    claimed: &ClaimedMission,
    now: Timestamp,
    default_zone: &TimeZone,
) -> Result<Recheck, Unreadable> {
    let mission = Mission::read(&claimed.mission_id, &record)?;
    drop(record);
    let mission = mission.healed(&history);
    drop(history);
    // Before the model is paid: our row must win over the clocks of its fields, and the cadence must have a next slot.
    mission.write_timestamp(now)?;
    mission.next_run(now, default_zone)?;
    Ok(match mission.waits(now) {
        None => Recheck::Due(Box::new(mission)),
        Some(waiting @ (Waiting::ForegroundRunner { until } | Waiting::Unread { until })) => {
            Recheck::later(RetryAt::Time(until), waiting.to_string())
        }
        Some(waiting) => Recheck::Skip { transition: Transition::Parked, reason: waiting.to_string() },
    })
}

impl Recheck {
    fn moved(next: NextSlot) -> Self {
        let reason = "the mission changed, it is not due at this slot any more".to_owned();
        Self::Skip { transition: Transition::Moved(next), reason }
    }

    fn later(at: RetryAt, reason: String) -> Self {
        Self::Skip { transition: Transition::RetryAt(at), reason }
    }
}
