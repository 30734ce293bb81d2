//! The fault suite: what fails around the service, and what must hold afterwards. For Linux: it asks `/proc`.

pub mod model;
pub mod random;
