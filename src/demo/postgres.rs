//! An embedded Postgres.
