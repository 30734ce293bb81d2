//! The fault suite: what fails around the service, and what must hold afterwards. For Linux: it asks `/proc`.

pub mod checks;
pub mod model;
pub mod plan;
pub mod postgres;
pub mod processes;
pub mod proxy;
pub mod random;
pub mod stage;
mod tools;
