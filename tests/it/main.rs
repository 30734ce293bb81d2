//! The integration tests: one binary, one Postgres, a database per test.

mod access;
mod bad_rows;
mod cli;
mod device;
mod http;
mod llm;
mod pipeline;
mod properties;
mod races;
mod schedule;
mod support;
mod vectors;
