//! What a client is told of an error: `{"error": …}`, always.

use axum::Json;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::store::StoreError;

/// The body of every answer that is no success.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// What is wrong, and what to do.
    pub error: String,
}

/// An answer that is no success.
#[derive(Debug)]
pub struct ApiError(pub StatusCode, pub String);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.0, Json(ErrorBody { error: self.1 })).into_response()
    }
}

/// The database could not be asked: whoever has the service key may know why.
impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "request not answered");
        Self(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

/// A query string whose faults are named.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let parsed = Query::<T>::from_request_parts(parts, state).await;
        let bad = |error: axum::extract::rejection::QueryRejection| {
            ApiError(StatusCode::BAD_REQUEST, error.body_text())
        };
        parsed.map(|Query(params)| Self(params)).map_err(bad)
    }
}

/// Of a user and a mission together, as in `access.sql`. In bytes.
const LONGEST_IDS: usize = 1024;

/// `{user}/{mission}` of a path.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct MissionPath {
    /// Whose.
    #[param(rename = "user", min_length = 1, max_length = 1024, pattern = "^[^\\u0000]*$")]
    pub user_id: String,
    /// Which.
    #[param(rename = "mission", min_length = 1, max_length = 1024, pattern = "^[^\\u0000]*$")]
    pub mission_id: String,
}

impl<S: Send + Sync> FromRequestParts<S> for MissionPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<(RecordId, RecordId)>::from_request_parts(parts, state).await;
        let Path((user_id, mission_id)) =
            path.map_err(|error| ApiError(StatusCode::BAD_REQUEST, error.body_text()))?;
        // The view shows none of them, and they would not fit the key of the schedule.
        if user_id.0.len() + mission_id.0.len() > LONGEST_IDS {
            let unseen = format!("missions whose ids have over {LONGEST_IDS} bytes together are not seen");
            return Err(ApiError(StatusCode::NOT_FOUND, unseen));
        }
        Ok(Self { user_id: user_id.0, mission_id: mission_id.0 })
    }
}

/// An id that the database can hold.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct RecordId(pub String);

impl TryFrom<String> for RecordId {
    type Error = &'static str;

    fn try_from(id: String) -> Result<Self, &'static str> {
        // In characters, as the description counts.
        match id.chars().count() {
            0 => Err("an id is empty"),
            1025.. => Err("an id is longer than 1024 characters"),
            _ if id.contains('\0') => Err("an id holds a NUL character"),
            _ => Ok(Self(id)),
        }
    }
}

/// Gives the errors of the framework the form of ours.
pub(super) async fn errors_as_json(response: Response) -> Response {
    let status = response.status();
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let text = match status {
        StatusCode::NOT_FOUND => {
            "no such path; /internal/openapi.json lists them, beside /health, /ready and /metrics"
        }
        StatusCode::METHOD_NOT_ALLOWED => "this path takes another method, see the header Allow",
        StatusCode::PAYLOAD_TOO_LARGE => "the body is over 64 KiB",
        _ => status.canonical_reason().unwrap_or("error"),
    };
    let mut answer = ApiError(status, text.to_owned()).into_response();
    if let Some(allow) = response.headers().get(header::ALLOW) {
        answer.headers_mut().insert(header::ALLOW, allow.clone());
    }
    answer
}
