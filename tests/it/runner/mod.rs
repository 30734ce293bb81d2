//! Ticks, from rows in the log to rows in the log.

pub mod pipeline;
