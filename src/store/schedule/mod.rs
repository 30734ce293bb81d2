//! `mana_ai.mission_schedule`: when each mission is due, and who works on it.

pub mod claim;
pub mod on_demand;
pub mod progress;
pub mod queries;
pub mod refresh;
