//! How an attempt ends for its mission's row of the schedule: one type, one pure effect, one statement.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use strum::{IntoStaticStr, VariantArray};

use super::change::{NextSlot, NotBefore, ScheduleChange};
use super::claimed::ClaimedMission;
use crate::domain::run::RunEnd;
use crate::store::{Store, StoreError, runs};

/// Everything that changes a mission's row. docs/state-machine.md draws them, and says who causes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
pub enum TransitionKind {
    /// A replica takes the mission: [`claim`](super::claim::claim).
    Claimed,
    /// The replica that has it shows that it lives: [`renew`](super::claim::renew).
    Renewed,
    /// [`Transition::Planned`].
    Planned,
    /// [`Transition::SlotFailed`].
    SlotFailed,
    /// [`Transition::RetryAt`].
    RetryAt,
    /// [`Transition::Parked`].
    Parked,
    /// [`Transition::Moved`].
    Moved,
    /// An operator ends its waits: [`release`](super::release::release).
    Released,
    /// A call of its user was given back, for which it waited: `go_on` in `src/store/calls.rs`.
    CallGivenBack,
    /// A device wrote rows of it: [`refresh`](super::refresh::refresh).
    Refreshed,
    /// We restored what a device's old list hid: [`follow_healing_row`](super::heal::follow_healing_row).
    Healed,
    /// The log has no slot for it any more: [`refresh`](super::refresh::refresh).
    Removed,
}

impl TransitionKind {
    /// As docs/state-machine.md names it.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The end of an attempt, as the row of its mission sees it. Each gives the lease back and forgets lost attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// The plan is in the log: the row moves to the next slot and begins anew.
    Planned(NextSlot),
    /// The last attempt failed, and the log says so to the user: the row moves to the next slot.
    SlotFailed {
        /// Where it goes.
        next: NextSlot,
        /// Slots that failed in a row, this one included.
        failed_slots: u32,
        /// What the mission waits at least, however soon the next slot is.
        rest: Option<Duration>,
    },
    /// The same slot will be tried again.
    RetryAt(RetryAt),
    /// Not tried again before a device writes a row of the mission. Quarantined, if the attempt ended so.
    Parked,
    /// The log has the mission at another slot than was claimed, or at none: the row follows.
    Moved(NextSlot),
}

/// When a mission that was given back is due again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAt {
    /// So long after now. Zero means: in the next tick.
    After(Duration),
    /// At this time.
    Time(Timestamp),
}

impl Transition {
    /// Its name in the state machine.
    pub fn kind(&self) -> TransitionKind {
        match self {
            Self::Planned(_) => TransitionKind::Planned,
            Self::SlotFailed { .. } => TransitionKind::SlotFailed,
            Self::RetryAt(_) => TransitionKind::RetryAt,
            Self::Parked => TransitionKind::Parked,
            Self::Moved(_) => TransitionKind::Moved,
        }
    }

    /// What it does to the row, where the attempt ended as `end` says.
    pub fn effect(&self, claimed: &ClaimedMission, end: &RunEnd) -> ScheduleChange {
        match *self {
            Self::Planned(next) => ScheduleChange {
                lease_must_run: true,
                failed_slots: Some(0),
                waits: end.reason.clone(),
                ..ScheduleChange::to(next, NotBefore::Lifted)
            },
            Self::SlotFailed { next, failed_slots, rest } => ScheduleChange {
                lease_must_run: true,
                failed_slots: Some(failed_slots),
                waits: end.reason.clone(),
                ..ScheduleChange::to(next, rest.map_or(NotBefore::Lifted, NotBefore::Rest))
            },
            // Not claimed again in the same tick, whatever the slot is.
            Self::Moved(next) => ScheduleChange {
                failed_slots: Some(0),
                ..ScheduleChange::to(next, NotBefore::Rest(Duration::ZERO))
            },
            // A run before its slot leaves `not_before` as it was; the reason in `waits` is its own.
            Self::RetryAt(_) if claimed.forced => ScheduleChange::stay(claimed, end, NotBefore::Keep),
            Self::RetryAt(RetryAt::After(wait)) => ScheduleChange::stay(claimed, end, NotBefore::After(wait)),
            Self::RetryAt(RetryAt::Time(at)) => ScheduleChange::stay(claimed, end, NotBefore::Time(at)),
            Self::Parked => ScheduleChange::stay(claimed, end, NotBefore::NewRow),
        }
    }
}

/// Ends the claimed mission's lease as `transition` says, and its run in the ledger as `end` says. `false` where
/// the lease is no longer ours: then the row stays as it is, and the run still ends.
///
/// # Errors
/// Whatever the database answers.
#[tracing::instrument(level = "debug", skip_all, fields(transition = transition.kind().name()))]
pub async fn apply(
    tx: &mut PgConnection,
    claimed: &ClaimedMission,
    transition: Transition,
    end: &RunEnd,
) -> Result<bool, StoreError> {
    let held = transition.effect(claimed, end).write(tx, claimed).await?;
    runs::end(tx, claimed, end).await?;
    Ok(held)
}

/// [`apply`] in a transaction of its own, for an attempt that writes nothing to the log.
///
/// # Errors
/// Whatever the database answers.
pub async fn give_back(
    store: &Store,
    claimed: &ClaimedMission,
    transition: Transition,
    end: &RunEnd,
) -> Result<(), StoreError> {
    store.transaction(async |tx| apply(tx, claimed, transition, end).await.map(drop)).await
}
