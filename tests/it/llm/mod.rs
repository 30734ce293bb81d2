//! The client of mana-llm against a stand-in on a socket.

pub mod client;
mod errors;
mod finish;
