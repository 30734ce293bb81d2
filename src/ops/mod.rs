//! What operators ask: [`check`] whether everything is there, [`status`] how much is due and who works on it, [`explain`]
//! why a mission is due or not.

pub mod check;
pub mod explain;
mod situation;
pub mod status;
