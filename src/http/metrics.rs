//! `/metrics`, and the count of all requests by route.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::OpenApi;

use super::request::method_label;
use crate::metrics::Metrics;
use crate::runner::Runner;

/// The content type of Prometheus' text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The route of a path that is none of ours. The path itself is no label, because each path
/// that a client invents would become a series.
const UNMATCHED: &str = "unmatched";
/// Method, route and status of answers to expect, beside those of the routes that are described.
const KNOWN_ANSWERS: [[&str; 3]; 4] = [
    ["GET", "/metrics", "200"],
    ["GET", "/internal/openapi.json", "200"],
    ["GET", "/internal/openapi.json", "401"],
    ["GET", UNMATCHED, "404"],
];

/// All series. Asks no database, so that it answers whatever the database does.
pub(super) async fn metrics(State(runner): State<Arc<Runner>>) -> Response {
    match runner.exposition() {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics not written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Begins the series of every answer to expect. One that appeared with its first event would hide that event from
/// `increase`.
pub fn start_at_zero(metrics: &Metrics, described: &OpenApi) {
    for [method, route, status] in KNOWN_ANSWERS {
        begin(metrics, method, route, status);
    }
    let Ok(described) = serde_json::to_value(&described.paths) else { return };
    for (path, item) in described.as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            for (status, _) in operation["responses"].as_object().into_iter().flatten() {
                begin(metrics, &method.to_uppercase(), path, status);
            }
        }
    }
}

fn begin(metrics: &Metrics, method: &str, route: &str, status: &str) {
    metrics.http_requests_total.with_label_values(&[method, route, status]);
    metrics.http_request_duration_seconds.with_label_values(&[method, route]);
}

/// The outermost layer: counts a request once it is answered, also one that a layer further in refuses.
pub(super) async fn count(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    metrics.http_requests_total.with_label_values(&[method, route, response.status().as_str()]).inc();
    let took = began.elapsed().as_secs_f64();
    metrics.http_request_duration_seconds.with_label_values(&[method, route]).observe(took);
    response
}
