//! What holds a due mission up beside its own record: the pause, mana-llm, its user's other missions, the loop.

use jiff::Timestamp;

use crate::store::pause::paused_since;
use crate::store::replicas::{breaker, last_tick, user_concurrency};
use crate::store::schedule::due::Hold;
use crate::store::schedule::queries::leased_missions;
use crate::store::schedule::scheduled::Scheduled;
use crate::store::{DbTime, StoreError, UserTx};

/// What holds up all missions of a user, as the database tells it.
pub(super) struct Situation {
    now: Timestamp,
    paused: Option<DbTime>,
    /// Why no replica calls mana-llm.
    breaker: Option<String>,
    /// When a tick of any replica last ended.
    pub last_tick: Option<DbTime>,
    /// Missions of the user that are being planned.
    at_work: i64,
    /// How many of them the replicas let be planned at once.
    user_concurrency: Option<i32>,
}

impl Situation {
    /// That of the transaction's user.
    pub(super) async fn read(tx: &mut UserTx) -> Result<Self, StoreError> {
        Ok(Self {
            now: tx.began_at(),
            paused: paused_since(tx).await?,
            breaker: breaker(tx).await?,
            last_tick: last_tick(tx).await?,
            at_work: leased_missions(tx).await?,
            user_concurrency: user_concurrency(tx).await?,
        })
    }

    /// How many seconds ago a tick last ended.
    pub(super) fn last_tick_age(&self) -> Option<i64> {
        self.last_tick.map(|at| self.now.duration_since(at.0).as_secs().max(0))
    }

    /// The reason why the next tick plans a mission whose slot has come by the log (`Ok`), or does not (`Err`). A slot in
    /// the schedule that is older than the log's is no reason to wait: the next tick's refresh mends it.
    pub(super) fn verdict(
        &self,
        slot: Timestamp,
        schedule: Option<&Scheduled>,
        hold: Option<Hold>,
    ) -> Result<String, String> {
        let held = schedule.and_then(|row| held_by_its_row(row, hold));
        if let Some(why) = self.paused().or(held).or_else(|| self.held_for_all()) {
            return Err(format!("its slot came at {slot}, but {why}"));
        }
        let last = match schedule {
            None => "; the next tick will see it".to_owned(),
            Some(row) => {
                row.waits.as_ref().map_or(String::new(), |waits| format!("; the last attempt: {waits}"))
            }
        };
        Ok(format!("due since {slot}{last}; {}", self.told_of_ticks()))
    }

    fn paused(&self) -> Option<String> {
        self.paused.map(|since| format!("the runner is paused since {}", since.0))
    }

    /// What holds up every mission of the user that is due.
    fn held_for_all(&self) -> Option<String> {
        if let Some(why) = &self.breaker {
            return Some(format!("mana-llm is not called: {why}"));
        }
        let most = self.user_concurrency.map(i64::from).filter(|most| self.at_work >= *most)?;
        let at_work = self.at_work;
        Some(format!(
            "{at_work} other mission(s) of its user are being planned, and {most} may be at once (USER_CONCURRENCY; 1 where \
             MAX_UNREAD_PER_USER is set)"
        ))
    }

    fn told_of_ticks(&self) -> String {
        match self.last_tick_age() {
            None => {
                "no tick has ever ended on this database: does a process run, and what does its /ready say?"
                    .into()
            }
            Some(seconds) => format!("the last tick ended {} ago", told_age(seconds)),
        }
    }
}

/// Why its row of the schedule keeps a mission from being claimed.
fn held_by_its_row(row: &Scheduled, hold: Option<Hold>) -> Option<String> {
    let waits = row.waits.as_deref().unwrap_or("no reason is known");
    match hold? {
        Hold::Quarantined => {
            Some(format!("it is set aside until a device writes it or an operator releases it: {waits}"))
        }
        Hold::NewRow => Some(format!("it waits until a device writes it: {waits}")),
        Hold::Until(until) => {
            let tried = if row.attempts > 0 {
                format!("was tried {} time(s), and ", row.attempts)
            } else {
                String::new()
            };
            Some(format!("it {tried}waits until {until}: {waits}"))
        }
        Hold::Leased(_) | Hold::SlotAhead(_) | Hold::NoSlot => None,
    }
}

/// A time span in its largest unit, rounded down.
fn told_age(seconds: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400, "days"), (3_600, "h"), (60, "min"), (1, "s")];
    let (length, unit) = UNITS.into_iter().find(|(length, _)| seconds >= 2 * length).unwrap_or((1, "s"));
    format!("{} {unit}", seconds / length)
}
