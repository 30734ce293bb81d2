//! The fault suite: what fails around the service, and what must hold afterwards. For Linux: it asks `/proc`.

mod answers;
pub mod checks;
mod database;
mod devices;
mod memory;
pub mod model;
pub mod outage;
pub mod plan;
mod poison;
pub mod postgres;
pub mod processes;
pub mod proxy;
pub mod random;
mod readiness;
mod records;
mod refusals;
mod results;
mod soak;
pub mod stage;
mod stop;
mod tools;
