//! What a refresh writes into the schedule: `Refreshed` and `Removed` of the state machine.

use jiff::Timestamp;

use super::due::unleased;
use crate::store::{Store, StoreError, Tx, begin, sql_time};

/// What the log says of a mission.
pub(super) struct MissionSlot {
    pub user_id: String,
    pub mission_id: String,
    /// Its next slot, none, or why it cannot be read.
    pub slot: Result<Option<Timestamp>, String>,
    /// How many rows say so.
    pub change_count: i64,
}

/// A transaction in which no other replica is at the schedule; `None` where one is at this moment. No statement of it takes
/// longer than 5 s. Whatever the statistics say, rows are found by their keys, because a batch must not read a whole table;
/// and plans are made for the keys at hand, because Postgres hashes an array only if it knows it. It has more memory,
/// because it sorts; but a replica that is frozen or cut off loses it after 60 s, so
/// that others can follow the log. What a replica writes in it is written under the lock or not at all.
pub(super) async fn begin_alone(store: &Store) -> Result<Option<Tx>, StoreError> {
    let begin = begin!(
        "work_mem = '64MB'",
        "plan_cache_mode = force_custom_plan",
        "enable_seqscan = off",
        "enable_hashjoin = off",
        "enable_mergejoin = off",
        "statement_timeout = '5s'",
        "tcp_user_timeout = '60s'",
        "idle_in_transaction_session_timeout = '60s'",
        "mana_ai.refreshing = 'on'"
    );
    let mut tx = store.begin_with(begin).await?;
    let lock = "SELECT pg_try_advisory_xact_lock(hashtextextended('mana_ai.refresh', 0))";
    if sqlx::query_scalar(lock).fetch_one(&mut *tx).await? {
        return Ok(Some(tx));
    }
    tx.rollback().await?;
    Ok(None)
}

/// A row of the schedule that was not as the log has it.
#[derive(sqlx::FromRow)]
pub(super) struct Changed {
    pub mission_id: String,
    /// Why it cannot be read now.
    pub unreadable: Option<String>,
}

/// One delete and one upsert. A mission whose log says what the schedule already has is not even locked: the same rows
/// may be folded again and again, which must not undo a wait, or hold up a lease.
#[tracing::instrument(level = "debug", skip_all)]
pub(super) async fn write(
    tx: &mut Tx,
    missions: Vec<MissionSlot>,
    forced: bool,
) -> Result<Vec<Changed>, StoreError> {
    let (off, on): (Vec<_>, Vec<_>) = missions.into_iter().partition(|mission| mission.slot == Ok(None));
    let mut changed = remove(tx, off, forced).await?;
    changed.extend(upsert(tx, on, forced).await?);
    Ok(changed)
}

/// What a new row forgets, in one place. `old` is the row as it is, `excluded` what the log says.
///
/// | column | kept while |
/// |---|---|
/// | `not_before`, `waits`, `refusals`, `quarantined` | never: a new row ends every wait |
/// | `attempts` | the slot is the same and the mission was not quarantined: a device that writes all the time must not keep a slot from failing |
/// | `failed_slots` | no row was added: the device's edit may be what mends the mission |
/// | `lost` | the mission was not quarantined: only then it begins anew |
macro_rules! reset {
    () => {
        "not_before = '-infinity', waits = NULL, refusals = 0, quarantined = false,
         attempts = CASE WHEN old.next_run_at = excluded.next_run_at AND NOT old.quarantined THEN old.attempts ELSE 0 END,
         failed_slots = CASE WHEN excluded.change_count > old.change_count THEN 0 ELSE old.failed_slots END,
         lost = CASE WHEN old.quarantined THEN 0 ELSE old.lost END"
    };
}

/// Rows that the log has otherwise than the schedule, with the reason where they are unreadable. A fold that
/// read fewer rows than the schedule knows of is older than it, and changes nothing unless it is forced.
const UPSERT: &str = concat!(
    "INSERT INTO mana_ai.mission_schedule AS old (user_id, mission_id, next_run_at, unreadable, change_count)
     SELECT new.* FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::bigint[])
         AS new (user_id, mission_id, next_run_at, unreadable, change_count)
     LEFT JOIN mana_ai.mission_schedule AS known USING (user_id, mission_id)
     WHERE (known.next_run_at, known.unreadable, known.change_count)
         IS DISTINCT FROM (new.next_run_at, new.unreadable, new.change_count)
     ON CONFLICT (user_id, mission_id) DO UPDATE SET
         next_run_at = excluded.next_run_at, unreadable = excluded.unreadable,
         change_count = excluded.change_count, ",
    reset!(),
    " WHERE $6 OR excluded.change_count >= old.change_count
     RETURNING mission_id, unreadable"
);

async fn upsert(tx: &mut Tx, missions: Vec<MissionSlot>, forced: bool) -> Result<Vec<Changed>, StoreError> {
    if missions.is_empty() {
        return Ok(Vec::new());
    }
    let (mut users, mut ids, mut slots, mut reasons, mut counts) = (vec![], vec![], vec![], vec![], vec![]);
    for mission in missions {
        users.push(mission.user_id);
        ids.push(mission.mission_id);
        slots.push(mission.slot.as_ref().ok().copied().flatten().map(sql_time));
        reasons.push(mission.slot.err());
        counts.push(mission.change_count);
    }
    let upserted =
        sqlx::query_as(UPSERT).bind(users).bind(ids).bind(slots).bind(reasons).bind(counts).bind(forced);
    Ok(upserted.fetch_all(&mut **tx).await?)
}

/// Missions without a slot, but for one that an operator asked for and that is being planned now.
async fn remove(tx: &mut Tx, missions: Vec<MissionSlot>, forced: bool) -> Result<Vec<Changed>, StoreError> {
    if missions.is_empty() {
        return Ok(Vec::new());
    }
    let (mut users, mut ids, mut counts) = (vec![], vec![], vec![]);
    for mission in missions {
        users.push(mission.user_id);
        ids.push(mission.mission_id);
        counts.push(mission.change_count);
    }
    let removed = sqlx::query_as(concat!(
        "DELETE FROM mana_ai.mission_schedule AS old
         USING unnest($1::text[], $2::text[], $3::bigint[]) AS off (user_id, mission_id, change_count)
         WHERE (old.user_id, old.mission_id) = (off.user_id, off.mission_id)
             AND ($4 OR off.change_count >= old.change_count) AND ",
        unleased!(),
        " RETURNING old.mission_id, NULL AS unreadable"
    ));
    Ok(removed.bind(users).bind(ids).bind(counts).bind(forced).fetch_all(&mut **tx).await?)
}
