//! What the handlers share.

use std::sync::Arc;

use secrecy::SecretString;
use tokio_util::task::TaskTracker;

use crate::runner::Runner;

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// Runs the ticks.
    pub runner: Arc<Runner>,
    /// Opens `/internal`.
    pub service_key: SecretString,
    /// Does the loop run?
    pub tick_enabled: bool,
    /// Ticks and attempts that a request started: they go on when its client has gone.
    pub background_tasks: TaskTracker,
}
