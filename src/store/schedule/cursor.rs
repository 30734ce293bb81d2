//! How far the schedule has followed the log, and how far it was compared with it: the one row of
//! `mana_ai.refresh_cursor`. A schedule that somebody empties loses it, by a trigger.

use std::time::Duration;

use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTime;
use sqlx::Executor as _;

use crate::store::{StoreError, Tx, sql_time};

/// The comparison of the schedule with the whole log that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Comparison {
    pub began_at: Timestamp,
    /// The last mission id that was compared; `None` before the first.
    pub up_to: Option<String>,
    /// Rows of the log that were read for it.
    pub rows: u64,
}

/// How far the schedule has followed the log.
#[derive(Debug)]
pub(super) struct Cursor {
    /// The database's clock, before anything else is read.
    pub now: Timestamp,
    /// What was visible then is in the schedule.
    pub refreshed_at: Timestamp,
    /// When the last comparison that came to its end began.
    pub reconciled_at: Option<Timestamp>,
    /// The one under way.
    pub comparison: Option<Comparison>,
}

/// Older versions write '-infinity' into a cursor that they place.
const READ: &str = "
SELECT clock_timestamp(), coalesce(nullif(refreshed_at, '-infinity'), clock_timestamp()),
    nullif(reconciled_at, '-infinity'), comparison_began_at, compared_up_to, compared_rows
FROM mana_ai.refresh_cursor";

type Row = (SqlTime, SqlTime, Option<SqlTime>, Option<SqlTime>, Option<String>, i64);

impl Cursor {
    /// Reads the cursor. A schedule without one follows the log from now on; what is older than the overlap is found by
    /// the comparison, which is due then.
    pub async fn read(tx: &mut Tx) -> Result<Self, StoreError> {
        if let Some(row) = sqlx::query_as::<_, Row>(READ).fetch_optional(&mut **tx).await? {
            return Ok(row.into());
        }
        tx.execute(
            "INSERT INTO mana_ai.refresh_cursor (refreshed_at, reconciled_at) VALUES (clock_timestamp(), '-infinity')
             ON CONFLICT DO NOTHING",
        )
        .await?;
        Ok(sqlx::query_as::<_, Row>(READ).fetch_one(&mut **tx).await?.into())
    }

    /// The comparison under way, or else a new one where one is due: `every` after the last one began, or at once.
    pub fn due_comparison(self, at_once: bool, every: Duration) -> Option<Comparison> {
        let recent = self.reconciled_at.is_some_and(|at| self.now < at + every);
        let due = (at_once || !recent).then_some(Comparison { began_at: self.now, up_to: None, rows: 0 });
        self.comparison.or(due)
    }

    /// What was visible when the cursor was read is in the schedule now. If somebody emptied the schedule meanwhile, there
    /// is no row any more, and the next refresh begins anew.
    pub async fn move_on(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let moved = sqlx::query("UPDATE mana_ai.refresh_cursor SET refreshed_at = $1");
        moved.bind(sql_time(self.now)).execute(&mut **tx).await?;
        Ok(())
    }
}

impl From<Row> for Cursor {
    fn from((now, refreshed_at, reconciled_at, began_at, up_to, rows): Row) -> Self {
        let comparison = began_at.map(|began_at| Comparison {
            began_at: began_at.to_jiff(),
            up_to,
            rows: rows.unsigned_abs(),
        });
        Self {
            now: now.to_jiff(),
            refreshed_at: refreshed_at.to_jiff(),
            reconciled_at: reconciled_at.map(SqlTime::to_jiff),
            comparison,
        }
    }
}

impl Comparison {
    /// Keeps how far it is.
    pub async fn keep(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let kept = sqlx::query(
            "UPDATE mana_ai.refresh_cursor SET comparison_began_at = $1, compared_up_to = $2, compared_rows = $3",
        );
        let kept = kept.bind(sql_time(self.began_at)).bind(&self.up_to);
        kept.bind(i64::try_from(self.rows).unwrap_or(i64::MAX)).execute(&mut **tx).await?;
        Ok(())
    }

    /// It has come to its end.
    pub async fn end(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let ended = sqlx::query(
            "UPDATE mana_ai.refresh_cursor SET reconciled_at = $1, comparison_began_at = NULL, compared_up_to = NULL,
                 compared_rows = 0",
        );
        ended.bind(sql_time(self.began_at)).execute(&mut **tx).await?;
        Ok(())
    }
}
