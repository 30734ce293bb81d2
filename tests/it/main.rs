//! The integration tests: one binary, one Postgres, a database per test. The folders are those of `src/`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod app;
mod attempt;
mod cli;
mod demo;
mod docs;
mod domain;
#[path = "../faults/mod.rs"]
mod faults;
mod house;
mod http;
mod inputs;
mod llm;
mod metrics;
mod ops;
mod planner;
mod runner;
mod store;
mod support;
mod telemetry;
