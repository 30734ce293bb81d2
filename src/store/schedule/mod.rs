//! `mana_ai.mission_schedule`: when each mission is due, and who works on it. Its states and transitions are
//! drawn in docs/state-machine.md.

pub mod change;
pub mod claim;
pub mod claimed;
pub mod due;
pub mod heal;
pub mod progress;
pub mod queries;
pub mod refresh;
pub mod release;
pub mod scheduled;
pub mod transition;
pub(in crate::store) mod write;
