//! What the model would be told of a mission now, so that a prompt can be judged without a call.

use jiff::tz::TimeZone;

use crate::domain::mission::{Mission, Unreadable, Waiting};
use crate::inputs::linked::Linked;
use crate::inputs::links::Links;
use crate::planner::prompt::{Messages, messages};
use crate::planner::tools::TOOLS;
use crate::store::log::linked::wait_and_read_linked;
use crate::store::log::read::wait_and_fold;
use crate::store::{Store, StoreError, TRANSACTION, UserTx, with_timeout};

/// Why there is no prompt.
#[derive(Debug, thiserror::Error)]
pub enum NoPrompt {
    /// The database failed, or the mission's rows cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record cannot be read as a mission.
    #[error("cannot be planned: {0}")]
    Unreadable(#[from] Unreadable),
    /// The user has no such mission, or it is hard-deleted.
    #[error("this user has no such mission")]
    NoMission,
    /// Its own text is encrypted.
    #[error("nothing is asked for it: {0}")]
    Encrypted(Waiting),
}

/// The messages for a mission of the user as it is now, whether it is due or not. They hold the user's text.
///
/// # Errors
/// See [`NoPrompt`].
pub async fn prompt(
    store: &Store,
    default_zone: &TimeZone,
    user_id: &str,
    mission_id: &str,
) -> Result<Messages, NoPrompt> {
    let mut tx = UserTx::begin(store, user_id).await?;
    let (folded, room) = with_timeout(TRANSACTION, wait_and_fold(&mut tx, mission_id)).await?;
    let record = folded.record?.ok_or(NoPrompt::NoMission)?;
    let mission = Mission::read(mission_id, &record)?.healed(&folded.history);
    if let Some(field) = mission.encrypted {
        return Err(NoPrompt::Encrypted(Waiting::Encrypted { field }));
    }
    // Whoever waits for room has none. One mission is all that this process reads.
    drop(room);
    let (zone, links) = (mission.zone(default_zone), Links::of(&mission.inputs));
    let read = wait_and_read_linked(&mut tx, &links).await?;
    let now = tx.began_at();
    tx.leave();
    Ok(messages(&mission, &Linked::of(links, read, &zone), &TOOLS, now, &zone))
}
