//! The database: access, leases, the schedule.

pub mod access;
pub mod leases;
pub mod schedule;
