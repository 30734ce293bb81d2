//! The memory that missions take while they are read or written, of all attempts, looks and lists of this process together.
//!
//! What a mission takes is known only once the database has told the sizes, inside a transaction (`src/store/log/held.rs`).
//! An attempt does not wait there for its own mission: where it finds no room it ends the transaction, waits, and begins
//! anew. Where it looks at other missions of its user (`MAX_UNREAD_PER_USER`), it does wait there.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::StoreError;
use super::limits::ROOM;

/// Bytes in one permit.
const UNIT: usize = 1024;

/// The room for missions; all of it is what one mission may have.
#[derive(Debug, Clone)]
pub(super) struct Rooms(Arc<Semaphore>);

/// The room that a mission has taken; given back when this is dropped, so it is kept as long as the mission is.
#[derive(Debug)]
pub struct Room {
    rooms: Rooms,
    permit: Option<OwnedSemaphorePermit>,
}

impl Default for Rooms {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM.div_ceil(UNIT))))
    }
}

impl Rooms {
    /// Takes nothing yet.
    pub fn room(&self) -> Room {
        Room { rooms: self.clone(), permit: None }
    }

    /// Waits for room for so many bytes, and takes it. Who came first gets it first.
    pub async fn take(&self, bytes: usize) -> Room {
        let most = ROOM.div_ceil(UNIT);
        let permit = Arc::clone(&self.0).acquire_many_owned(units(bytes.div_ceil(UNIT).min(most))).await;
        // Never closed.
        Room { rooms: self.clone(), permit: permit.ok() }
    }
}

impl Room {
    /// Waits until there is room for so many bytes. Does not keep it.
    pub async fn wait(&self, bytes: usize) {
        drop(self.rooms.take(bytes).await);
    }

    /// For how many bytes it is room.
    pub(super) fn bytes(&self) -> usize {
        self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) * UNIT
    }

    /// Gives back what is more than room for so many bytes.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let more = (self.bytes() / UNIT).saturating_sub(bytes.div_ceil(UNIT));
        drop(self.permit.as_mut().and_then(|permit| permit.split(more)));
    }

    /// Lets it be room for so many bytes in all.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`] where others have it.
    pub fn grow(&mut self, bytes: usize) -> Result<(), StoreError> {
        let more = bytes.div_ceil(UNIT).saturating_sub(self.bytes() / UNIT);
        if more == 0 {
            return Ok(());
        }
        let taken = Arc::clone(&self.rooms.0).try_acquire_many_owned(units(more));
        let taken = taken.map_err(|_| StoreError::NoRoom(bytes))?;
        match &mut self.permit {
            Some(permit) => permit.merge(taken),
            None => self.permit = Some(taken),
        }
        Ok(())
    }
}

fn units(units: usize) -> u32 {
    u32::try_from(units).unwrap_or(u32::MAX)
}
