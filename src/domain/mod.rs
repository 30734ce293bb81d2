//! What the log means: pure, with `now` and ids passed in, and no I/O crate in sight.

pub mod cadence;
pub mod change;
mod draft;
pub mod encrypted;
pub mod fold;
pub mod healing;
pub mod history;
pub mod iteration;
pub mod json;
pub mod mission;
pub mod opened;
mod parts;
pub mod run;
pub mod staging;
pub mod time;
pub mod version;
pub mod window;
