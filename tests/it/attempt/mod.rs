//! One claimed mission: every way it can end, and the ledger that tells it.

pub mod bad_rows;
mod budget;
pub mod healing;
pub mod ledger;
pub mod races;
pub mod retry;
