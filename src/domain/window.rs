//! Which rows of a mission the look at its history opens, so that it costs the same at any age.
//!
//! Each row of ours holds the merged list of all rows before it. So the newest one that ended a slot sums them up, and the
//! history is that row and what came since. Of a mission with at most [`MANY`] lists all are opened, so nothing is lost.
//! What a longer one loses, and what is done about it:
//!
//! - A device's row may sort before ours and become visible after it: a transaction takes its time. Rows of [`OVERLAP`]
//!   before ours are opened too, the newest [`MANY`] of them.
//! - A value that is new since may be an old one that a stale tab repeats, and a device may take back what it sent before
//!   our row. Where a row since brings such a value ([`History::is_in_doubt`]), at least [`IN_DOUBT`] rows before ours are
//!   opened. A value that is older than those counts as new; so does feedback that had been taken away before our row.
//! - Of more than [`MANY`] rows after ours the newest are opened. Each row of a device was looked at in the tick after it,
//!   so only what a burst of so many rows between two looks hid is not found.
//! - Plans that no device read are counted by the ids in the lists of our rows, and the id of a slot is looked for in them.

use jiff::SignedDuration;

use super::change::{CLIENT_ID, Op};
use super::fold::{Fold, Record, Rules};
use super::history::{ListRow, has_list, is_hard_delete};
use super::opened::{Ask, Asks, LogRow, Wanted};

/// So many rows with a list are opened at most on each side of ours, and all of a log that has no more: two months of a
/// daily mission.
const MANY: usize = 128;
/// How long before ours a row may have begun that became visible after it; as long as the refresh's usual overlap.
const OVERLAP: SignedDuration = SignedDuration::from_mins(10);
/// Rows before ours that are opened where there is doubt.
const IN_DOUBT: usize = 64;

/// A row and who sent it.
#[derive(Debug, Clone)]
pub struct SentRow {
    /// The row.
    pub row: LogRow,
    /// `client_id`.
    pub client_id: String,
}

/// How far the look at the history goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    overlap: SignedDuration,
    /// Rows before ours that are opened however old they are.
    before: usize,
    /// Of how many rows all are opened.
    whole: usize,
}

impl Reach {
    /// The usual one.
    pub const SHORT: Self = Self { overlap: OVERLAP, before: 0, whole: MANY };
    /// Where there is doubt.
    pub const WIDE: Self = Self { before: IN_DOUBT, ..Self::SHORT };
    /// As short as it can be: nothing before the row that sums up the older ones.
    pub const SHORTEST: Self = Self { overlap: SignedDuration::ZERO, before: 0, whole: 0 };

    /// The same of a log that is too long to be opened whole, however long it is.
    #[must_use]
    pub const fn of_a_long_log(self) -> Self {
        Self { whole: 0, ..self }
    }
}

/// The rows whose lists make the history, in the order of the log.
///
/// # Errors
/// What has to be opened first.
pub fn window(rules: Rules, rows: &[SentRow], reach: Reach) -> Result<Vec<ListRow>, Asks> {
    let (sums_up, read) = indices(rows, reach);
    let mut fold = Fold::of_wanted(rules, Wanted::Fields(&["iterations", "nextRunAt"]));
    let (mut window, mut asks) = (Vec::new(), Asks::default());
    for (index, SentRow { row, client_id }) in rows.iter().enumerate() {
        if read.contains(&index) {
            if client_id == CLIENT_ID && row.opened.get("nextRunAt").is_none() {
                asks.name(Ask { row: row.id, name: "nextRunAt" });
            }
            let of_row = ListRow::of(index, row, client_id, &mut fold);
            window.push(ListRow { sums_up: sums_up == Some(index), ..of_row });
        }
        fold.apply_opened(row);
    }
    asks.extend(fold.decisions());
    if asks.is_empty() { Ok(window) } else { Err(asks) }
}

/// The row that sums up the older ones, and all that are opened.
fn indices(rows: &[SentRow], reach: Reach) -> (Option<usize>, Vec<usize>) {
    let from = rows.iter().rposition(|sent| is_hard_delete(&sent.row)).map_or(0, |deleted| deleted + 1);
    let lists: Vec<usize> = (from..rows.len()).filter(|index| has_list(&rows[*index].row)).collect();
    if lists.len() <= reach.whole {
        return (None, lists);
    }
    let ours = |at: &usize| rows[lists[*at]].client_id == CLIENT_ID;
    let ends_slot = |at: &usize| ours(at) && rows[lists[*at]].row.field_timestamps.contains_key("nextRunAt");
    let is_near = |at: &usize| lists.len() - at <= MANY + 1;
    // A healing row knows no slot, so it takes the place only where the plan's row is far.
    let at = (0..lists.len()).rev().find(ends_slot).filter(is_near);
    let Some(at) = at.or_else(|| (0..lists.len()).rev().find(ours)) else {
        return (None, newest(&lists, MANY));
    };
    let created_at = rows[lists[at]].row.created_at;
    let is_before = |index: &usize| created_at.duration_since(rows[*index].row.created_at) <= reach.overlap;
    let late = lists[..at].iter().filter(|index| is_before(index)).count().min(MANY);
    let read = newest(&lists[..at], late.max(reach.before)).into_iter().chain([lists[at]]);
    (Some(lists[at]), read.chain(newest(&lists[at + 1..], MANY)).collect())
}

fn newest(lists: &[usize], count: usize) -> Vec<usize> {
    lists[lists.len().saturating_sub(count)..].to_vec()
}

/// The record of the rows; see [`fold_opened`](super::fold::fold_opened).
///
/// # Errors
/// What has to be opened before the wanted fields are known.
pub fn record(rules: Rules, wanted: Wanted, rows: &[SentRow]) -> Result<Option<Record>, Asks> {
    let mut fold = Fold::of_wanted(rules, wanted);
    rows.iter().for_each(|sent| fold.apply_opened(&sent.row));
    let asks = fold.asks();
    if asks.is_empty() { Ok(fold.finish()) } else { Err(asks) }
}

/// Rounds in which a mission opens what is asked for; after them it opens everything. Two are usual: the winners, then a
/// value that stands in for a clock. More come only where clocks have no value beside them, which no device writes.
pub const MAX_ROUNDS: usize = 4;

/// Every name that the rows claim and that is not opened.
pub fn everything(rows: &[SentRow]) -> Asks {
    let mut asks = Asks::default();
    for SentRow { row, .. } in rows {
        let claimed: Vec<&str> = match row.op {
            Op::Insert => Vec::new(),
            Op::Update => row.field_timestamps.keys().map(String::as_str).collect(),
            Op::Delete => vec!["deletedAt"],
        };
        let closed = claimed.into_iter().filter(|name| row.opened.get(name).is_none());
        closed.for_each(|name| asks.name(Ask { row: row.id, name }));
    }
    asks
}
