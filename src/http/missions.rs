//! Where missions stand, and what an operator may do with one. No answer holds a mission's text.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tracing::Instrument as _;
use utoipa::{IntoParams, ToSchema};

use super::error::{ApiError, ErrorBody};
use super::params::{MissionPath, Params, RecordId};
use super::responses::{BadQuery, MissionErrors, NoDatabase, Unauthorized};
use super::state::AppState;
use crate::ops::explain::{MissionStatus, statuses};
use crate::runner::NotRun;
use crate::store::runs::Run;
use crate::store::schedule::queries::{Quarantined, quarantined};
use crate::store::schedule::release;

/// Missions on a page of `/internal/quarantine`.
const PAGE: u32 = 1000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MissionsParams {
    /// The user who owns the missions.
    #[param(value_type = String, min_length = 1, max_length = 1024, pattern = "^[^\\u0000]*$")]
    user: RecordId,
}

/// A user's missions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Missions {
    missions: Vec<MissionStatus>,
}

/// Where each mission of a user stands: due or not, and why.
#[utoipa::path(get, path = "/internal/missions", tag = "missions", params(MissionsParams), responses(
    (status = 200, body = Missions), (status = 400, body = ErrorBody, description = "A parameter is missing or wrong"), Unauthorized, NoDatabase))]
pub(super) async fn list(
    State(state): State<AppState>,
    Params(params): Params<MissionsParams>,
) -> Result<Json<Missions>, ApiError> {
    let missions = statuses(state.runner.store(), &params.user.0, None).await?;
    Ok(Json(Missions { missions }))
}

/// Where a mission stands: its schedule, why it is due or not, its latest attempts.
#[utoipa::path(get, path = "/internal/missions/{user}/{mission}", tag = "missions",
    params(MissionPath), responses(
    (status = 200, body = MissionStatus), MissionErrors, Unauthorized, NoDatabase))]
pub(super) async fn show(
    State(state): State<AppState>,
    path: MissionPath,
) -> Result<Json<MissionStatus>, ApiError> {
    Ok(Json(status_of(&state, &path).await?))
}

async fn status_of(state: &AppState, path: &MissionPath) -> Result<MissionStatus, ApiError> {
    let mut missions = statuses(state.runner.store(), &path.user_id, Some(&path.mission_id)).await?;
    let missing = || ApiError(StatusCode::NOT_FOUND, "this user has no such mission".into());
    missions.pop().ok_or_else(missing)
}

/// Plans a mission now, whether its slot has come or not, under all guards. Answers when it is done. A slot
/// that has not come stays where it is, and an attempt at it that fails is not repeated by itself.
#[utoipa::path(post, path = "/internal/missions/{user}/{mission}/run", tag = "missions",
    params(MissionPath), responses(
    (status = 200, body = Run, description = "It was tried: outcome and reason tell how that ended"),
    MissionErrors, Unauthorized,
    (status = 409, body = ErrorBody, description = "It may not be tried now, and why"),
    (status = 503, body = ErrorBody, description = "The database did not answer, or mana-llm is not to be called now")))]
pub(super) async fn run(State(state): State<AppState>, path: MissionPath) -> Result<Json<Run>, ApiError> {
    let status = status_of(&state, &path).await?;
    // In a task of its own: a client that hangs up drops this handler, but must not drop a call that is paid for.
    let runner = Arc::clone(&state.runner);
    let run = state
        .background_tasks
        .spawn(async move { runner.run_on_demand(&path.user_id, &path.mission_id).await }.in_current_span());
    match run.await {
        Ok(Ok(run)) => Ok(Json(run)),
        Ok(Err(NotRun::Store(error))) => Err(error.into()),
        Ok(Err(error @ NotRun::CircuitOpen(_))) => {
            Err(ApiError(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))
        }
        Ok(Err(error)) => {
            Err(ApiError(StatusCode::CONFLICT, format!("{error}. Where it stands: {}", status.reason)))
        }
        Err(_) => {
            Err(ApiError(StatusCode::INTERNAL_SERVER_ERROR, "the attempt ended early, see the log".into()))
        }
    }
}

/// Whether there was something to lift.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Released {
    released: bool,
}

/// Lifts what keeps a mission waiting: quarantine, backoff, rest. One whose rows cannot be read stays as it is.
#[utoipa::path(post, path = "/internal/missions/{user}/{mission}/release", tag = "missions",
    params(MissionPath), responses(
    (status = 200, body = Released), MissionErrors, Unauthorized, NoDatabase))]
pub(super) async fn release(
    State(state): State<AppState>,
    path: MissionPath,
) -> Result<Json<Released>, ApiError> {
    status_of(&state, &path).await?;
    let released = release::release(state.runner.store(), &path.user_id, &path.mission_id).await?;
    Ok(Json(Released { released }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct QuarantineParams {
    /// The user of the last mission of the page before.
    #[serde(default)]
    #[param(pattern = "^[^\\u0000]*$")]
    after_user: String,
    /// The id of the last mission of the page before.
    #[serde(default)]
    #[param(pattern = "^[^\\u0000]*$")]
    after_mission: String,
}

/// Missions that are set aside.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QuarantinePage {
    /// In the order of their ids; at most 1,000.
    missions: Vec<Quarantined>,
}

/// The missions of all users that are set aside, and why.
#[utoipa::path(get, path = "/internal/quarantine", tag = "missions", params(QuarantineParams), responses(
    (status = 200, body = QuarantinePage), BadQuery, Unauthorized, NoDatabase))]
pub(super) async fn list_quarantined(
    State(state): State<AppState>,
    Params(params): Params<QuarantineParams>,
) -> Result<Json<QuarantinePage>, ApiError> {
    if params.after_user.contains('\0') || params.after_mission.contains('\0') {
        return Err(ApiError(StatusCode::BAD_REQUEST, "an id holds a NUL character".into()));
    }
    let after = (params.after_user.as_str(), params.after_mission.as_str());
    Ok(Json(QuarantinePage { missions: quarantined(state.runner.store(), after, PAGE).await? }))
}
