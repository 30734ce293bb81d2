//! `mana_ai.mission_schedule`: when each mission is due, and who works on it. Its states and transitions are
//! drawn in docs/state-machine.md.

pub mod change;
pub mod claim;
pub mod claimed;
pub mod compare;
mod cursor;
pub mod due;
pub mod follow;
pub mod heal;
mod orphans;
pub mod progress;
pub mod queries;
pub mod refresh;
pub mod release;
pub mod scheduled;
pub mod seen;
mod slices;
pub mod transition;
pub(in crate::store) mod write;

/// The longest that the ids of a user and a mission may be together, in bytes: both are the key of a row. The view leaves
/// longer ones out, see `view.sql`.
pub const LONGEST_IDS: usize = 1024;
