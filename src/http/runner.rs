//! The runner as a whole: a tick now, pause and resume, and its status.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tracing::Instrument as _;
use utoipa::{IntoParams, ToSchema};

use super::error::{ApiError, ErrorBody};
use super::params::Params;
use super::responses::{NoDatabase, Unauthorized};
use super::state::AppState;
use crate::ops::status::{self, Status};
use crate::runner::stats::TickStats;
use crate::store::DbTime;
use crate::store::pause;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TickParams {
    /// While another tick runs: wait for its end, and then tick?
    #[serde(default)]
    wait: bool,
}

/// Ticks now, until nothing is due. While another tick runs, answers at once in the same shape, with `overlap-skipped`
/// in `errors`.
#[utoipa::path(post, path = "/internal/tick", tag = "runner", params(TickParams), responses(
    (status = 200, body = TickStats), (status = 400, body = ErrorBody, description = "wait takes true or false"), Unauthorized))]
pub(super) async fn tick(
    State(state): State<AppState>,
    Params(TickParams { wait }): Params<TickParams>,
) -> Result<Json<TickStats>, ApiError> {
    // In a task of its own: a client that hangs up drops this handler, but must not drop a tick.
    let runner = Arc::clone(&state.runner);
    let tick = state.background_tasks.spawn(async move { runner.tick(wait).await }.in_current_span());
    let panicked =
        |_| ApiError(StatusCode::INTERNAL_SERVER_ERROR, "the tick ended early, see the log".to_owned());
    tick.await.map(Json).map_err(panicked)
}

/// Is the runner paused?
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pause {
    /// The moment of the pause; null where the runner is not paused.
    #[schema(value_type = Option<String>, format = DateTime)]
    paused_since: Option<DbTime>,
}

/// Stops all replicas from beginning missions until resume; attempts in flight go on.
#[utoipa::path(post, path = "/internal/pause", tag = "runner", responses(
    (status = 200, body = Pause), Unauthorized, NoDatabase))]
pub(super) async fn pause(State(state): State<AppState>) -> Result<Json<Pause>, ApiError> {
    let since = pause::pause(state.runner.store()).await?;
    tracing::warn!("the runner is paused");
    state.runner.metrics().paused.set(1);
    Ok(Json(Pause { paused_since: Some(since) }))
}

/// Ends the pause. The next tick goes on with what is due.
#[utoipa::path(post, path = "/internal/resume", tag = "runner", responses(
    (status = 200, body = Pause), Unauthorized, NoDatabase))]
pub(super) async fn resume(State(state): State<AppState>) -> Result<Json<Pause>, ApiError> {
    if pause::resume(state.runner.store()).await? {
        tracing::info!("the runner goes on");
    }
    state.runner.metrics().paused.set(0);
    Ok(Json(Pause { paused_since: None }))
}

/// Operational summary: what is due, which replicas are at work, the pause, the circuits, what is set aside.
#[utoipa::path(get, path = "/internal/status", tag = "runner", responses(
    (status = 200, body = Status), Unauthorized, NoDatabase))]
pub(super) async fn status(State(state): State<AppState>) -> Result<Json<Status>, ApiError> {
    Ok(Json(status::status(state.runner.store()).await?))
}
