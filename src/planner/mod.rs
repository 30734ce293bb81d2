//! From a mission to a plan: what the model may do, what it is asked, what it answered.

pub mod answer;
pub mod breaker;
pub mod llm;
pub mod plan;
pub mod prompt;
pub mod retry;
pub mod tools;
