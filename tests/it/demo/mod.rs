//! The simulated device accepts what the service writes.

pub mod device;
mod sync;
mod types;
