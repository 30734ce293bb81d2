//! The pure core: vectors, properties, fuzz targets.

pub mod fuzz;
pub mod properties;
pub mod vectors;
