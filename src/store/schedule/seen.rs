//! Which rows of the overlap were folded already.

use std::collections::HashSet;

use uuid::Uuid;

/// So many ids are kept, 4 MB of them. What is beyond is folded again in each refresh while it is in the overlap.
const KEPT: usize = 200_000;

/// The ids of the rows that the last refresh of this process saw. A row that becomes visible late is not among them,
/// whatever its `created_at`. In memory alone and for this process alone: losing them costs one fold of the overlap.
#[derive(Debug)]
pub struct Seen {
    ids: HashSet<Uuid>,
    bound: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Self::bounded(KEPT)
    }
}

impl Seen {
    /// Nothing seen yet, and at most `bound` ids to be kept.
    pub fn bounded(bound: usize) -> Self {
        Self { ids: HashSet::new(), bound }
    }

    /// Nothing seen yet, with the same bound.
    pub(super) fn anew(&self) -> Self {
        Self::bounded(self.bound)
    }

    /// Those of `ids` that were not seen.
    pub(super) fn unseen(&self, ids: &[Uuid]) -> Vec<Uuid> {
        ids.iter().filter(|id| !self.ids.contains(id)).copied().collect()
    }

    /// Keeps `ids`, up to the bound.
    pub(super) fn keep(&mut self, ids: &[Uuid]) {
        self.ids.extend(ids.iter().take(self.bound.saturating_sub(self.ids.len())));
    }
}
