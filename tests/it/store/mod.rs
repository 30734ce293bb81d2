//! The database: access, leases, the schedule and its state machine.

pub mod access;
mod cluster;
mod comparison;
mod due;
mod errors;
mod kept;
pub mod leases;
mod letting_in;
mod log_statements;
mod logins;
mod overlap;
mod pooler;
pub mod schedule;
mod search_path;
mod transition_stage;
mod transitions;
mod upgrade;
mod vectors;
