//! The whole process: signals, kills, start and stop.

pub mod kills;
pub mod process;
