//! The step of a tick that restores what stale lists of devices hid.

use std::time::{Duration, Instant};

use super::Runner;
use crate::domain::healing::Lost;
use crate::store::healing::{Look, QueuedLook, keep_problem, queued};
use crate::store::{Blame, StoreError};

/// Looks per query of the queue.
const BATCH: u32 = 100;
/// How long a tick looks at missions before it plans those that are due. The rest waits for the next tick. After an
/// upgrade the queue holds every mission that devices and this service have written.
const LONGEST: Duration = Duration::from_secs(5);

impl Runner {
    /// Looks at the queued missions, one after the other. That one mission cannot be healed stops no other.
    ///
    /// # Errors
    /// Where the database itself is at fault: the tick would fail as well.
    pub(super) async fn heal_missions(&self) -> Result<(), StoreError> {
        let began = Instant::now();
        loop {
            let looks = queued(&self.worker.store, BATCH).await?;
            for look in &looks {
                if began.elapsed() >= LONGEST || self.stop.is_cancelled() {
                    return Ok(());
                }
                self.heal(look).await?;
            }
            if looks.len() < BATCH as usize {
                return Ok(());
            }
        }
    }

    async fn heal(&self, queued: &QueuedLook) -> Result<(), StoreError> {
        let (mission_id, user_id) = (&queued.mission_id, &queued.user_id);
        match self.worker.heal(queued).await {
            Ok(Look::Nothing) => {}
            Ok(Look::Healed(lost) | Look::Planned(lost)) => {
                self.metrics().healing_rows_total.inc();
                self.metrics().count_healed(lost);
                let Lost { iterations, feedback, statuses, proposals } = lost;
                tracing::info!(
                    mission_id,
                    user_id,
                    iterations,
                    feedback,
                    statuses,
                    proposals,
                    "mission healed"
                );
            }
            Ok(Look::Left(problem)) => tracing::warn!(mission_id, user_id, problem, "mission not healed"),
            Err(error) if error.blame() == Blame::Database => return Err(error),
            // A device writes at this moment: its row queues the mission again.
            Err(error) if error.blame() == Blame::Conflict => {
                tracing::debug!(mission_id, user_id, %error, "mission not healed now");
            }
            Err(error) => {
                tracing::warn!(mission_id, user_id, %error, "mission not healed");
                keep_problem(&self.worker.store, queued, &error.to_string()).await?;
            }
        }
        Ok(())
    }
}
