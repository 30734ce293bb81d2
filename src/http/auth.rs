//! Who may do what: everything under `/internal` needs the service key.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;

use super::error::ApiError;
use super::state::AppState;

const KEY_HEADER: &str = "x-service-key";

/// Marks a request that came with the service key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trusted;

/// Does the path need the service key? Decided before routing, so that the answer to an unknown path under `/internal`
/// tells a stranger nothing either.
pub(super) fn is_internal(path: &str) -> bool {
    path.split('/').nth(1) == Some("internal")
}

/// Did the request come with the service key?
pub(super) fn is_trusted(request: &Request) -> bool {
    request.extensions().get::<Trusted>().is_some()
}

/// A layer that marks the requests that come with the service key.
pub(super) async fn authenticate(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let key = request.headers().get(KEY_HEADER).map(|key| key.as_bytes()).unwrap_or_default();
    // The time that this takes depends on the key's length alone, not on its bytes.
    if key.ct_eq(state.service_key.expose_secret().as_bytes()).into() {
        request.extensions_mut().insert(Trusted);
    }
    next.run(request).await
}

/// A layer that answers 401 to requests under `/internal` without the mark.
pub(super) async fn require_key(request: Request, next: Next) -> Response {
    if is_internal(request.uri().path()) && !is_trusted(&request) {
        let error = ApiError(StatusCode::UNAUTHORIZED, "X-Service-Key is missing or wrong".into());
        return error.into_response();
    }
    next.run(request).await
}
