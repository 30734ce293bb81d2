//! Repeats a write that failed, until it succeeds, its time is over, or the process stops.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{AttemptError, Worker};
use crate::store::{Blame, Store, StoreError, preflight};

/// Repeats after a deadlock, a serialization failure, or a device's row at the same moment.
const CONFLICTS: u32 = 3;
/// Repeats after a refusal by a server that is well otherwise: some five seconds, in which mana-sync makes its policy
/// anew. Longer than that, one mission would keep a place from the others.
const REFUSALS: u32 = 6;
/// The first pause; each is twice the one before.
const SHORTEST: Duration = Duration::from_millis(100);
/// The longest pause between two tries.
const LONGEST: Duration = Duration::from_secs(2);

/// The tries to write one result.
pub(super) struct WriteRetry<'worker> {
    until: Instant,
    store: &'worker Store,
    abandon: &'worker CancellationToken,
    tries: u32,
    conflicts: u32,
    refusals: u32,
}

impl<'worker> WriteRetry<'worker> {
    /// Tries for at most `lease`. Without the database the lease cannot be renewed, so it has ended by then; the write
    /// checks it.
    pub(super) fn new(worker: &'worker Worker) -> Self {
        let Worker { store, abandon, lease, .. } = worker;
        Self { until: Instant::now() + *lease, store, abandon, tries: 0, conflicts: 0, refusals: 0 }
    }

    /// How many tries have failed.
    pub(super) fn tries(&self) -> u32 {
        self.tries
    }

    /// Waits before the next try. Returns the error where there is to be none.
    pub(super) async fn after(&mut self, error: AttemptError) -> Result<(), AttemptError> {
        let AttemptError::Store(cause) = &error else { return Err(error) };
        self.tries += 1;
        if !self.is_to_be_repeated(cause).await {
            return Err(error);
        }
        let pause = SHORTEST.saturating_mul(2_u32.saturating_pow(self.tries - 1)).min(LONGEST);
        tracing::debug!(tries = self.tries, %error, "once more");
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.abandon.cancelled() => Err(error),
        }
    }

    async fn is_to_be_repeated(&mut self, error: &StoreError) -> bool {
        let blame = error.blame();
        let counted = match blame {
            Blame::Conflict => Some((&mut self.conflicts, CONFLICTS)),
            Blame::Refusal | Blame::Database if Instant::now() >= self.until => return false,
            Blame::Refusal if preflight(self.store).await.is_ok() => Some((&mut self.refusals, REFUSALS)),
            Blame::Database if error.is_refusal_by_server() && preflight(self.store).await.is_ok() => {
                Some((&mut self.refusals, REFUSALS))
            }
            Blame::Refusal | Blame::Database => None,
            Blame::Mission | Blame::Row => return false,
        };
        let Some((count, most)) = counted else { return true };
        *count += 1;
        *count <= most
    }
}
