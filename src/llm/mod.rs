//! mana-llm: the client, what it answers, and the service with a circuit breaker in front of it.

pub mod breaker;
pub mod client;
pub mod response;
pub mod service;
