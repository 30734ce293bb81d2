//! What the rows of one mission take of the memory: counted before they are sent, and again before they are read as JSON.
//!
//! A mission takes several times its text while it is read, merged and written, and far more where it consists of many
//! tiny values. The factors are those of the highest measurement, rounded up; `faults::memory` in the tests holds them.

use serde_json::value::RawValue;

use crate::domain::history::History;
use crate::domain::json::structure;
use crate::store::StoreError;
use crate::store::limits::{LIMIT, ROOM};
use crate::store::room::Room;

/// Of each byte of the record: its iterations, the merged ones, our row, and what is sent.
const RECORD: usize = 4;
/// Of each byte of the iterations in all versions.
const VERSIONS: usize = 3;
/// Of each version of an iteration, however short it is.
const VERSION: usize = 2 * 1024;
/// Of each brace, bracket, colon and comma of the record: an object of a plan is read as a tree.
const MARK: usize = 80;
/// Of each one in the versions.
const VERSION_MARK: usize = 20;
/// Of each row, without its clocks.
const ROW: usize = 512;
/// Of each byte of clocks.
const CLOCKS: usize = 4;

/// What each byte of the record's text comes to at the end, in a usual mission: who waits for room waits for that, and does
/// not have to wait again.
const USUAL: usize = 14;

/// What is held of one mission's rows.
#[derive(Debug)]
pub(super) struct Held {
    room: Room,
    rows: usize,
    clocks: usize,
    texts: usize,
    marks: usize,
    /// Bytes of the versions that the history has.
    versions: usize,
    version_count: usize,
    version_marks: usize,
    longest_list: usize,
}

impl Held {
    pub fn new(room: Room) -> Self {
        Self {
            room,
            rows: 0,
            clocks: 0,
            texts: 0,
            marks: 0,
            versions: 0,
            version_count: 0,
            version_marks: 0,
            longest_list: 0,
        }
    }

    /// The room that all of it has, to be kept as long as the mission. Who had to wait took more than it needs.
    pub fn into_room(mut self) -> Room {
        self.room.shrink(self.bytes());
        self.room
    }

    /// A row, with so many bytes of clocks.
    pub fn row(&mut self, clocks: usize) -> Result<(), StoreError> {
        self.rows += 1;
        self.clocks += clocks;
        self.take_room()
    }

    /// A text of this length that is kept.
    pub fn text(&mut self, bytes: usize) -> Result<(), StoreError> {
        self.texts += bytes;
        self.take_room()
    }

    /// What is in that text.
    pub fn values(&mut self, text: &str) -> Result<(), StoreError> {
        self.marks += structure(text);
        self.take_room()
    }

    /// A list of this length, which is kept only while its versions are taken.
    pub fn list(&mut self, bytes: usize) -> Result<(), StoreError> {
        self.longest_list = self.longest_list.max(bytes);
        self.take_room()
    }

    /// What a history will keep of a list.
    pub fn versions(&mut self, history: &History, list: &RawValue) -> Result<(), StoreError> {
        for version in history.unknown(list) {
            self.versions += version.get().len();
            self.version_count += 1;
            self.version_marks += structure(version.get());
        }
        self.take_room()
    }

    /// A history is begun anew.
    pub fn begin_versions(&mut self) {
        (self.versions, self.version_count, self.version_marks) = (0, 0, 0);
    }

    /// Its text, or the text of a usual mission that would take as much.
    pub fn size(&self) -> usize {
        self.texts.max(self.bytes() / USUAL)
    }

    fn bytes(&self) -> usize {
        self.rows * ROW
            + self.clocks * CLOCKS
            + self.texts * RECORD
            + self.longest_list
            + self.versions * VERSIONS
            + self.version_count * VERSION
            + self.marks * MARK
            + self.version_marks * VERSION_MARK
    }

    fn take_room(&mut self) -> Result<(), StoreError> {
        let size = self.texts.max(self.versions).max(self.longest_list).max(self.clocks);
        if size > LIMIT {
            return Err(StoreError::TooLarge { size, limit: LIMIT });
        }
        let bytes = self.bytes();
        if bytes > ROOM {
            return Err(StoreError::TooIntricate { bytes, limit: ROOM });
        }
        self.room.grow(bytes).map_err(|_| StoreError::NoRoom(bytes.max(self.texts * USUAL).min(ROOM)))
    }
}
