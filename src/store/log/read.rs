//! A user's missions, read from the log: `data` is opened only where the fold or the history asks for it, and never more
//! of it than [`LIMIT`].

use std::collections::HashMap;
use std::ops::ControlFlow;

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::held::Held;
use super::older::{add_planned, add_unread};
use super::open::{Asked, PART, read_lists, sql_bytes};
use super::row::{LONGEST_CLOCKS, ROWS, RowFromLog, fields};
use crate::domain::change::{APP_ID, MISSION_FIELDS, TABLE_NAME};
use crate::domain::fold::{Record, Rules};
use crate::domain::history::{History, ListRow};
use crate::domain::mission::Standing;
use crate::domain::opened::{Asks, Opened, Wanted};
use crate::domain::window::{MAX_ROUNDS, Reach, SentRow, everything, record, window};
use crate::store::limits::{LIMIT, MAX_ROWS};
use crate::store::room::Room;
use crate::store::{Store, StoreError, TRANSACTION, UserTx, with_timeout};

/// A mission as its log tells it.
#[derive(Debug)]
pub struct FoldedMission {
    /// `None` where it is hard-deleted, or was never there; `Err` where it cannot be read.
    pub record: Result<Option<Record>, StoreError>,
    /// Its iterations in all versions, as far as [`window`] goes.
    pub history: History,
    /// How many rows there are.
    pub change_count: i64,
    /// How much of their `data` was read for the record, in bytes.
    pub(super) size: usize,
}

/// The ids of the missions of the transaction's user.
///
/// # Errors
/// Whatever the database answers.
pub async fn mission_ids(tx: &mut UserTx) -> Result<Vec<String>, StoreError> {
    let user_id = tx.user_id().to_owned();
    let ids = sqlx::query_scalar(
        r#"SELECT DISTINCT record_id COLLATE "C" FROM public.sync_changes WHERE user_id = $1 AND app_id = $2 AND table_name = $3
        ORDER BY 1"#,
    );
    Ok(ids.bind(user_id).bind(APP_ID).bind(TABLE_NAME).fetch_all(&mut **tx).await?)
}

/// Folds a mission in a transaction that is begun for it, `locked` against other replicas or not, and that goes on. Waits
/// for room between two transactions, never in one.
///
/// # Errors
/// As [`fold_mission`], and those of the transaction's begin.
pub async fn begin_and_fold(
    store: &Store,
    user_id: &str,
    mission_id: &str,
    locked: bool,
) -> Result<(UserTx, FoldedMission, Room), StoreError> {
    let mut room = store.rooms.room();
    loop {
        let folded = async {
            let mut tx = if locked {
                UserTx::begin_locked(store, user_id, mission_id).await?
            } else {
                UserTx::begin(store, user_id).await?
            };
            match fold_in(room, &mut tx, mission_id).await {
                Err(StoreError::NoRoom(bytes)) => tx.rollback().await.map(|()| Err(bytes)),
                folded => folded.map(|(folded, room)| Ok((tx, folded, room))),
            }
        };
        match with_timeout(TRANSACTION, folded).await? {
            Ok(folded) => return Ok(folded),
            Err(bytes) => room = store.rooms.take(bytes).await,
        }
    }
}

/// Folds a mission of the transaction's user over [`MISSION_FIELDS`], with its history. Keep the room as long as the mission,
/// or what is made of it.
///
/// # Errors
/// [`StoreError::NoRoom`], and whatever the database answers. What makes the mission unreadable is its error, not this function's.
pub async fn fold_mission(tx: &mut UserTx, mission_id: &str) -> Result<(FoldedMission, Room), StoreError> {
    fold_in(tx.rooms().room(), tx, mission_id).await
}

/// The same in room that is already there.
#[tracing::instrument(name = "fold_mission", level = "debug", skip_all)]
async fn fold_in(room: Room, tx: &mut UserTx, mission_id: &str) -> Result<(FoldedMission, Room), StoreError> {
    let mut log = MissionLog::read(tx, mission_id, room).await?;
    let change_count = log.change_count;
    let (record, history) = match log.record_and_history(tx).await {
        Ok((record, history)) => (Ok(record), history),
        Err(error) if error.is_of_the_rows() => (Err(error), History::default()),
        Err(error) => return Err(error),
    };
    let size = log.held.size();
    Ok((FoldedMission { record, history, change_count, size }, log.held.into_room()))
}

/// The same, and waits in the transaction until there is room: for readers that hold no other room, and no lock.
///
/// # Errors
/// Whatever the database answers.
pub async fn wait_and_fold(tx: &mut UserTx, mission_id: &str) -> Result<(FoldedMission, Room), StoreError> {
    let mut room = tx.rooms().room();
    loop {
        match fold_in(room, tx, mission_id).await {
            Err(StoreError::NoRoom(bytes)) => room = tx.rooms().take(bytes).await,
            folded => return folded,
        }
    }
}

/// Folds these fields of a mission, without its history. The inner error is the mission's own.
///
/// # Errors
/// As [`fold_mission`].
#[tracing::instrument(level = "debug", skip_all)]
pub async fn fold_record(
    tx: &mut UserTx,
    mission_id: &str,
    wanted: Wanted,
) -> Result<Result<Option<Record>, StoreError>, StoreError> {
    let mut room = tx.rooms().room();
    loop {
        let folded = match MissionLog::read(tx, mission_id, room).await {
            Ok(mut log) => log.record(tx, wanted).await,
            Err(error) => Err(error),
        };
        match folded {
            Err(StoreError::NoRoom(bytes)) => room = tx.rooms().take(bytes).await,
            Err(error) if !error.is_of_the_rows() => return Err(error),
            folded => return Ok(folded),
        }
    }
}

/// The rows of a mission, opened so far.
struct MissionLog<'id> {
    mission_id: &'id str,
    rows: Vec<SentRow>,
    /// One unreadable row makes the mission unreadable: our next row would overwrite what it changed.
    unreadable: Option<StoreError>,
    change_count: i64,
    held: Held,
}

impl<'id> MissionLog<'id> {
    async fn read(tx: &mut UserTx, mission_id: &'id str, room: Room) -> Result<Self, StoreError> {
        let held = Held::new(room);
        let mut log = Self { mission_id, rows: Vec::new(), unreadable: None, change_count: 0, held };
        let long = log.read_rows(tx).await?;
        if log.unreadable.is_none() && !long.is_empty() {
            match log.open_asked(tx, long).await {
                Err(error) if error.is_of_the_rows() => log.unreadable = Some(error),
                opened => opened?,
            }
        }
        Ok(log)
    }

    /// Reads the rows, and tells which inserts are too long to come with them.
    async fn read_rows(&mut self, tx: &mut UserTx) -> Result<Asked, StoreError> {
        let (shape, user_id) = (tx.shape(), tx.user_id().to_owned());
        let most = i64::try_from(MAX_ROWS).unwrap_or(i64::MAX) + 1;
        let rows =
            sqlx::query_as::<_, RowFromLog>(shape.sql(ROWS)).bind(user_id).bind(APP_ID).bind(TABLE_NAME);
        let rows =
            rows.bind(self.mission_id).bind(sql_bytes(LONGEST_CLOCKS)).bind(sql_bytes(PART)).bind(most);
        let (mut rows, mut long) = (rows.fetch(&mut **tx), Asked::default());
        while let Some(row) = rows.try_next().await? {
            self.change_count += 1;
            // The others are counted, and not kept.
            if self.unreadable.is_some() {
                continue;
            }
            match row.read(&mut self.held) {
                Ok((row, is_whole)) => {
                    if !is_whole {
                        long.push(row.row.id, None);
                    }
                    self.rows.push(row);
                }
                Err(error) if error.is_of_the_rows() => self.unreadable = Some(error),
                Err(error) => return Err(error),
            }
        }
        if self.rows.len() > MAX_ROWS {
            self.unreadable.get_or_insert(StoreError::TooManyRows);
        }
        Ok(long)
    }

    async fn record(&mut self, tx: &mut UserTx, wanted: Wanted) -> Result<Option<Record>, StoreError> {
        if let Some(error) = self.unreadable.take() {
            return Err(error);
        }
        for round in 0.. {
            match record(Rules::APRIL, wanted, &self.rows) {
                Ok(record) => return Ok(record),
                Err(asks) => self.open(tx, asks, round).await?,
            }
        }
        unreachable!("a round with everything opened asks for nothing")
    }

    async fn record_and_history(&mut self, tx: &mut UserTx) -> Result<(Option<Record>, History), StoreError> {
        let Some(record) = self.record(tx, Wanted::Fields(&MISSION_FIELDS)).await? else {
            return Ok((None, History::default()));
        };
        let slot = match Standing::of(&record) {
            Ok(Standing::Scheduled(slot)) => Some(slot),
            _ => None,
        };
        let history = self.history(tx, slot).await?;
        Ok((Some(record), history))
    }

    /// The history: the rows that the window has, one list at a time. `slot`: where the mission stands.
    async fn history(&mut self, tx: &mut UserTx, slot: Option<Timestamp>) -> Result<History, StoreError> {
        let mut history = self.history_within(tx, Reach::SHORT).await?;
        if history.is_in_doubt() {
            drop(history);
            history = self.history_within(tx, Reach::WIDE).await?;
        }
        let sums_up = self.window(tx, Reach::SHORT).await?.into_iter().find(ListRow::is_summing_up);
        if let Some(row) = sums_up {
            let last = self.rows[row.index].row.created_at;
            add_unread(tx, self.mission_id, &mut history, last).await?;
            // Only a slot before our last row can have a plan that the history does not know: its user moved it back.
            if let Some(slot) = slot.filter(|slot| *slot <= last) {
                add_planned(tx, self.mission_id, &mut history, slot).await?;
            }
        }
        Ok(history)
    }

    /// Reads the lists with one statement, whatever their number. Where one is longer than there was room taken for, more
    /// room is taken, and all are read anew: most are as long as the record's own, which is known.
    async fn history_within(&mut self, tx: &mut UserTx, reach: Reach) -> Result<History, StoreError> {
        let window = self.window(tx, reach).await?;
        let opened = self.rows.iter().filter_map(|sent| sent.row.opened.get("iterations").flatten());
        let mut longest = opened.map(|list| list.get().len()).max().unwrap_or_default();
        loop {
            let most = PART.max(longest + longest / 8).min(LIMIT);
            match self.history_of(tx, &window, most).await? {
                Ok(history) => return Ok(history),
                Err(longer) => longest = longer,
            }
        }
    }

    /// The history of these rows; else the length of a list that is over `most` bytes.
    async fn history_of(
        &mut self,
        tx: &mut UserTx,
        window: &[ListRow],
        most: usize,
    ) -> Result<Result<History, usize>, StoreError> {
        let (rows, held) = (&self.rows, &mut self.held);
        let list = |row: &ListRow| rows[row.index].row.opened.get("iterations");
        let closed: Vec<Uuid> =
            window.iter().filter(|row| list(row).is_none()).map(|row| rows[row.index].row.id).collect();
        held.begin_versions();
        if !closed.is_empty() {
            held.list(most)?;
        }
        let (mut history, mut rest, mut longer) = (History::default(), window.iter(), None);
        let mut apply = |row: &ListRow, list: Option<&RawValue>| {
            let Some(list) = list else { return Ok(()) };
            held.versions(&history, list)?;
            history.apply_list(row, list);
            Ok::<_, StoreError>(())
        };
        read_lists(tx, closed, most, |value| {
            if value.is_longer() {
                longer = value.size;
                return Ok(ControlFlow::Break(()));
            }
            // One at a time, and not kept: lists repeat each other, and only what differs is kept by the history.
            for row in rest.by_ref() {
                match list(row) {
                    Some(list) => apply(row, list)?,
                    None => {
                        apply(row, value.text.map(RawValue::from_string).transpose()?.as_deref())?;
                        break;
                    }
                }
            }
            Ok(ControlFlow::Continue(()))
        })
        .await?;
        if let Some(size) = longer {
            held.list(size)?;
            return Ok(Err(size));
        }
        for row in rest {
            apply(row, list(row).flatten())?;
        }
        Ok(Ok(history))
    }

    async fn window(&mut self, tx: &mut UserTx, reach: Reach) -> Result<Vec<ListRow>, StoreError> {
        for round in 0.. {
            match window(Rules::APRIL, &self.rows, reach) {
                Ok(window) => return Ok(window),
                Err(asks) => self.open(tx, asks, round).await?,
            }
        }
        unreachable!("a round with everything opened asks for nothing")
    }

    /// Opens what is asked for; everything, where that takes too many rounds.
    async fn open(&mut self, tx: &mut UserTx, asks: Asks, round: usize) -> Result<(), StoreError> {
        let asks = if round < MAX_ROUNDS { asks } else { everything(&self.rows) };
        self.open_asked(tx, Asked::of(&asks)).await
    }

    /// Opens it, and keeps it. What is long is asked for a second time, when there is room for it.
    async fn open_asked(&mut self, tx: &mut UserTx, asked: Asked) -> Result<(), StoreError> {
        let (mut opened, mut long, held) = (Vec::new(), Asked::default(), &mut self.held);
        asked
            .read(tx, PART, |value| {
                held.text(value.size.unwrap_or_default())?;
                if value.is_longer() {
                    long.push(value.id, value.name);
                } else {
                    opened.push(value.read(held)?);
                }
                Ok(())
            })
            .await?;
        if !long.is_empty() {
            long.read(tx, LIMIT, |value| value.read(held).map(|value| opened.push(value))).await?;
        }
        let rows = self.rows.iter_mut().map(|sent| (sent.row.id, &mut sent.row.opened));
        let mut rows: HashMap<Uuid, &mut Opened> = rows.collect();
        for (id, name, value) in opened {
            let Some(row) = rows.get_mut(&id) else { continue };
            match name {
                Some(name) => row.set(name, value),
                None => **row = Opened::Whole(value.as_deref().map(fields).unwrap_or_default()),
            }
        }
        Ok(())
    }
}
