//! What operators ask: is everything there, and why is a mission (not) due?

pub mod check;
pub mod explain;
pub mod status;
