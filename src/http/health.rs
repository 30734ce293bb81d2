//! Does the process live, and can it plan missions? Open to everybody, so that probes need no key.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::state::AppState;

/// What a process that lives answers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// Always true.
    ok: bool,
    /// Always `mana-ai`.
    service: &'static str,
    /// The version of the service.
    version: &'static str,
    tick: TickHealth,
}

/// The state of the tick loop.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TickHealth {
    /// Is there a loop, or does only a request tick?
    enabled: bool,
    /// Is a tick at work?
    running: bool,
}

/// Asks neither the database nor mana-llm, and answers as long as the process lives.
#[utoipa::path(get, path = "/health", tag = "health", security(()), responses((status = 200, body = Health)))]
pub(super) async fn health(State(state): State<AppState>) -> Json<Health> {
    let tick = TickHealth { enabled: state.tick_enabled, running: state.runner.is_running() };
    Json(Health { ok: true, service: "mana-ai", version: env!("CARGO_PKG_VERSION"), tick })
}

/// Whether missions can be planned.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    ready: bool,
    /// Why missions cannot be planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
}

/// Whether missions can be planned: the database is there and set up, mana-llm takes our calls, ticks finish.
#[utoipa::path(get, path = "/ready", tag = "health", security(()), responses(
    (status = 200, body = Readiness), (status = 503, body = Readiness, description = "They cannot, and why")))]
pub(super) async fn ready(State(state): State<AppState>) -> (StatusCode, Json<Readiness>) {
    match state.runner.readiness().await {
        Ok(()) => (StatusCode::OK, Json(Readiness { ready: true, reason: None })),
        Err(error) => {
            let reason = Some(error.to_string());
            (StatusCode::SERVICE_UNAVAILABLE, Json(Readiness { ready: false, reason }))
        }
    }
}
