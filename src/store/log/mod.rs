//! Every statement on `sync_changes`.

pub mod append;
pub mod read;
