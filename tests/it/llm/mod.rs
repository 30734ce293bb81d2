//! The client of mana-llm against a stand-in on a socket.

mod breaker;
pub mod client;
mod errors;
mod finish;
