//! Why a mission is due or not, from the log and from the schedule.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::change::{Clocks, Fields};
use crate::domain::fold::Record;
use crate::domain::history::History;
use crate::domain::mission::{Mission, Standing, Unreadable};
use crate::store::healing::{Healing, healings};
use crate::store::log::read::{FoldedMission, fold_missions};
use crate::store::pause::paused_since;
use crate::store::replicas::breaker;
use crate::store::runs::{self, Run, RunFilter};
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
/// The user id is empty, or the database does not answer as asked.
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
    let holds = GlobalHolds { paused: paused_since(&mut tx).await?, breaker: breaker(&mut tx).await? };
    let schedule = scheduled(&mut tx, mission_id).await?;
    let healings = healings(&mut tx, mission_id).await?;
    tx.commit().await?;
    let mut schedule: BTreeMap<String, Scheduled> =
        schedule.into_iter().map(|row| (row.mission_id.clone(), row)).collect();
    let mut healings: BTreeMap<String, Healing> =
        healings.into_iter().map(|row| (row.mission_id.clone(), row)).collect();
    let inspected = |(id, mission): (String, FoldedMission)| {
        let (row, healing) = (schedule.remove(&id), healings.remove(&id));
        let mut inspected = inspected(id, mission, row, &holds, now);
        inspected.status.healing = healing;
        inspected
    };
    Ok(missions.into_iter().map(inspected).collect())
}

/// What holds up the missions of all users.
struct GlobalHolds {
    paused: Option<DbTime>,
    breaker: Option<String>,
}

fn inspected(
    mission_id: String,
    mission: FoldedMission,
    schedule: Option<Scheduled>,
    holds: &GlobalHolds,
    now: Timestamp,
) -> Inspected {
    let (verdict, record) = match mission.record {
        Err(error) => (Err(error.to_string()), None),
        Ok(None) => (Err("hard-deleted".into()), None),
        Ok(Some(record)) => (by_the_log(&mission_id, &record, &mission.history, now), Some(record)),
    };
    let verdict = match schedule.as_ref().and_then(|row| row.hold(now)) {
        Some(Hold::Leased(until)) => Err(format!("being planned now, under a lease until {until}")),
        hold => verdict.and_then(|due| by_the_schedule(due, schedule.as_ref(), hold, holds)),
    };
    let (due, reason) = match verdict {
        Ok(reason) => (true, reason),
        Err(reason) => (false, reason),
    };
    let (record, field_timestamps) =
        record.map_or((None, Clocks::new()), |record| (Some(record.fields), record.clocks));
    let status = MissionStatus { mission_id, due, reason, schedule, healing: None, runs: None };
    Inspected { status, record, field_timestamps }
}

/// The reason why the mission is due (`Ok`) or not (`Err`) by its folded record alone.
fn by_the_log(id: &str, record: &Record, history: &History, now: Timestamp) -> Result<String, String> {
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
    mission.waits(now).map_or(Ok(format!("due since {slot}")), |waiting| Err(waiting.to_string()))
}

/// What the schedule adds: the reason why the next tick plans a mission that is due by the log (`Ok`) or does not
/// (`Err`). A slot in the schedule that is older than the log's is no reason to wait: the next tick's refresh mends it.
fn by_the_schedule(
    due: String,
    schedule: Option<&Scheduled>,
    hold: Option<Hold>,
    holds: &GlobalHolds,
) -> Result<String, String> {
    if let Some(since) = holds.paused {
        return Err(format!("{due}, but the runner is paused since {}", since.0));
    }
    let Some(row) = schedule else { return Ok(format!("{due}; the next tick will see it")) };
    let waits = row.waits.as_deref().unwrap_or("no reason is known");
    match hold {
        Some(Hold::Quarantined) => {
            Err(format!("{due}, but set aside until a device writes it or an operator releases it: {waits}"))
        }
        Some(Hold::NewRow) => Err(format!("{due}, but waits until a device writes it: {waits}")),
        Some(Hold::Until(until)) => {
            Err(format!("{due}, tried {} time(s), next not before {until}: {waits}", row.attempts))
        }
        Some(Hold::Leased(_) | Hold::SlotAhead(_) | Hold::NoSlot) | None => {
            match (&holds.breaker, &row.waits) {
                (Some(why), _) => Err(format!("{due}, but mana-llm is not called: {why}")),
                (None, Some(last)) => Ok(format!("{due}; the last attempt: {last}")),
                (None, None) => Ok(due),
            }
        }
    }
}
