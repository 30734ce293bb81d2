//! How long a result is held for a database that does not take it.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::AttemptError;
use crate::store::Blame;

/// A deadlock, a serialization failure, a device that writes at the same moment: once more is enough.
const CONFLICTS: u32 = 3;
/// The first pause; each is twice the one before.
const SHORTEST: Duration = Duration::from_millis(100);
/// The last: the database should not wait for us once it is back.
const LONGEST: Duration = Duration::from_secs(2);

/// Of one result.
pub(super) struct WriteRetry<'worker> {
    until: Instant,
    abandon: &'worker CancellationToken,
    tries: u32,
    conflicts: u32,
}

impl<'worker> WriteRetry<'worker> {
    /// For as long as a lease lasts that nobody can renew. Whether it still holds is for the write itself to
    /// see.
    pub(super) fn new(lease: Duration, abandon: &'worker CancellationToken) -> Self {
        Self { until: Instant::now() + lease, abandon, tries: 0, conflicts: 0 }
    }

    /// How often it did not work.
    pub(super) fn tries(&self) -> u32 {
        self.tries
    }

    /// Waits before the next try; gives the error back where there should be none.
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
