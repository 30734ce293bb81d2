//! The pure core: vectors, properties, fuzz targets.

pub mod fuzz;
pub mod healing;
pub mod parts;
pub mod properties;
mod staging;
pub mod vectors;
