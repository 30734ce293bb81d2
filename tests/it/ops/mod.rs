//! What operators ask.

pub mod check;
