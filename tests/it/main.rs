//! The integration tests: one binary, one Postgres, a database per test.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod bad_rows;
mod check;
mod cli;
mod collector;
mod device;
#[path = "../faults/mod.rs"]
mod faults;
mod fuzz;
mod http;
mod kills;
mod leases;
mod ledger;
mod llm;
mod metrics;
mod ops;
mod pipeline;
mod process;
mod properties;
mod races;
mod retry;
mod schedule;
mod slow_clients;
mod support;
mod telemetry;
mod vectors;
