//! The commands of the command line: [`args`] says what it takes, [`commands`] do something, [`queries`] only look.

pub mod args;
pub mod commands;
pub mod print;
mod progress;
pub mod queries;

/// Any error, on its way to the terminal.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
