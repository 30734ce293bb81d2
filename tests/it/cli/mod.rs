//! The command line, as a process.

pub mod commands;
