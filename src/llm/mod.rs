//! mana-llm: the client, what its answers and its errors mean, and the service with a circuit breaker in front.

pub mod breaker;
pub mod client;
pub mod error;
mod refusal;
pub mod response;
pub mod service;
