//! Logs and traces, with a collector on a socket.

pub mod collector;
mod traces;
