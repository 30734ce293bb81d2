//! The routes. `/health`, `/ready` and `/metrics` are open, everything under `/internal` needs the service key.

mod error;
mod health;
pub mod metrics;
mod missions;
pub mod request;
mod runs;
pub mod server;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tokio_util::task::TaskTracker;
use tower_http::limit::RequestBodyLimitLayer;
use utoipa::OpenApi as _;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::run::RunOutcome;
use crate::runner::Runner;
use error::{ApiError, errors_as_json};

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
    /// Ticks and attempts that a request started: they go on when the client has gone.
    pub ticks: TaskTracker,
}

// Named here, for a type that only a parameter has is referred to, but not described by itself.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "mana-ai",
        description = "Plans users' due AI missions. What operators ask it.",
        license(name = "proprietary", identifier = "LicenseRef-proprietary")
    ),
    components(schemas(RunOutcome))
)]
struct ApiDoc;

/// Each route with its description, so that none goes without.
fn documented_routes() -> (Router<AppState>, utoipa::openapi::OpenApi) {
    let (routes, mut openapi) = OpenApiRouter::with_openapi(ApiDoc::openapi())
        .routes(routes!(health::health))
        .routes(routes!(health::ready))
        .routes(routes!(runs::tick))
        .routes(routes!(runs::pause))
        .routes(routes!(runs::resume))
        .routes(routes!(runs::status))
        .routes(routes!(runs::list_runs))
        .routes(routes!(missions::list))
        .routes(routes!(missions::list_quarantined))
        .routes(routes!(missions::show))
        .routes(routes!(missions::run))
        .routes(routes!(missions::release))
        .split_for_parts();
    let key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-Service-Key")));
    openapi.components.get_or_insert_default().add_security_scheme("key", key);
    openapi.security = Some(vec![SecurityRequirement::new("key", Vec::<String>::new())]);
    (routes, openapi)
}

/// The description of the routes, as `/internal/openapi.json` answers it.
pub fn openapi() -> utoipa::openapi::OpenApi {
    documented_routes().1
}

/// All routes.
pub fn router(state: AppState) -> Router {
    let (routes, openapi) = documented_routes();
    metrics::start_at_zero(state.runner.metrics(), &openapi);
    let openapi = axum::Json(openapi);
    routes
        .route("/internal/openapi.json", get(|| async { openapi }))
        .route("/metrics", get(metrics::metrics).with_state(Arc::clone(&state.runner)))
        .layer(RequestBodyLimitLayer::new(LARGEST_BODY))
        .layer(middleware::from_fn(require_key))
        .layer(middleware::map_response(errors_as_json))
        .layer(middleware::from_fn(request::around_request))
        .layer(middleware::from_fn_with_state(state.clone(), authenticate))
        .layer(middleware::from_fn_with_state(Arc::clone(state.runner.metrics()), metrics::count))
        .with_state(state)
}

/// Marks the requests of who has the service key.
async fn authenticate(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let key = request.headers().get(KEY_HEADER).map(|key| key.as_bytes()).unwrap_or_default();
    // Constant in the bytes; the length of the key may show.
    if key.ct_eq(state.service_key.expose_secret().as_bytes()).into() {
        request.extensions_mut().insert(request::Trusted);
    }
    next.run(request).await
}

/// Before routing, so that an unknown path under `/internal` tells a stranger nothing either.
async fn require_key(request: Request, next: Next) -> Response {
    let trusted = request.extensions().get::<request::Trusted>().is_some();
    if request::is_internal(request.uri().path()) && !trusted {
        return ApiError(StatusCode::UNAUTHORIZED, "X-Service-Key is missing or wrong".into())
            .into_response();
    }
    next.run(request).await
}
