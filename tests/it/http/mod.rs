//! The routes over real HTTP.

pub mod operations;
pub mod routes;
pub mod slow_clients;
mod why;
