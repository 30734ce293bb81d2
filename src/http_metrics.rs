//! `/metrics`, and the count of all requests by route.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::metrics::{Metrics, UNMATCHED};
use crate::tick::Runner;

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

/// A client may make methods up.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
