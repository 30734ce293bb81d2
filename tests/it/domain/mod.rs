//! The pure core: vectors, properties, fuzz targets.

pub mod by_clocks;
mod cadence;
mod devices_in_any_order;
pub mod fuzz;
mod healing;
mod memory_log;
pub mod parts;
pub mod properties;
mod staging;
pub mod vectors;
