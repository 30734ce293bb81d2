//! Parameters of requests, read and checked.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::error::ApiError;
use crate::store::schedule::LONGEST_IDS;

/// The query of a request, parsed. What is wrong with it is answered with 400 and named.
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

/// The two ids of a path with `{user}/{mission}`.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct MissionPath {
    /// The user who owns the mission.
    #[param(rename = "user", min_length = 1, max_length = 1024, pattern = "^[^\\u0000]*$")]
    pub user_id: String,
    /// The mission's id.
    #[param(rename = "mission", min_length = 1, max_length = 1024, pattern = "^[^\\u0000]*$")]
    pub mission_id: String,
}

impl<S: Send + Sync> FromRequestParts<S> for MissionPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<(RecordId, RecordId)>::from_request_parts(parts, state).await;
        let Path((user_id, mission_id)) =
            path.map_err(|error| ApiError(StatusCode::BAD_REQUEST, error.body_text()))?;
        // The view leaves such rows out, since they would not fit the key of the schedule.
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
        // In characters, as `maxLength` of the description counts.
        match id.chars().count() {
            0 => Err("an id is empty"),
            1025.. => Err("an id is longer than 1024 characters"),
            _ if id.contains('\0') => Err("an id holds a NUL character"),
            _ => Ok(Self(id)),
        }
    }
}
