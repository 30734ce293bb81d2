//! A small mission is kept while the model is called, so that its rows are not read once more for the plan's row.

use super::append::is_last_word;
use super::read::{FoldedMission, begin_and_fold};
use crate::domain::fold::Record;
use crate::domain::history::History;
use crate::store::room::Room;
use crate::store::{Store, StoreError, TRANSACTION, UserTx, with_timeout};

/// The most text of a mission that is kept, in bytes. What is made of it takes a few times that, for each call in flight,
/// and is not counted as room.
const MOST: usize = 64 * 1024;

/// A mission as it was when it was read.
#[derive(Debug, Clone)]
pub struct Kept {
    record: Option<Record>,
    history: History,
    change_count: i64,
}

impl FoldedMission {
    /// A copy to be kept, where the mission is small and can be read.
    pub fn kept(&self) -> Option<Box<Kept>> {
        let record = self.record.as_ref().ok().filter(|_| self.size <= MOST)?.clone();
        Some(Box::new(Kept { record, history: self.history.clone(), change_count: self.change_count }))
    }
}

/// Locks a mission in a transaction that goes on, and folds it as [`begin_and_fold`] does; what was kept of it is taken
/// instead while its log has no other rows, which is told by their number, because a log only grows.
///
/// # Errors
/// Those of [`begin_and_fold`].
pub async fn lock_and_fold(
    store: &Store,
    user_id: &str,
    mission_id: &str,
    kept: Option<Box<Kept>>,
) -> Result<(UserTx, FoldedMission, Room), StoreError> {
    if let Some(kept) = kept {
        let unchanged = async {
            let mut tx = UserTx::begin_locked(store, user_id, mission_id).await?;
            if is_last_word(&mut tx, mission_id, kept.change_count).await? {
                return Ok(Some(tx));
            }
            tx.rollback().await.map(|()| None)
        };
        if let Some(tx) = with_timeout(TRANSACTION, unchanged).await? {
            let room = tx.room();
            return Ok((tx, (*kept).into(), room));
        }
    }
    begin_and_fold(store, user_id, mission_id, true).await
}

impl From<Kept> for FoldedMission {
    fn from(Kept { record, history, change_count }: Kept) -> Self {
        Self { record: Ok(record), history, change_count, size: 0 }
    }
}
