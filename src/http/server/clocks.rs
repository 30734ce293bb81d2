//! The clocks of the connections whose clients are to do something next, in the order in which they started.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// A connection of one server.
pub(super) type Id = u64;

/// All running clocks of a server. Shared by its connections.
#[derive(Debug, Default)]
pub(super) struct ClientClocks {
    running: Mutex<BTreeSet<(Instant, Id)>>,
    started: Notify,
}

/// Runs while we wait for the client of one connection, and stops on drop.
#[derive(Debug)]
pub(super) struct ClientClock {
    clocks: Arc<ClientClocks>,
    entry: (Instant, Id),
}

impl ClientClocks {
    /// Starts the clock of a connection.
    pub(super) fn start(self: &Arc<Self>, id: Id) -> ClientClock {
        let entry = (Instant::now(), id);
        self.running().insert(entry);
        self.started.notify_one();
        ClientClock { clocks: Arc::clone(self), entry }
    }

    /// Waits until a clock has run for `client_timeout`, and returns the connection whose clock has run the longest. It is
    /// returned once.
    pub(super) async fn overdue(&self, client_timeout: Duration) -> Id {
        loop {
            let first = self.running().first().copied();
            match first {
                None => self.started.notified().await,
                Some((since, _)) if since.elapsed() < client_timeout => {
                    tokio::time::sleep_until(since + client_timeout).await;
                }
                // It may have stopped since we looked.
                Some(entry) if self.running().remove(&entry) => return entry.1,
                Some(_) => {}
            }
        }
    }

    fn running(&self) -> MutexGuard<'_, BTreeSet<(Instant, Id)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ClientClock {
    fn drop(&mut self) {
        self.clocks.running().remove(&self.entry);
    }
}
