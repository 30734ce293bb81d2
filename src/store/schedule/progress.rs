//! How far a fold of the whole log is, for whoever watches.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Rows read so far, of how many.
#[derive(Debug, Default)]
pub struct Folding {
    watched: AtomicBool,
    rows: AtomicU64,
    all: AtomicU64,
}

impl Folding {
    /// From now on the rows are counted before they are folded, which takes a fraction of the time.
    pub fn watch(&self) {
        self.watched.store(true, Ordering::Relaxed);
    }

    /// Rows read and rows in all, while a whole fold is at work.
    pub fn now(&self) -> Option<(u64, u64)> {
        let all = self.all.load(Ordering::Relaxed);
        (all > 0).then(|| (self.rows.load(Ordering::Relaxed), all))
    }

    pub(in crate::store) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    /// Nothing in all: the fold has ended.
    pub(in crate::store) fn set(&self, rows: u64, all: u64) {
        self.rows.store(rows, Ordering::Relaxed);
        self.all.store(all, Ordering::Relaxed);
    }

    pub(in crate::store) fn read(&self, rows: u64) {
        self.rows.store(rows, Ordering::Relaxed);
    }
}
