//! Whose turn is it? The connections whose clients are to do something next, longest first.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// A connection of one server.
pub(super) type Id = u64;

/// Shared by the connections of a server.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    since: Mutex<BTreeSet<(Instant, Id)>>,
    came: Notify,
}

/// We wait for a client for as long as this lives.
#[derive(Debug)]
pub(super) struct Turn {
    waiting: Arc<Waiting>,
    entry: (Instant, Id),
}

impl Waiting {
    /// It is the client's turn from now on.
    pub(super) fn begin(self: &Arc<Self>, id: Id) -> Turn {
        let entry = (Instant::now(), id);
        self.since().insert(entry);
        self.came.notify_one();
        Turn { waiting: Arc::clone(self), entry }
    }

    /// The connection that has kept us waiting the longest, once that is `patience`. It is named once.
    pub(super) async fn longest(&self, patience: Duration) -> Id {
        loop {
            let first = self.since().first().copied();
            match first {
                None => self.came.notified().await,
                Some((since, _)) if since.elapsed() < patience => {
                    tokio::time::sleep_until(since + patience).await;
                }
                // It may have had its turn since we looked.
                Some(entry) if self.since().remove(&entry) => return entry.1,
                Some(_) => {}
            }
        }
    }

    fn since(&self) -> MutexGuard<'_, BTreeSet<(Instant, Id)>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.waiting.since().remove(&self.entry);
    }
}
