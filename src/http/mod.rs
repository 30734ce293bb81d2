//! The routes and the server in front of them. `/health`, `/ready` and `/metrics` are open, everything under `/internal`
//! needs the service key.

mod auth;
mod error;
mod health;
pub mod metrics;
mod missions;
mod params;
mod request;
mod responses;
mod router;
mod runner;
mod runs;
pub mod server;
mod state;

pub use router::{openapi, router};
pub use state::AppState;
