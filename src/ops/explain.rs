//! Why a mission is due or not, from the log and from the schedule.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::change::{Clocks, Fields, SCHEDULE_FIELDS};
use crate::domain::fold::Record;
use crate::domain::history::History;
use crate::domain::mission::{Mission, Standing, Unreadable, Waiting, encrypted_field, inputs};
use crate::domain::opened::Wanted;
use crate::domain::run::RunOutcome;
use crate::inputs::links::Links;
use crate::ops::inputs::Inputs;
use crate::ops::situation::Situation;
use crate::store::healing::{Healing, healings};
use crate::store::log::read::{fold_record, mission_ids, wait_and_fold};
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
    /// What the model would be told of each record that it links, without a word of any; absent where the mission
    /// cannot be read, and where all of a user's missions are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub inputs: Option<Inputs>,
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

/// Where all missions of a user stand, or the one named, with its latest runs. Reads one mission after the other.
///
/// # Errors
/// The user id is empty, no policy shows the rows to their user, or the database does not answer as asked.
pub async fn statuses(
    store: &Store,
    user_id: &str,
    mission_id: Option<&str>,
) -> Result<Vec<MissionStatus>, StoreError> {
    let mut statuses = Vec::new();
    let mut look = Inspection::begin(store, user_id, mission_id).await?;
    for id in look.missions() {
        statuses.extend(look.status(&id, mission_id.is_some()).await?);
    }
    look.end(mission_id, statuses.is_empty()).await?;
    if let (Some(mission_id), Some(status)) = (mission_id, statuses.first_mut()) {
        status.runs = Some(latest_runs(store, user_id, mission_id).await?);
    }
    Ok(statuses)
}

/// The same together with what their user wrote, handed over one mission after the other, so that never two are held.
///
/// # Errors
/// As [`statuses`].
pub async fn inspect(
    store: &Store,
    user_id: &str,
    mission_id: Option<&str>,
    mut each: impl FnMut(Inspected),
) -> Result<(), StoreError> {
    let runs = match mission_id {
        Some(mission_id) => Some(latest_runs(store, user_id, mission_id).await?),
        None => None,
    };
    let mut look = Inspection::begin(store, user_id, mission_id).await?;
    let mut is_empty = true;
    for id in look.missions() {
        let Some(status) = look.status(&id, true).await? else { continue };
        is_empty = false;
        // What cannot be read is named by the status.
        let record = look.record(&id).await?.unwrap_or_default();
        let (record, field_timestamps) =
            record.map_or((None, Clocks::new()), |record| (Some(record.fields), record.clocks));
        each(Inspected { status: MissionStatus { runs: runs.clone(), ..status }, record, field_timestamps });
    }
    look.end(mission_id, is_empty).await
}

async fn latest_runs(store: &Store, user_id: &str, mission_id: &str) -> Result<Vec<Run>, StoreError> {
    let (user_id, mission_id) = (Some(user_id.to_owned()), Some(mission_id.to_owned()));
    runs::list(store, &RunFilter { user_id, mission_id, ..RunFilter::default() }, LATEST_RUNS).await
}

/// A look at missions of one user.
struct Inspection {
    tx: UserTx,
    ids: Vec<String>,
    situation: Situation,
    schedule: BTreeMap<String, Scheduled>,
    healings: BTreeMap<String, Healing>,
    last_slots: BTreeMap<String, EndedSlot>,
}

impl Inspection {
    async fn begin(store: &Store, user_id: &str, mission_id: Option<&str>) -> Result<Self, StoreError> {
        let begin = async {
            let mut tx = UserTx::begin(store, user_id).await?;
            let ids = match mission_id {
                Some(id) => vec![id.to_owned()],
                None => mission_ids(&mut tx).await?,
            };
            let situation = Situation::read(&mut tx).await?;
            let schedule = scheduled(&mut tx, mission_id).await?;
            let schedule = schedule.into_iter().map(|row| (row.mission_id.clone(), row)).collect();
            let healings = healings(&mut tx, mission_id).await?;
            let healings = healings.into_iter().map(|row| (row.mission_id.clone(), row)).collect();
            let last_slots = last_slots(&mut tx, mission_id).await?;
            let last_slots = last_slots.into_iter().map(|slot| (slot.mission_id.clone(), slot)).collect();
            Ok(Self { tx, ids, situation, schedule, healings, last_slots })
        };
        with_timeout(TRANSACTION, begin).await
    }

    fn missions(&mut self) -> Vec<String> {
        std::mem::take(&mut self.ids)
    }

    /// `None` where no row is about the mission. One whose slot is ahead needs no look at its iterations, unless
    /// `whole`.
    async fn status(&mut self, id: &str, whole: bool) -> Result<Option<MissionStatus>, StoreError> {
        let now = self.tx.began_at();
        let ahead = if whole { None } else { self.not_due(id, now).await? };
        let mut links = None;
        let verdict = match ahead {
            Some(reason) => Err(reason),
            None => {
                let (mission, _room) = with_timeout(TRANSACTION, wait_and_fold(&mut self.tx, id)).await?;
                if mission.change_count == 0 {
                    return Ok(None);
                }
                match mission.record {
                    Err(error) => Err(error.to_string()),
                    Ok(None) => Err("hard-deleted".into()),
                    Ok(Some(record)) => {
                        links = whole.then(|| Links::of(&inputs(&record)));
                        by_the_log(id, &record, &mission.history, now)
                    }
                }
            }
        };
        // After the mission has given back its room.
        let inputs = match links {
            Some(links) => Some(Inputs::read(&mut self.tx, links).await?),
            None => None,
        };
        Ok(Some(MissionStatus { inputs, ..self.judged(id, verdict, now) }))
    }

    /// Why the mission is not due, by the few fields that the schedule knows.
    async fn not_due(&mut self, id: &str, now: Timestamp) -> Result<Option<String>, StoreError> {
        let fields = Wanted::Fields(&SCHEDULE_FIELDS);
        let record = with_timeout(TRANSACTION, fold_record(&mut self.tx, id, fields)).await?;
        let standing = record.ok().flatten().map(|record| Standing::of(&record));
        Ok(standing.and_then(|standing| slot_of(standing, now).err()))
    }

    async fn record(&mut self, id: &str) -> Result<Result<Option<Record>, StoreError>, StoreError> {
        with_timeout(TRANSACTION, fold_record(&mut self.tx, id, Wanted::All)).await
    }

    fn judged(&mut self, id: &str, verdict: Result<Timestamp, String>, now: Timestamp) -> MissionStatus {
        let (schedule, last_slot) = (self.schedule.remove(id), self.last_slots.remove(id));
        let verdict = match schedule.as_ref().and_then(|row| row.hold(now)) {
            Some(Hold::Leased(until)) => Err(format!("being planned now, under a lease until {until}")),
            hold => by_the_rest(verdict, schedule.as_ref(), last_slot.as_ref(), hold, &self.situation),
        };
        let (due, reason) = match verdict {
            _ if self.tx.user_id().len() + id.len() > LONGEST_IDS => (
                false,
                format!(
                    "never planned: the ids of its user and of itself have over {LONGEST_IDS} bytes together"
                ),
            ),
            Ok(reason) => (true, reason),
            Err(reason) => (false, reason),
        };
        MissionStatus {
            mission_id: id.to_owned(),
            due,
            reason,
            schedule,
            last_slot,
            last_tick_at: self.situation.last_tick,
            last_tick_age_seconds: self.situation.last_tick_age(),
            healing: self.healings.remove(id),
            inputs: None,
            runs: None,
        }
    }

    /// Ends the look. Where it saw nothing, a policy may be missing.
    async fn end(mut self, mission_id: Option<&str>, is_empty: bool) -> Result<(), StoreError> {
        let end = async {
            if is_empty && has_rows(&mut self.tx, mission_id).await? {
                return Err(StoreError::Invisible);
            }
            self.tx.commit().await
        };
        with_timeout(TRANSACTION, end).await
    }
}

fn unreadable(error: Unreadable) -> String {
    format!("cannot be planned: {error}")
}

/// The slot that has come, or why there is none.
fn slot_of(standing: Result<Standing, Unreadable>, now: Timestamp) -> Result<Timestamp, String> {
    match standing.map_err(unreadable)? {
        Standing::Off(reason) => Err(reason),
        Standing::Unscheduled => Err("it has no nextRunAt".into()),
        Standing::Scheduled(slot) if slot > now => Err(format!("not before {slot}")),
        Standing::Scheduled(slot) => Ok(slot),
    }
}

/// The slot that has come (`Ok`), or why the mission is not due (`Err`), by its folded record alone.
fn by_the_log(id: &str, record: &Record, history: &History, now: Timestamp) -> Result<Timestamp, String> {
    let standing = Standing::of(record);
    if let (Ok(Standing::Scheduled(_) | Standing::Unscheduled), Some(field)) =
        (&standing, encrypted_field(record))
    {
        return Err(Waiting::Encrypted { field }.to_string());
    }
    let slot = slot_of(standing, now)?;
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
