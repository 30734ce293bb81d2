//! The database: access, leases, the schedule and its state machine.

pub mod access;
mod due;
mod errors;
pub mod leases;
mod log_statements;
mod pooler;
pub mod schedule;
mod transitions;
mod vectors;
