//! The routes. `/health` and `/ready` are open, everything under `/internal` needs the service key.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use subtle::ConstantTimeEq;
use tokio_util::task::TaskTracker;
use tower_http::limit::RequestBodyLimitLayer;

use crate::tick::Runner;

/// No route takes more. In bytes.
const LARGEST_BODY: usize = 64 * 1024;
const KEY_HEADER: &str = "x-service-key";

/// What the handlers share.
#[derive(Clone)]
pub struct AppState {
    /// Runs the ticks.
    pub runner: Arc<Runner>,
    /// For `/internal`.
    pub service_key: SecretString,
    /// Does the loop run?
    pub tick_enabled: bool,
    /// Ticks that a request started: they go on when the client has gone.
    pub ticks: TaskTracker,
}

/// All routes.
pub fn router(state: AppState) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/internal/tick", post(tick))
        .layer(RequestBodyLimitLayer::new(LARGEST_BODY))
        .layer(middleware::from_fn_with_state(state.clone(), require_key))
        .layer(middleware::map_response(errors_as_json))
        .with_state(state)
}

/// Touches nothing: answers as long as the process does.
async fn health(State(state): State<AppState>) -> Json<serde_json::Value> {
    Json(json!({
        "ok": true,
        "service": "mana-ai",
        "version": env!("CARGO_PKG_VERSION"),
        "tick": { "enabled": state.tick_enabled, "running": state.runner.is_running() },
    }))
}

async fn ready(State(state): State<AppState>) -> Response {
    match state.runner.readiness().await {
        Ok(()) => Json(json!({ "ready": true })).into_response(),
        Err(error) => {
            let body = Json(json!({ "ready": false, "reason": error.to_string() }));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

#[derive(Deserialize)]
struct TickQuery {
    #[serde(default)]
    wait: bool,
}

async fn tick(
    State(state): State<AppState>,
    query: Result<Query<TickQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Ok(Query(TickQuery { wait })) = query else {
        return error(StatusCode::BAD_REQUEST, "wait takes true or false");
    };
    // In a task of its own, for a client that hangs up drops this handler, but must not drop a tick.
    let runner = Arc::clone(&state.runner);
    match state.ticks.spawn(async move { runner.tick(wait).await }).await {
        Ok(stats) => Json(stats).into_response(),
        Err(_) => error(StatusCode::INTERNAL_SERVER_ERROR, "the tick ended early, see the log"),
    }
}

/// Before routing, so that an unknown path under `/internal` tells a stranger nothing either.
async fn require_key(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let internal = request.uri().path().split('/').nth(1) == Some("internal");
    let key = request.headers().get(KEY_HEADER).map(|key| key.as_bytes()).unwrap_or_default();
    // Constant in the bytes; the length of the key may show.
    let known: bool = key.ct_eq(state.service_key.expose_secret().as_bytes()).into();
    if internal && !known {
        return error(StatusCode::UNAUTHORIZED, "X-Service-Key is missing or wrong");
    }
    next.run(request).await
}

/// Gives the errors of the framework the form of ours.
async fn errors_as_json(response: Response) -> Response {
    let status = response.status();
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let text = match status {
        StatusCode::NOT_FOUND => "no such path; there are /health, /ready and /internal/tick",
        StatusCode::METHOD_NOT_ALLOWED => "this path takes another method, see the header Allow",
        StatusCode::PAYLOAD_TOO_LARGE => "the body is over 64 KiB",
        _ => status.canonical_reason().unwrap_or("error"),
    };
    let mut answer = error(status, text);
    if let Some(allow) = response.headers().get(header::ALLOW) {
        answer.headers_mut().insert(header::ALLOW, allow.clone());
    }
    answer
}

fn error(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "error": text }))).into_response()
}
