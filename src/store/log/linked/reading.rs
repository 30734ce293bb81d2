//! Records while they are read: their rows so far, and how many bytes of them are kept.

use std::collections::HashMap;

use futures_util::TryStreamExt as _;
use uuid::Uuid;

use super::Key;
use super::statements::{OpenedValue, RowFromLog, rows, values};
use crate::domain::change::Op;
use crate::domain::opened::{Asks, Wanted};
use crate::inputs::linked::Found;
use crate::store::limits::ROOM;
use crate::store::log::rounds::Rows;
use crate::store::room::Room;
use crate::store::{StoreError, UserTx};

/// The most bytes that are kept of one record, clocks included: some four thousand rows of a note.
const MAX_RECORD: usize = 1024 * 1024;
/// The most bytes that are kept of all of them.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// How often a byte that is kept is held at a time: the value, the record, its text for the prompt, the prompt.
const TIMES: usize = 4;

/// Records that are read together.
pub(super) struct Reading<'room> {
    records: Vec<RecordLog>,
    kept: Kept<'room>,
}

/// The rows of one record, opened so far.
struct RecordLog {
    wanted: Wanted,
    rows: Rows,
    /// Bytes that are kept of them.
    size: usize,
    /// What the log says of it, once that is known. Then its rows are gone.
    found: Option<Found>,
}

/// Bytes that are kept of all records.
struct Kept<'room> {
    bytes: usize,
    most: usize,
    /// What the mission took of the room before.
    of_mission: usize,
    room: &'room mut Room,
}

impl<'room> Reading<'room> {
    /// Reads the rows of these records without their values.
    pub(super) async fn begin(
        tx: &mut UserTx,
        keys: &[Key],
        room: &'room mut Room,
    ) -> Result<Self, StoreError> {
        let mut reading =
            Self { records: keys.iter().map(RecordLog::of).collect(), kept: Kept::in_room(room) };
        let mut rows = rows(tx.shape(), tx.user_id().to_owned(), keys).fetch(&mut **tx);
        while let Some(row) = rows.try_next().await? {
            reading.take(row)?;
        }
        Ok(reading)
    }

    fn take(&mut self, row: RowFromLog) -> Result<(), StoreError> {
        let at = usize::try_from(row.record - 1).unwrap_or(usize::MAX);
        let Some(record) = self.records.get_mut(at).filter(|record| record.found.is_none()) else {
            return Ok(());
        };
        if row.too_many || row.cut_off == Some(true) || !record.keep(row.size(), &mut self.kept)? {
            record.close(Found::TooLarge, &mut self.kept);
            return Ok(());
        }
        match row.read(record.wanted) {
            Some(row) => record.rows.push(row),
            None => record.close(Found::Nothing, &mut self.kept),
        }
        Ok(())
    }

    /// Folds all records, and opens what their folds ask for.
    pub(super) async fn finish(mut self, tx: &mut UserTx) -> Result<Vec<Found>, StoreError> {
        for round in 0.. {
            let mut asks = Asks::default();
            for record in self.records.iter_mut().filter(|record| record.found.is_none()) {
                match record.fold(round) {
                    Ok(found) => record.close(found, &mut self.kept),
                    Err(more) => asks.extend(more),
                }
            }
            if asks.names.is_empty() {
                break;
            }
            self.open(tx, &asks).await?;
        }
        Ok(self.records.into_iter().map(|record| record.found.unwrap_or_default()).collect())
    }

    async fn open(&mut self, tx: &mut UserTx, asks: &Asks) -> Result<(), StoreError> {
        // Two events may name one time block, which then stands here twice.
        let mut places: HashMap<Uuid, Vec<(usize, usize)>> = HashMap::new();
        for (at, record) in self.records.iter_mut().enumerate() {
            for (id, row) in record.answer_nothing(asks) {
                places.entry(id).or_default().push((at, row));
            }
        }
        let mut values = values(asks, tx.user_id().to_owned()).fetch(&mut **tx);
        while let Some(value) = values.try_next().await? {
            for (at, row) in places.get(&value.id).into_iter().flatten() {
                self.records[*at].answer(*row, &value, &mut self.kept)?;
            }
        }
        Ok(())
    }
}

impl RecordLog {
    fn of(key: &Key) -> Self {
        Self { wanted: Wanted::Fields(key.table.fields), rows: Rows::default(), size: 0, found: None }
    }

    /// Counts what is kept of it; `false` where that is too much.
    fn keep(&mut self, size: usize, kept: &mut Kept<'_>) -> Result<bool, StoreError> {
        self.size += size;
        Ok(kept.add(size)? && self.size <= MAX_RECORD)
    }

    fn close(&mut self, found: Found, kept: &mut Kept<'_>) {
        kept.bytes -= std::mem::take(&mut self.size);
        (self.rows, self.found) = (Rows::default(), Some(found));
    }

    fn fold(&mut self, round: usize) -> Result<Found, Asks> {
        if self.rows.unreadable.is_some() {
            return Ok(Found::Newer);
        }
        // Another member of a shared space inserted it. Their rows are hidden, and a part of a record would pass for all of it.
        if !self.rows.rows.iter().any(|row| row.op == Op::Insert) {
            return Ok(Found::Nothing);
        }
        Ok(self.rows.fold(self.wanted, round)?.map_or(Found::Gone, Found::Record))
    }

    /// Says of all that is asked for that nothing stands there, so that no round asks it again. Returns the rows that
    /// were asked.
    fn answer_nothing(&mut self, asks: &Asks) -> Vec<(Uuid, usize)> {
        let mut asked = Vec::new();
        for (at, row) in self.rows.rows.iter_mut().enumerate() {
            if let Some(names) = asks.names.get(&row.id) {
                names.iter().for_each(|name| row.opened.set(name.clone(), None));
                asked.push((row.id, at));
            }
        }
        asked
    }

    fn answer(&mut self, row: usize, value: &OpenedValue, kept: &mut Kept<'_>) -> Result<(), StoreError> {
        if self.found.is_some() {
            return Ok(());
        }
        if value.cut_off || !self.keep(value.size(), kept)? {
            self.close(Found::TooLarge, kept);
            return Ok(());
        }
        self.rows.rows[row].opened.set(value.name.clone(), value.read()?);
        Ok(())
    }
}

impl<'room> Kept<'room> {
    /// As much as is left beside the mission. More than the whole room would never be free.
    fn in_room(room: &'room mut Room) -> Self {
        let of_mission = room.bytes();
        Self { bytes: 0, most: MAX_BYTES.min(ROOM.saturating_sub(of_mission) / TIMES), of_mission, room }
    }

    /// `false` where that is more than is kept of all records.
    fn add(&mut self, size: usize) -> Result<bool, StoreError> {
        self.bytes += size;
        if self.bytes > self.most {
            return Ok(false);
        }
        self.room.grow(self.of_mission + self.bytes * TIMES)?;
        Ok(true)
    }
}
