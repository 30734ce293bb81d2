//! Logs and traces, with a collector on a socket.

pub mod collector;
mod secrets;
pub mod traces;
