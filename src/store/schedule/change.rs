//! What the end of an attempt does to the columns of its mission's row, and the one statement that does it.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use strum::IntoStaticStr;

use super::claimed::ClaimedMission;
use super::due::leased;
use crate::domain::run::{RunEnd, RunOutcome};
use crate::store::{StoreError, sql_time};

/// Where the log has a mission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextSlot {
    /// Its slot. A row without one goes at the next refresh.
    pub next_run_at: Option<Timestamp>,
    /// How many rows of the log say so.
    pub change_count: i64,
}

/// What a transition does to the columns of a row. What it does not name stays, but for `lost`, which becomes
/// zero, and the lease, which ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleChange {
    /// Does the lease have to be running, or is its token enough? A plan must not be written beside another
    /// replica's; a wait may be noted until another replica has claimed.
    pub lease_must_run: bool,
    /// `next_run_at` and `change_count`; the row is readable then.
    pub next: Option<NextSlot>,
    /// `attempts`.
    pub attempts: Counter,
    /// `refusals`.
    pub refusals: Counter,
    /// `failed_slots`.
    pub failed_slots: Option<u32>,
    /// `not_before`.
    pub not_before: NotBefore,
    /// `waits`: the reason that is told to whoever asks.
    pub waits: Option<String>,
    /// `quarantined`, while `not_before` is a new row.
    pub quarantined: bool,
}

/// What becomes of a number in the row. In relation to what is there: a refresh may have reset it meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Counter {
    /// It stays.
    Keep,
    /// It is one more.
    Increase,
    /// It is one less: a claim's charge is refunded.
    Refund,
    /// It is zero.
    Reset,
}

/// What becomes of `not_before`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum NotBefore {
    /// It stays.
    Keep,
    /// There is no wait.
    Lifted,
    /// So long after now, whatever rows came meanwhile.
    Rest(Duration),
    /// So long after now, unless a row came since the claim: it may be the very one to wait for.
    After(Duration),
    /// This time, unless a row came since the claim.
    Time(Timestamp),
    /// When a device writes a row, unless one came since the claim.
    NewRow,
}

impl ScheduleChange {
    /// The row moves on to a slot, and counts anew.
    pub(super) fn to(next: NextSlot, not_before: NotBefore) -> Self {
        Self {
            lease_must_run: false,
            next: Some(next),
            attempts: Counter::Reset,
            refusals: Counter::Reset,
            failed_slots: None,
            not_before,
            waits: None,
            quarantined: false,
        }
    }

    /// The row stays at its slot. Refused attempts are counted while they come in a row; an attempt that is not
    /// charged, or was not for this slot, is given back. One that the database did not take is a refused one where it
    /// waits; where the database was away, it goes on at once.
    pub(super) fn stay(claimed: &ClaimedMission, end: &RunEnd, not_before: NotBefore) -> Self {
        let waits = matches!(not_before, NotBefore::After(wait) if !wait.is_zero());
        let refused = match end.outcome {
            RunOutcome::Misconfigured | RunOutcome::RateLimited => true,
            RunOutcome::Database => waits,
            _ => false,
        };
        let refund = end.outcome.is_refunded() || claimed.forced;
        Self {
            lease_must_run: false,
            next: None,
            attempts: if refund { Counter::Refund } else { Counter::Keep },
            refusals: if refused { Counter::Increase } else { Counter::Reset },
            failed_slots: None,
            not_before,
            waits: end.reason.clone(),
            quarantined: end.outcome == RunOutcome::Quarantined,
        }
    }
}

/// `$1` to `$16` are the columns of `change`, in order. Only [`ScheduleChange::write`] binds them.
const CHANGE: &str = concat!(
    "
WITH change (user_id, mission_id, lease_token, lease_must_run, claimed_count,
        sets_slot, next_run_at, change_count, attempts, refusals, failed_slots,
        not_before, wait, wait_until, waits, quarantined) AS (
    VALUES ($1::text, $2::text, $3::uuid, $4::boolean, $5::bigint,
        $6::boolean, $7::timestamptz, $8::bigint, $9::text, $10::text, $11::int,
        $12::text, $13::interval, $14::timestamptz, $15::text, $16::boolean))
UPDATE mana_ai.mission_schedule AS s SET
    lease_token = NULL, lease_until = NULL, lost = 0, waits = change.waits,
    next_run_at = CASE WHEN sets_slot THEN change.next_run_at ELSE s.next_run_at END,
    unreadable = CASE WHEN NOT sets_slot THEN s.unreadable END,
    change_count = coalesce(change.change_count, s.change_count),
    attempts = CASE change.attempts WHEN 'reset' THEN 0 WHEN 'refund' THEN greatest(s.attempts - 1, 0) ELSE s.attempts END,
    refusals = CASE change.refusals WHEN 'reset' THEN 0 WHEN 'increase' THEN s.refusals + 1 ELSE s.refusals END,
    failed_slots = coalesce(change.failed_slots, s.failed_slots),
    quarantined = change.quarantined AND s.change_count = claimed_count,
    not_before = CASE
        WHEN change.not_before = 'keep' THEN s.not_before
        WHEN change.not_before = 'lifted' THEN '-infinity'
        WHEN change.not_before = 'rest' THEN clock_timestamp() + wait
        WHEN s.change_count <> claimed_count THEN clock_timestamp()
        WHEN change.not_before = 'after' THEN clock_timestamp() + wait
        WHEN change.not_before = 'time' THEN wait_until
        WHEN change.not_before = 'new-row' THEN 'infinity' END
FROM change
WHERE (s.user_id, s.mission_id, s.lease_token) = (change.user_id, change.mission_id, change.lease_token)
    AND (NOT lease_must_run OR ",
    leased!(),
    ")"
);

impl ScheduleChange {
    /// `false` where the lease is no longer ours.
    pub(super) async fn write(
        self,
        db: &mut PgConnection,
        claimed: &ClaimedMission,
    ) -> Result<bool, StoreError> {
        let (wait, wait_until) = match self.not_before {
            NotBefore::Rest(wait) | NotBefore::After(wait) => (Some(wait), None),
            NotBefore::Time(at) => (None, Some(at)),
            NotBefore::Keep | NotBefore::Lifted | NotBefore::NewRow => (None, None),
        };
        let written = sqlx::query(CHANGE)
            .bind(&claimed.user_id)
            .bind(&claimed.mission_id)
            .bind(claimed.lease_token)
            .bind(self.lease_must_run)
            .bind(claimed.change_count)
            .bind(self.next.is_some())
            .bind(self.next.and_then(|next| next.next_run_at).map(sql_time))
            .bind(self.next.map(|next| next.change_count))
            .bind(<&str>::from(self.attempts))
            .bind(<&str>::from(self.refusals))
            .bind(self.failed_slots.map(|slots| i32::try_from(slots).unwrap_or(i32::MAX)))
            .bind(<&str>::from(self.not_before))
            .bind(wait)
            .bind(wait_until.map(sql_time))
            .bind(self.waits)
            .bind(self.quarantined);
        Ok(written.execute(db).await?.rows_affected() == 1)
    }
}
