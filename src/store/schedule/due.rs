//! What "due" means, once: as SQL for the claim and the counts, and over a row for whoever asks why not.
//!
//! A mission is due where its slot has come, no wait is left, and nobody holds a lease on it. A claim asks more:
//! that the runner is not paused, and that the mission's user has a place left.

use jiff::Timestamp;

use super::scheduled::Scheduled;

/// A row of `mission_schedule` under nobody's lease. Leases go by the database's clock at this moment, so
/// replicas need not agree on the time.
macro_rules! unleased {
    () => {
        "(lease_until IS NULL OR lease_until <= clock_timestamp())"
    };
}

/// A row of `mission_schedule` under a lease that runs: the opposite of [`unleased`].
macro_rules! leased {
    () => {
        "lease_until > clock_timestamp()"
    };
}

/// A row of `mission_schedule` that is due at the time named. `not_before < 'infinity'` is the condition of the
/// index on what is due: without these words the planner would not use it.
macro_rules! due {
    ($at:literal) => {
        concat!(
            "(next_run_at <= ",
            $at,
            " AND not_before < 'infinity' AND not_before <= ",
            $at,
            " AND ",
            crate::store::schedule::due::unleased!(),
            ")"
        )
    };
}

/// A row that an operator may have run at once, whether its slot has come or not, and whatever it waits for.
macro_rules! runnable {
    () => {
        concat!("(unreadable IS NULL AND NOT quarantined AND ", crate::store::schedule::due::unleased!(), ")")
    };
}

/// A mission that is set aside: its record is no mission that can be planned, or it is quarantined. In the
/// words of the index on them.
macro_rules! set_aside {
    () => {
        "(unreadable IS NOT NULL OR quarantined)"
    };
}

pub(in crate::store) use {due, leased, runnable, set_aside, unleased};

/// The condition of a row that is due now, by the clock of the transaction: for `WHERE` on `mission_schedule`.
pub const DUE_NOW: &str = due!("now()");

/// Why a row of the schedule is not due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Somebody works on it, under a lease until then.
    Leased(Timestamp),
    /// It is quarantined until a device writes a row of it, or an operator releases it.
    Quarantined,
    /// It waits until a device writes a row of it.
    NewRow,
    /// It waits until then, after an attempt that ended without a plan.
    Until(Timestamp),
    /// Its slot has not come.
    SlotAhead(Timestamp),
    /// It has no slot.
    NoSlot,
}

impl Scheduled {
    /// Why the row is not due at `now`; `None` where it is. The same as [`DUE_NOW`].
    pub fn hold(&self, now: Timestamp) -> Option<Hold> {
        if let Some(until) = self.lease_until.filter(|until| until.0 > now) {
            return Some(Hold::Leased(until.0));
        }
        if self.until_new_row {
            return Some(if self.quarantined { Hold::Quarantined } else { Hold::NewRow });
        }
        if let Some(until) = self.not_before.filter(|until| until.0 > now) {
            return Some(Hold::Until(until.0));
        }
        match self.next_run_at {
            None => Some(Hold::NoSlot),
            Some(slot) if slot.0 > now => Some(Hold::SlotAhead(slot.0)),
            Some(_) => None,
        }
    }
}
