//! mana-ai plans a user's due AI missions on the server while no browser tab is open.

#[cfg(feature = "demo")]
pub mod demo;
