//! How far the comparison with the whole log is, for whoever watches at a terminal.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Rows read so far, of how many.
#[derive(Debug, Default)]
pub struct RefreshProgress {
    watched: AtomicBool,
    rows: AtomicU64,
    all: AtomicU64,
}

impl RefreshProgress {
    /// From now on a comparison counts the log's rows first, which takes a fraction of its time.
    pub fn watch(&self) {
        self.watched.store(true, Ordering::Relaxed);
    }

    /// Rows read and rows in all, while a comparison is under way.
    pub fn now(&self) -> Option<(u64, u64)> {
        let all = self.all.load(Ordering::Relaxed);
        (all > 0).then(|| (self.rows.load(Ordering::Relaxed), all))
    }

    pub(in crate::store) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    /// A comparison of `all` rows begins.
    pub(in crate::store) fn begin(&self, all: u64) {
        self.rows.store(0, Ordering::Relaxed);
        self.all.store(all, Ordering::Relaxed);
    }

    pub(in crate::store) fn read(&self, rows: u64) {
        self.rows.store(rows, Ordering::Relaxed);
    }

    pub(in crate::store) fn end(&self) {
        self.begin(0);
    }
}
