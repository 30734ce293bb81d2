//! Missions that wait for a call of their user, and what ends that before its time.

use sqlx::postgres::PgConnection;

use super::StoreError;

/// How the reason begins of a mission that waits for its user's budget. The summary counts missions by these words.
pub const OVER_BUDGET: &str = "its user's calls of the last 24 hours are used up";

/// Missions of the user `$1` that wait for a call. `$2` is [`OVER_BUDGET`].
macro_rules! waiting {
    () => {
        "user_id = $1 AND starts_with(waits, $2) AND not_before > clock_timestamp() AND not_before < 'infinity'"
    };
}

pub(super) use waiting;

/// The missions whose wait ends first go on, as many as there are calls again.
const GO_ON: &str = concat!(
    "UPDATE mana_ai.mission_schedule SET not_before = '-infinity', waits = NULL WHERE (user_id, mission_id) IN (
         SELECT user_id, mission_id FROM mana_ai.mission_schedule WHERE ",
    waiting!(),
    " ORDER BY not_before, mission_id LIMIT $3 FOR UPDATE SKIP LOCKED)"
);

/// Lets missions go on that wait for calls, where so many were given back. Under the lock of the user: a mission that is
/// about to wait either sees these calls, or is seen here. `CallGivenBack` in the state machine.
#[tracing::instrument(level = "debug", skip_all, fields(transition = "CallGivenBack"))]
pub(super) async fn go_on(db: &mut PgConnection, user_id: &str, calls: i32) -> Result<(), StoreError> {
    lock_user(db, user_id).await?;
    let go_on = sqlx::query(GO_ON).bind(user_id).bind(OVER_BUDGET).bind(i64::from(calls));
    go_on.execute(db).await?;
    Ok(())
}

/// One attempt of a user counts at a time. A statement of its own: the next one then sees what others have counted.
pub(super) async fn lock_user(tx: &mut PgConnection, user_id: &str) -> Result<(), StoreError> {
    let lock = sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('mana_ai.calls ' || $1, 0))");
    lock.bind(user_id).execute(tx).await?;
    Ok(())
}
