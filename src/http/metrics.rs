//! `/metrics`, and the count of all requests by route.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use utoipa::openapi::OpenApi;

use crate::http::request::known;
use crate::metrics::{Metrics, UNMATCHED};
use crate::runner::Runner;

/// The version of the text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All series. Asks no database, so it answers whatever that does.
pub async fn metrics(State(runner): State<Arc<Runner>>) -> Response {
    match runner.exposition() {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics not written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The series of every route that is described, before anybody asks for it.
pub fn start_at_zero(metrics: &Metrics, described: &OpenApi) {
    let Ok(described) = serde_json::to_value(&described.paths) else { return };
    for (path, item) in described.as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let method = method.to_uppercase();
            for (status, _) in operation["responses"].as_object().into_iter().flatten() {
                metrics.http_requests_total.with_label_values(&[method.as_str(), path, status]);
                metrics.http_request_duration_seconds.with_label_values(&[method.as_str(), path]);
            }
        }
    }
}

/// Counts a request once it is answered. Outermost, so that a refused one is counted too.
pub async fn count(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = known(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    metrics.http_requests_total.with_label_values(&[method, route, response.status().as_str()]).inc();
    let took = began.elapsed().as_secs_f64();
    metrics.http_request_duration_seconds.with_label_values(&[method, route]).observe(took);
    response
}
