//! Repeats a write that failed, until it succeeds, its time is over, or the process stops.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::AttemptError;
use crate::store::Blame;

/// Repeats after a deadlock, a serialization failure, or a device's row at the same moment.
const CONFLICTS: u32 = 3;
/// The first pause; each is twice the one before.
const SHORTEST: Duration = Duration::from_millis(100);
/// The longest pause between two tries.
const LONGEST: Duration = Duration::from_secs(2);

/// The tries to write one result.
pub(super) struct WriteRetry<'worker> {
    until: Instant,
    abandon: &'worker CancellationToken,
    tries: u32,
    conflicts: u32,
}

impl<'worker> WriteRetry<'worker> {
    /// Tries for at most `lease`. Without the database the lease cannot be renewed, so it has ended by then; the write
    /// checks it.
    pub(super) fn new(lease: Duration, abandon: &'worker CancellationToken) -> Self {
        Self { until: Instant::now() + lease, abandon, tries: 0, conflicts: 0 }
    }

    /// How many tries have failed.
    pub(super) fn tries(&self) -> u32 {
        self.tries
    }

    /// Waits before the next try. Returns the error where there is to be none.
    pub(super) async fn after(&mut self, error: AttemptError) -> Result<(), AttemptError> {
        let AttemptError::Store(cause) = &error else { return Err(error) };
        self.tries += 1;
        match cause.blame() {
            Blame::Database | Blame::Refusal if Instant::now() < self.until => {}
            Blame::Conflict if self.conflicts < CONFLICTS => self.conflicts += 1,
            _ => return Err(error),
        }
        let pause = SHORTEST.saturating_mul(2_u32.saturating_pow(self.tries - 1)).min(LONGEST);
        tracing::debug!(tries = self.tries, %error, "once more");
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.abandon.cancelled() => Err(error),
        }
    }
}
