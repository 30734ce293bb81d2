//! The step of a tick that restores what stale lists of devices hid.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::Runner;
use crate::domain::healing::Lost;
use crate::llm::breaker::Permit;
use crate::store::healing::{Look, QueuedLook, keep_problem, queued};
use crate::store::{Blame, StoreError, preflight};

/// Looks per query of the queue.
const BATCH: u32 = 100;
/// How long a tick looks at missions before it plans those that are due. The rest waits for the next tick. After an
/// upgrade the queue holds every mission that devices and this service have written.
const LONGEST: Duration = Duration::from_secs(5);

impl Runner {
    /// Looks at the queued missions, one after the other, each at most once in a tick. The next tick goes on behind the
    /// last one, so that a mission which is slow or cannot be healed keeps no other from its look. Those that are due are
    /// left to their attempt in the same tick, whose row restores the same; while no call may be made, they are looked at.
    ///
    /// # Errors
    /// Where the database itself is at fault: the tick would fail as well.
    pub(super) async fn heal_missions(&self) -> Result<(), StoreError> {
        let began = Instant::now();
        let mut last = std::mem::take(&mut *self.last_look());
        let with_due = self.worker.llm.permit() != Permit::Any;
        loop {
            let looks = queued(&self.worker.store, &last, BATCH, with_due).await?;
            for look in &looks {
                if began.elapsed() >= LONGEST || self.stop.is_cancelled() {
                    *self.last_look() = last;
                    return Ok(());
                }
                last.clone_from(look);
                self.heal(look).await?;
            }
            if looks.len() < BATCH as usize {
                return Ok(());
            }
        }
    }

    fn last_look(&self) -> std::sync::MutexGuard<'_, QueuedLook> {
        self.last_look.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn heal(&self, queued: &QueuedLook) -> Result<(), StoreError> {
        let (mission_id, user_id) = (&queued.mission_id, &queued.user_id);
        match self.worker.heal(queued).await {
            Ok(Some(Look::Healed(lost))) => {
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
            Ok(Some(Look::Left(problem))) => {
                tracing::warn!(mission_id, user_id, problem, "mission not healed")
            }
            Ok(_) => {}
            Err(error) => return self.not_healed(queued, error).await,
        }
        Ok(())
    }

    /// What passes by itself leaves the mission queued: a device that writes at this moment, a policy that mana-sync
    /// makes anew.
    async fn not_healed(&self, queued: &QueuedLook, error: StoreError) -> Result<(), StoreError> {
        let (mission_id, user_id) = (&queued.mission_id, &queued.user_id);
        match error.blame() {
            // Asked, because the server may give such a code for this mission's row alone.
            Blame::Database if preflight(&self.worker.store).await.is_err() => Err(error),
            Blame::Database => {
                tracing::warn!(mission_id, user_id, %error, "mission not healed now");
                Ok(())
            }
            Blame::Conflict | Blame::Refusal => {
                tracing::debug!(mission_id, user_id, %error, "mission not healed now");
                Ok(())
            }
            Blame::Mission | Blame::Row => {
                tracing::warn!(mission_id, user_id, %error, "mission not healed");
                keep_problem(&self.worker.store, queued, &error.to_string()).await
            }
        }
    }
}
