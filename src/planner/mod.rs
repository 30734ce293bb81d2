//! From a mission to a plan: what the model may do, what it is asked, what it answered.

mod fence;
mod linked;
pub mod plan;
pub mod prompt;
pub mod times;
pub mod tools;
pub mod version;
