//! Push and pull.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use super::error::SyncError;
use super::log::{Cursor, NewRow, SyncLog};
use super::user::User;

/// Rows in one push.
const MOST_PUSHED: usize = 1000;
/// Rows in one pull.
const MOST_PULLED: u32 = 500;

/// What a device pushes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Push {
    client_id: String,
    changes: Vec<NewRow>,
}

/// What a device asks for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pull {
    client_id: String,
    since: Option<Timestamp>,
    after: Option<Uuid>,
    limit: Option<u32>,
}

/// Appends a device's rows.
pub(super) async fn push(
    State(log): State<SyncLog>,
    User(user): User,
    Path(app): Path<String>,
    body: Result<Json<Push>, JsonRejection>,
) -> Result<Json<Value>, SyncError> {
    let Json(Push { client_id, changes }) = body?;
    check_client(&client_id)?;
    if changes.len() > MOST_PUSHED {
        let sentence = format!("{} rows in one push, at most {MOST_PUSHED} are taken", changes.len());
        return Err(SyncError(StatusCode::PAYLOAD_TOO_LARGE, sentence));
    }
    for (index, row) in changes.iter().enumerate() {
        check(row).map_err(|problem| SyncError::bad(format!("changes[{index}]: {problem}")))?;
    }
    log.push(&user, &app, &client_id, &changes).await?;
    Ok(Json(json!({ "accepted": changes.len() })))
}

/// The rows that others wrote since a device asked last.
pub(super) async fn pull(
    State(log): State<SyncLog>,
    User(user): User,
    Path(app): Path<String>,
    query: Result<Query<Pull>, QueryRejection>,
) -> Result<Json<Value>, SyncError> {
    let Query(Pull { client_id, since, after, limit }) = query?;
    check_client(&client_id)?;
    if since.is_none() && after.is_some() {
        return Err(SyncError::bad("`after` needs `since`, the created_at of the same row"));
    }
    let limit = limit.unwrap_or(MOST_PULLED).min(MOST_PULLED);
    if limit == 0 {
        return Err(SyncError::bad("limit must be at least 1"));
    }
    let cursor = Cursor { since: since.map(|since| since.to_sqlx()), after };
    let changes = log.pull(&user, &app, &client_id, cursor, limit.into()).await?;
    Ok(Json(json!({ "changes": changes })))
}

fn check_client(client_id: &str) -> Result<(), SyncError> {
    if client_id.is_empty() { Err(SyncError::bad("clientId is empty")) } else { Ok(()) }
}

/// What the types leave open.
fn check(row: &NewRow) -> Result<(), &'static str> {
    let is_object = |raw: &RawValue| raw.get().starts_with('{');
    match row {
        row if row.table_name.is_empty() => Err("table_name is empty"),
        row if row.record_id.is_empty() => Err("record_id is empty"),
        row if !is_object(&row.data) => Err("data is no object"),
        row if row.field_timestamps.as_ref().is_some_and(|times| !is_object(times)) => {
            Err("field_timestamps is no object")
        }
        row if row.actor.as_ref().is_some_and(|actor| !is_object(actor)) => Err("actor is no object"),
        _ => Ok(()),
    }
}
