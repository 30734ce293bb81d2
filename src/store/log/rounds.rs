//! Folds missions whose rows are opened as the fold asks for them: fold, open what is asked, fold again.

use crate::domain::change::Op;
use crate::domain::fold::{Record, Rules, fold_opened};
use crate::domain::opened::{Asks, LogRow, Wanted};
use crate::store::StoreError;

/// The rows of one mission, in the order of the log.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub rows: Vec<LogRow>,
    /// Why one of them cannot be read. One unreadable row makes the mission unreadable: our next row would overwrite what
    /// it changed.
    pub unreadable: Option<StoreError>,
}

/// Rounds in which a mission opens what its fold asks for; in the next one it opens everything. Two are usual: the winners,
/// then a value that stands in for a clock. More come only where clocks have no value beside them, which no device writes.
const MAX_ROUNDS: usize = 4;

impl Rows {
    pub fn push(&mut self, row: Result<LogRow, StoreError>) {
        match row {
            Ok(row) => self.rows.push(row),
            Err(error) => drop(self.unreadable.get_or_insert(error)),
        }
    }

    /// The record, or what has to be opened in this round, counted from 0.
    pub fn fold(&self, wanted: Wanted, round: usize) -> Result<Option<Record>, Asks> {
        let folded = fold_opened(Rules::APRIL, wanted, &self.rows);
        folded.map_err(|asks| if round < MAX_ROUNDS { asks } else { self.everything() })
    }

    /// Every name that the rows claim and that is not opened.
    fn everything(&self) -> Asks {
        let mut asks = Asks::default();
        for row in &self.rows {
            let names = row.field_timestamps.keys().filter(|name| row.opened.get(name).is_none());
            match row.op {
                Op::Update => asks.names.entry(row.id).or_default().extend(names.cloned()),
                Op::Insert => drop(asks.whole.insert(row.id)),
                Op::Delete => drop(asks.names.entry(row.id).or_default().insert("deletedAt".to_owned())),
            }
        }
        asks.names.retain(|_, names| !names.is_empty());
        asks
    }
}
