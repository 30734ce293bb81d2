//! Why a mission is due or not, from the log and from the schedule.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::change::{Clocks, Fields};
use crate::domain::fold::Record;
use crate::domain::history::History;
use crate::domain::mission::{Mission, Standing, Unreadable};
use crate::domain::run::RunOutcome;
use crate::ops::situation::Situation;
use crate::store::healing::{Healing, healings};
use crate::store::log::read::{FoldedMission, fold_missions};
use crate::store::log::seen::has_rows;
use crate::store::runs::{self, EndedSlot, Run, RunFilter, last_slots};
use crate::store::schedule::LONGEST_IDS;
use crate::store::schedule::due::Hold;
use crate::store::schedule::queries::scheduled;
use crate::store::schedule::scheduled::Scheduled;
use crate::store::{DbTime, Store, StoreError, TRANSACTION, UserTx, with_timeout};

/// The most runs that are shown of a mission.
const LATEST_RUNS: u32 = 10;

/// Whether a mission is due, and why. Holds nothing that its user wrote.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MissionStatus {
    /// The `record_id` of its rows.
    pub mission_id: String,
    /// Would a tick plan it now?
    pub due: bool,
    /// Why it is due, or why not.
    pub reason: String,
    /// Its row in the schedule; null where it has no slot, or where no tick has seen it yet.
    pub schedule: Option<Scheduled>,
    /// How its last slot ended; null where none has, or where that was longer ago than the ledger goes back.
    pub last_slot: Option<EndedSlot>,
    /// When a tick of any process last ended; null where none ever has.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_tick_at: Option<DbTime>,
    /// How many seconds ago that was.
    pub last_tick_age_seconds: Option<i64>,
    /// What was restored after a device had sent an old list of its iterations; null where no device wrote it beside us.
    pub healing: Option<Healing>,
    /// Its latest attempts, newest first; absent where all of a user's missions are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub runs: Option<Vec<Run>>,
}

/// A mission's status together with what its user wrote.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspected {
    /// Whether it is due, and why.
    #[serde(flatten)]
    pub status: MissionStatus,
    /// Its fields; null where it is hard-deleted or cannot be read.
    pub record: Option<Fields>,
    /// The clock of each field.
    pub field_timestamps: Clocks,
}

/// All missions of a user, or the one named, with its latest runs.
///
/// # Errors
/// The user id is empty, no policy shows the rows to their user, or the database does not answer as asked.
pub async fn inspect(
    store: &Store,
    user_id: &str,
    mission_id: Option<&str>,
) -> Result<Vec<Inspected>, StoreError> {
    let mut missions = with_timeout(TRANSACTION, read(store, user_id, mission_id)).await?;
    if let (Some(mission_id), Some(mission)) = (mission_id, missions.first_mut()) {
        let filter = RunFilter {
            user_id: Some(user_id.to_owned()),
            mission_id: Some(mission_id.to_owned()),
            ..RunFilter::default()
        };
        mission.status.runs = Some(runs::list(store, &filter, LATEST_RUNS).await?);
    }
    Ok(missions)
}

async fn read(store: &Store, user_id: &str, mission_id: Option<&str>) -> Result<Vec<Inspected>, StoreError> {
    let mut tx = UserTx::begin(store, user_id).await?;
    let now = tx.began_at();
    let missions = fold_missions(&mut tx, mission_id).await?;
    if missions.is_empty() && has_rows(&mut tx, mission_id).await? {
        return Err(StoreError::Invisible);
    }
    let situation = Situation::read(&mut tx).await?;
    let schedule = scheduled(&mut tx, mission_id).await?;
    let healings = healings(&mut tx, mission_id).await?;
    let last_slots = last_slots(&mut tx, mission_id).await?;
    tx.commit().await?;
    let mut schedule: BTreeMap<String, Scheduled> =
        schedule.into_iter().map(|row| (row.mission_id.clone(), row)).collect();
    let mut healings: BTreeMap<String, Healing> =
        healings.into_iter().map(|row| (row.mission_id.clone(), row)).collect();
    let mut last_slots: BTreeMap<String, EndedSlot> =
        last_slots.into_iter().map(|slot| (slot.mission_id.clone(), slot)).collect();
    let inspected = |(id, mission): (String, FoldedMission)| {
        let (row, healing) = (schedule.remove(&id), healings.remove(&id));
        let fits = user_id.len() + id.len() <= LONGEST_IDS;
        let last_slot = last_slots.remove(&id);
        let mut inspected = inspected(id, mission, (row, last_slot, fits), &situation, now);
        inspected.status.healing = healing;
        inspected
    };
    Ok(missions.into_iter().map(inspected).collect())
}

fn inspected(
    mission_id: String,
    mission: FoldedMission,
    (schedule, last_slot, fits): (Option<Scheduled>, Option<EndedSlot>, bool),
    situation: &Situation,
    now: Timestamp,
) -> Inspected {
    let (verdict, record) = match mission.record {
        Err(error) => (Err(error.to_string()), None),
        Ok(None) => (Err("hard-deleted".into()), None),
        Ok(Some(record)) => (by_the_log(&mission_id, &record, &mission.history, now), Some(record)),
    };
    let verdict = match schedule.as_ref().and_then(|row| row.hold(now)) {
        Some(Hold::Leased(until)) => Err(format!("being planned now, under a lease until {until}")),
        hold => by_the_rest(verdict, schedule.as_ref(), last_slot.as_ref(), hold, situation),
    };
    let (due, reason) = match verdict {
        _ if !fits => (
            false,
            format!(
                "never planned: the ids of its user and of itself have over {LONGEST_IDS} bytes together"
            ),
        ),
        Ok(reason) => (true, reason),
        Err(reason) => (false, reason),
    };
    let (record, field_timestamps) =
        record.map_or((None, Clocks::new()), |record| (Some(record.fields), record.clocks));
    let (last_tick_at, last_tick_age_seconds) = (situation.last_tick, situation.last_tick_age());
    let status = MissionStatus {
        mission_id,
        due,
        reason,
        schedule,
        last_slot,
        last_tick_at,
        last_tick_age_seconds,
        healing: None,
        runs: None,
    };
    Inspected { status, record, field_timestamps }
}

/// The slot that has come (`Ok`), or why the mission is not due (`Err`), by its folded record alone.
fn by_the_log(id: &str, record: &Record, history: &History, now: Timestamp) -> Result<Timestamp, String> {
    let unreadable = |error: Unreadable| format!("cannot be planned: {error}");
    let slot = match Standing::of(record).map_err(unreadable)? {
        Standing::Off(reason) => return Err(reason),
        Standing::Unscheduled => return Err("it has no nextRunAt".into()),
        Standing::Scheduled(slot) if slot > now => return Err(format!("not before {slot}")),
        Standing::Scheduled(slot) => slot,
    };
    let mission = Mission::read(id, record).map_err(unreadable)?.healed(history);
    mission.write_timestamp(now).map_err(unreadable)?;
    mission.next_run(now, &TimeZone::UTC).map_err(unreadable)?;
    mission.waits(now).map_or(Ok(slot), |waiting| Err(waiting.to_string()))
}

/// What the schedule, the ledger and the replicas add.
fn by_the_rest(
    verdict: Result<Timestamp, String>,
    schedule: Option<&Scheduled>,
    last_slot: Option<&EndedSlot>,
    hold: Option<Hold>,
    situation: &Situation,
) -> Result<String, String> {
    match verdict {
        Ok(slot) => situation.verdict(slot, schedule, hold),
        Err(reason) => Err(reason + &told_of_failure(schedule, last_slot, hold)),
    }
}

/// What became of the slot before, where it failed: else the next slot would be all that is told.
fn told_of_failure(
    schedule: Option<&Scheduled>,
    last_slot: Option<&EndedSlot>,
    hold: Option<Hold>,
) -> String {
    let failed = |slot: &&EndedSlot| slot.outcome == RunOutcome::SlotFailed.as_str();
    let Some(last) = last_slot.filter(failed) else { return String::new() };
    let reason = last.reason.as_deref().unwrap_or("no reason is known");
    let rest = match (hold, schedule) {
        (Some(Hold::Until(until)), Some(row)) => {
            format!("; after {} failed slot(s) in a row it rests until {until}", row.failed_slots)
        }
        _ => String::new(),
    };
    format!("; its slot {} failed: {reason}{rest}", last.slot.0)
}
