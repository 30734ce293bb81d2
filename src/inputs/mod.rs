//! Linked records → what the prompt says of them. Pure, as `domain` is.
//!
//! A mission's `inputs` name records of other apps. [`Links`](links::Links) are those that may be read, the store folds
//! their rows, and [`Linked`](linked::Linked) is what becomes of each: its text, or why it has none. Which tables can be
//! linked, and how their fields become lines, is one table: [`MODULES`](modules::MODULES). The policy on mana-sync's table
//! is made from the same table, so the database shows exactly what is listed there.

pub mod bounds;
pub mod linked;
pub mod links;
pub mod modules;
mod text;
mod values;
