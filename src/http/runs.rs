//! The ledger of attempts.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ApiError;
use super::params::{Params, RecordId};
use super::responses::{BadQuery, NoDatabase, Unauthorized};
use super::state::AppState;
use crate::domain::run::RunOutcome;
use crate::store::runs::{self, Run, RunFilter};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RunsParams {
    /// Only attempts at missions of this user.
    #[param(value_type = Option<String>, min_length = 1, max_length = 1024, pattern = "^[^\\u0000]*$")]
    user: Option<RecordId>,
    /// Only attempts at this mission.
    #[param(value_type = Option<String>, min_length = 1, max_length = 1024, pattern = "^[^\\u0000]*$")]
    mission: Option<RecordId>,
    /// Only attempts with this outcome.
    outcome: Option<RunOutcome>,
    /// Only attempts older than this id, which is the `next` of the page before.
    before: Option<i64>,
    /// The most attempts to answer with; 50 by default.
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
    (status = 200, body = Runs), BadQuery, Unauthorized, NoDatabase))]
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
    // One more is read than was asked for: it tells whether there is another page.
    let mut runs = runs::list(state.runner.store(), &filter, limit + 1).await?;
    let more = runs.len() > limit as usize;
    runs.truncate(limit as usize);
    let next = runs.last().filter(|_| more).map(|run| run.id);
    Ok(Json(Runs { runs, next }))
}
