//! What operators ask: [`check`] whether everything is there, [`explain`] why a mission is due or not.

pub mod check;
pub mod explain;
pub mod status;
