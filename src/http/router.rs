//! All routes, their description (OpenAPI), and the layers around them.

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::get;
use tower_http::limit::RequestBodyLimitLayer;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::errors_as_json;
use super::state::AppState;
use super::{auth, health, metrics, missions, request, runner, runs};
use crate::domain::run::RunOutcome;

/// The largest body of a request, in bytes. No route takes more.
const LARGEST_BODY: usize = 64 * 1024;

// `RunOutcome` is named here, because a type that only a parameter has is referred to, but not described by itself.
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
fn documented_routes() -> (Router<AppState>, OpenApi) {
    let (routes, mut openapi) = OpenApiRouter::with_openapi(ApiDoc::openapi())
        .routes(routes!(health::health))
        .routes(routes!(health::ready))
        .routes(routes!(runner::tick))
        .routes(routes!(runner::pause))
        .routes(routes!(runner::resume))
        .routes(routes!(runner::status))
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
pub fn openapi() -> OpenApi {
    documented_routes().1
}

/// All routes. A layer is around those that are named before it: a request passes them from the last to the first.
pub fn router(state: AppState) -> Router {
    let (routes, openapi) = documented_routes();
    metrics::start_at_zero(state.runner.metrics(), &openapi);
    let openapi = axum::Json(openapi);
    routes
        .route("/internal/openapi.json", get(|| async { openapi }))
        .route("/metrics", get(metrics::metrics).with_state(Arc::clone(&state.runner)))
        .layer(RequestBodyLimitLayer::new(LARGEST_BODY))
        .layer(middleware::from_fn(auth::require_key))
        .layer(middleware::map_response(errors_as_json))
        .layer(middleware::from_fn(request::around_request))
        .layer(middleware::from_fn_with_state(state.clone(), auth::authenticate))
        .layer(middleware::from_fn_with_state(Arc::clone(state.runner.metrics()), metrics::count))
        .with_state(state)
}
