//! How the pool makes its connections, and how many of them are in use.

use std::time::Duration;

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::Store;

/// A connection is replaced after this long: a backend's memory only grows, and after a failover the
/// connections should spread again.
const LIFETIME: Duration = Duration::from_mins(30);

/// Makes the connections of the pool. A used one is not tested before it is handed out: BEGIN shows whether
/// it is still alive, which saves a round trip for each one that is.
#[derive(Debug)]
pub(super) struct Connections(pub(super) PgConnectOptions);

impl Manager for Connections {
    type Type = PgConnection;
    type Error = sqlx::Error;

    async fn create(&self) -> sqlx::Result<PgConnection> {
        self.0.connect().await
    }

    async fn recycle(&self, _: &mut PgConnection, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        if metrics.age() < LIFETIME { Ok(()) } else { Err(RecycleError::message("old")) }
    }
}

/// The connections of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// Open, and free.
    pub idle: usize,
    /// In a transaction, or on the way.
    pub used: usize,
    /// How many there may be.
    pub max: usize,
}

impl Store {
    /// The connections at this moment. Asks no database.
    pub fn pool_use(&self) -> PoolUse {
        let status = self.pool.status();
        PoolUse {
            idle: status.available,
            used: status.size.saturating_sub(status.available),
            max: status.max_size,
        }
    }
}
