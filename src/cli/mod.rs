//! The commands behind the command line.

pub mod args;
pub mod commands;
mod progress;
pub mod queries;

use mana_ai::app;
use mana_ai::config::Config;
use mana_ai::store::Store;
use secrecy::ExposeSecret as _;

/// Any error, on its way to the terminal.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

fn store(config: &Config) -> Result<Store, app::StartError> {
    Store::new(config.database_url.expose_secret(), config.pool_size).map_err(app::StartError::Database)
}
