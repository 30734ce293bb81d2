//! Which rows of the overlap were followed already.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use uuid::Uuid;

use super::slices::Slice;
use crate::store::log::keys::Digest;

/// So many ids are kept, 8 MB of them. What is beyond is folded again where a row is added to its slice of the overlap.
const KEPT: usize = 200_000;

/// The rows that the last refresh of this process saw: a digest of each slice of time, and their ids. A row that becomes
/// visible late changes the digest of its slice, whatever its `created_at`, and its id is not among those of the slice. In
/// memory alone and for this process alone: losing them costs one fold of the overlap.
#[derive(Debug)]
pub struct Seen {
    /// By the beginning of the slice.
    digests: BTreeMap<Timestamp, Digest>,
    /// With the beginning of their slice.
    ids: HashMap<Uuid, Timestamp>,
    bound: usize,
}

/// What a refresh sees beyond that. It counts once the refresh has come to its end.
#[derive(Debug, Default)]
pub(super) struct NowSeen {
    digests: BTreeMap<Timestamp, Digest>,
    ids: Vec<(Uuid, Timestamp)>,
}

impl Default for Seen {
    fn default() -> Self {
        Self::bounded(KEPT)
    }
}

impl Seen {
    /// Nothing seen yet, and at most `bound` ids to be kept.
    pub fn bounded(bound: usize) -> Self {
        Self { digests: BTreeMap::new(), ids: HashMap::new(), bound }
    }

    /// Has the slice other rows than it had, as far as its digest tells?
    pub(super) fn is_changed(&self, slice: &Slice, digest: Digest) -> bool {
        let known = self.digests.get(&slice.from).copied().unwrap_or_default();
        known != digest
    }

    /// Those of `ids` that were not seen.
    pub(super) fn unseen(&self, ids: &[Uuid]) -> Vec<Uuid> {
        ids.iter().filter(|id| !self.ids.contains_key(id)).copied().collect()
    }

    /// Takes what a refresh saw, and forgets what is older than its slices. Ids are kept up to the bound.
    pub(super) fn take(&mut self, now_seen: NowSeen) {
        let oldest = now_seen.digests.keys().next().copied().unwrap_or(Timestamp::MIN);
        if self.digests.keys().next().is_some_and(|first| *first < oldest) {
            self.ids.retain(|_, slice| *slice >= oldest);
        }
        self.digests = now_seen.digests;
        for (id, slice) in now_seen.ids {
            if self.ids.len() >= self.bound && !self.ids.contains_key(&id) {
                break;
            }
            self.ids.insert(id, slice);
        }
    }
}

impl NowSeen {
    /// The slice has these rows, or more that came since.
    pub fn digest(&mut self, slice: &Slice, digest: Digest) {
        self.digests.insert(slice.from, digest);
    }

    /// These rows were followed. Of the slices in `stretch` it is not known which one has them: they are kept as long as
    /// the last one.
    pub fn keep(&mut self, stretch: &Slice, ids: &[Uuid], seen: &Seen) {
        let last = stretch.until.and_then(|until| self.digests.range(..until).next_back());
        let last = last.or(self.digests.last_key_value()).map_or(stretch.from, |(from, _)| *from);
        let room = seen.bound.saturating_sub(self.ids.len());
        self.ids.extend(ids.iter().take(room).map(|id| (*id, last)));
    }
}
