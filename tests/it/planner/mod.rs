//! What a model may write, and how it is refused.

mod plan;
mod times;
