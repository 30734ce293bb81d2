//! The runner as a whole: a tick now, pause and resume, its status, the ledger.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tracing::Instrument as _;
use utoipa::{IntoParams, ToSchema};

use super::AppState;
use super::error::{ApiError, ErrorBody, Params, RecordId};
use crate::domain::run::RunOutcome;
use crate::runner::stats::TickStats;
use crate::store::DbTime;
use crate::store::operations::{self, Status};
use crate::store::runs::{self, Run, RunFilter};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TickParams {
    /// Wait for a tick that is running, and then tick?
    #[serde(default)]
    wait: bool,
}

/// A tick now, until nothing is due. If one is running, the same shape at once, with `overlap-skipped` in
/// `errors`.
#[utoipa::path(post, path = "/internal/tick", tag = "runner", params(TickParams), responses(
    (status = 200, body = TickStats), (status = 400, body = ErrorBody, description = "wait takes true or false"),
    (status = 401, body = ErrorBody, description = "The key is missing or wrong")))]
pub(super) async fn tick(
    State(state): State<AppState>,
    Params(TickParams { wait }): Params<TickParams>,
) -> Result<Json<TickStats>, ApiError> {
    // In a task of its own, for a client that hangs up drops this handler, but must not drop a tick.
    let runner = Arc::clone(&state.runner);
    let tick = state.ticks.spawn(async move { runner.tick(wait).await }.in_current_span());
    let panicked =
        |_| ApiError(StatusCode::INTERNAL_SERVER_ERROR, "the tick ended early, see the log".to_owned());
    tick.await.map(Json).map_err(panicked)
}

/// Is the runner paused?
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pause {
    /// Since when; null where it is not.
    #[schema(value_type = Option<String>, format = DateTime)]
    paused_since: Option<DbTime>,
}

/// Nobody begins a mission any more, in any replica, until resume; what is in flight goes on.
#[utoipa::path(post, path = "/internal/pause", tag = "runner", responses(
    (status = 200, body = Pause), (status = 401, body = ErrorBody, description = "The key is missing or wrong"),
    (status = 503, body = ErrorBody, description = "The database did not answer")))]
pub(super) async fn pause(State(state): State<AppState>) -> Result<Json<Pause>, ApiError> {
    let since = operations::pause(state.runner.store()).await?;
    tracing::warn!("the runner is paused");
    state.runner.metrics().paused.set(1);
    Ok(Json(Pause { paused_since: Some(since) }))
}

/// Ends the pause. The next tick goes on with what is due.
#[utoipa::path(post, path = "/internal/resume", tag = "runner", responses(
    (status = 200, body = Pause), (status = 401, body = ErrorBody, description = "The key is missing or wrong"),
    (status = 503, body = ErrorBody, description = "The database did not answer")))]
pub(super) async fn resume(State(state): State<AppState>) -> Result<Json<Pause>, ApiError> {
    if operations::resume(state.runner.store()).await? {
        tracing::info!("the runner goes on");
    }
    state.runner.metrics().paused.set(0);
    Ok(Json(Pause { paused_since: None }))
}

/// One page of truth: what is due, who is at work, who is paused, open or set aside.
#[utoipa::path(get, path = "/internal/status", tag = "runner", responses(
    (status = 200, body = Status), (status = 401, body = ErrorBody, description = "The key is missing or wrong"),
    (status = 503, body = ErrorBody, description = "The database did not answer")))]
pub(super) async fn status(State(state): State<AppState>) -> Result<Json<Status>, ApiError> {
    Ok(Json(operations::status(state.runner.store()).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RunsParams {
    /// Of this user.
    #[param(value_type = Option<String>, min_length = 1, max_length = 1024, pattern = "^[^\\u0000]*$")]
    user: Option<RecordId>,
    /// Of this mission.
    #[param(value_type = Option<String>, min_length = 1, max_length = 1024, pattern = "^[^\\u0000]*$")]
    mission: Option<RecordId>,
    /// That ended so.
    outcome: Option<RunOutcome>,
    /// Older than this one: the `next` of the page before.
    before: Option<i64>,
    /// At most so many; 50 where not said.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// A page of the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Runs {
    /// Newest first.
    runs: Vec<Run>,
    /// What `before` takes for the next page; null on the last one.
    next: Option<i64>,
}

/// The attempts at missions, newest first.
#[utoipa::path(get, path = "/internal/runs", tag = "runner", params(RunsParams), responses(
    (status = 200, body = Runs), (status = 400, body = ErrorBody, description = "A parameter is wrong"),
    (status = 401, body = ErrorBody, description = "The key is missing or wrong"),
    (status = 503, body = ErrorBody, description = "The database did not answer")))]
pub(super) async fn list_runs(
    State(state): State<AppState>,
    Params(params): Params<RunsParams>,
) -> Result<Json<Runs>, ApiError> {
    let limit = params.limit.unwrap_or(50);
    if !(1..=500).contains(&limit) {
        return Err(ApiError(StatusCode::BAD_REQUEST, format!("limit={limit} is not from 1 to 500")));
    }
    let filter = RunFilter {
        id: None,
        user_id: params.user.map(|id| id.0),
        mission_id: params.mission.map(|id| id.0),
        outcome: params.outcome,
        before: params.before,
    };
    // One more than asked for tells whether there is another page.
    let mut runs = runs::list(state.runner.store(), &filter, limit + 1).await?;
    let more = runs.len() > limit as usize;
    runs.truncate(limit as usize);
    let next = runs.last().filter(|_| more).map(|run| run.id);
    Ok(Json(Runs { runs, next }))
}
