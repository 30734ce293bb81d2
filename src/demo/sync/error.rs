//! Answers that are no success: `{"error": "<one English sentence>"}`.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Status and sentence.
#[derive(Debug)]
pub(super) struct SyncError(pub StatusCode, pub String);

impl SyncError {
    /// The request is at fault.
    pub(super) fn bad(sentence: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, sentence.into())
    }
}

impl IntoResponse for SyncError {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

/// A row of another shape is as bad as a body that is no JSON; axum calls the first 422.
impl From<JsonRejection> for SyncError {
    fn from(rejection: JsonRejection) -> Self {
        let status = match rejection.status() {
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            status => status,
        };
        Self(status, rejection.body_text())
    }
}

impl From<QueryRejection> for SyncError {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad(rejection.body_text())
    }
}

/// Class 22 is a value that Postgres does not take, such as NUL in a text; everything else is the database's own fault.
impl From<sqlx::Error> for SyncError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
        if code.starts_with("22") {
            return Self::bad(format!("Postgres does not take a value: {error}"));
        }
        Self(StatusCode::SERVICE_UNAVAILABLE, format!("the database: {error}"))
    }
}
