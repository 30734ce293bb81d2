//! What the history needs of rows that are older than its window: ids alone, and only where they can matter.

use jiff::Timestamp;
use serde_json::json;
use sqlx::types::Json;

use crate::domain::change::{APP_ID, CLIENT_ID, TABLE_NAME};
use crate::domain::history::History;
use crate::domain::iteration::iteration_id;
use crate::store::{StoreError, UserTx, sql_time};

/// How many of our rows are asked for plans in a row that no device has read: seven, and a few slots that failed.
const OUR_ROWS: i64 = 16;

/// Our rows that ended a slot up to the one that sums up the older ones, newest first.
const LISTS: &str = "
SELECT jsonb_path_query_array(data, '$.iterations[*].id') FROM public.sync_changes
WHERE user_id = $1 AND app_id = $2 AND table_name = $3 AND record_id = $4 AND client_id = $5
    AND {clocks} ? 'nextRunAt' AND created_at <= $6
ORDER BY created_at DESC, id DESC LIMIT $7";

/// Adds how many plans before the known ones were never read, where the last one is unread.
pub(super) async fn add_unread(
    tx: &mut UserTx,
    mission_id: &str,
    history: &mut History,
    up_to: Timestamp,
) -> Result<(), StoreError> {
    if history.unread_in_a_row() == 0 {
        return Ok(());
    }
    let (shape, user_id) = (tx.shape(), tx.user_id().to_owned());
    let lists = sqlx::query_scalar::<_, Json<Vec<serde_json::Value>>>(shape.sql(LISTS)).bind(user_id);
    let lists = lists.bind(APP_ID).bind(TABLE_NAME).bind(mission_id).bind(CLIENT_ID).bind(sql_time(up_to));
    let lists = lists.bind(OUR_ROWS).fetch_all(&mut **tx).await?;
    let texts = |Json(ids): Json<Vec<serde_json::Value>>| {
        ids.into_iter().filter_map(|id| Some(id.as_str()?.to_owned())).collect::<Vec<_>>()
    };
    let lists: Vec<Vec<String>> = lists.into_iter().map(texts).collect();
    history.add_older_unread(history.older_unread(&lists));
    Ok(())
}

/// Adds the id that a plan of this slot has, where a row of ours since then has that plan.
pub(super) async fn add_planned(
    tx: &mut UserTx,
    mission_id: &str,
    history: &mut History,
    slot: Timestamp,
) -> Result<(), StoreError> {
    let id = iteration_id(mission_id, slot);
    if history.had(&id) {
        return Ok(());
    }
    let user_id = tx.user_id().to_owned();
    let had = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM public.sync_changes
         WHERE user_id = $1 AND app_id = $2 AND table_name = $3 AND record_id = $4 AND client_id = $5
             AND created_at >= $6 AND data @> $7)",
    );
    let had = had.bind(user_id).bind(APP_ID).bind(TABLE_NAME).bind(mission_id).bind(CLIENT_ID);
    let iteration = json!({ "iterations": [{ "id": id }] });
    if had.bind(sql_time(slot)).bind(Json(iteration)).fetch_one(&mut **tx).await? {
        history.add_older_id(id);
    }
    Ok(())
}
