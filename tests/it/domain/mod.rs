//! The pure core: vectors, properties, fuzz targets.

pub mod fuzz;
pub mod healing;
pub mod properties;
pub mod vectors;
