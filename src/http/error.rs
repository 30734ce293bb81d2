//! Every answer that is no success has the body `{"error": …}`. The two exceptions are hyper's own answers to a head that
//! it cannot read, 400 and 431: it closes the connection before any code of ours runs, and leaves the body empty.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

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

/// The database could not be asked. Only callers with the service key get here, so they may read why.
impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "request not answered");
        Self(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

/// A layer that gives axum's own errors, such as 404 and 405, the body of ours.
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
