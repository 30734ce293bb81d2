//! A mission under a lease, as its claim found it.

use uuid::Uuid;

use crate::store::DbTime;

/// A mission that is ours until the lease ends: nobody else plans it meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ClaimedMission {
    /// The user whose mission it is.
    pub user_id: String,
    /// The mission's `record_id`.
    pub mission_id: String,
    /// The slot of the attempt; where forced, the moment of the claim.
    pub slot: DbTime,
    /// When it was claimed, by the database's clock.
    pub claimed_at: DbTime,
    /// An operator asked for it before its slot: the slot of the attempt is the moment of the claim, and the mission's own
    /// slot stays.
    pub forced: bool,
    /// Proof of the lease. Random, and new for each attempt.
    pub lease_token: Uuid,
    /// How many rows of the mission the schedule knew of at the claim.
    pub change_count: i64,
    /// This attempt in the ledger.
    pub run_id: i64,
    /// The number of this attempt at its slot, from 1. Charged at the claim, since a process that crashes
    /// cannot charge it later.
    #[sqlx(try_from = "i32")]
    pub attempt: Count,
    /// How many attempts before this one were lost, in a row.
    #[sqlx(try_from = "i32")]
    pub lost: Count,
    /// How many attempts before this one mana-llm or the database refused without a charge, in a row.
    #[sqlx(rename = "refusals", try_from = "i32")]
    pub uncharged_refusals: Count,
    /// How many slots before this one failed, in a row.
    #[sqlx(try_from = "i32")]
    pub failed_slots: Count,
    /// The attempt before this one was still running in the ledger; the claim has marked it lost.
    pub found_lost: bool,
}

/// A number of attempts or slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub u32);

impl From<i32> for Count {
    fn from(count: i32) -> Self {
        Self(count.max(0).unsigned_abs())
    }
}

/// After so many lost attempts in a row a mission is a poison candidate: it may be what killed the processes,
/// or it may only have run beside what did. A process that works on one claims no second one, so that the
/// next loss tells which of them it is.
pub const POISON_CANDIDATE_AFTER: u32 = 2;

impl ClaimedMission {
    /// See [`POISON_CANDIDATE_AFTER`].
    pub fn is_poison_candidate(&self) -> bool {
        self.lost.0 >= POISON_CANDIDATE_AFTER
    }
}
