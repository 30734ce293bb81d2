//! What the log and the traces tell of a request: its id, its span, and one line at its end.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{Instrument as _, Span};

use super::auth::{is_internal, is_trusted};
use crate::telemetry::{context, ms};

const ID_HEADER: &str = "x-request-id";
/// The longest request id of a caller, in bytes.
const LONGEST_ID: usize = 128;

/// A layer that opens the span of a request and writes its line at the end. The caller's `x-request-id`, or one of ours,
/// is in every log line of the request and in the answer.
pub(super) async fn around_request(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id(request.headers());
    let internal = is_internal(request.uri().path());
    let span = span(&request, &id);
    // Only callers with the service key: a stranger must not write into anybody's trace.
    if internal && is_trusted(&request) {
        context::adopt(&span, request.headers());
    }
    let mut response = next.run(request).instrument(span.clone()).await;
    span.in_scope(|| log_end(internal, response.status(), began.elapsed()));
    response.headers_mut().insert(ID_HEADER, id);
    response
}

/// The method as a label: a client may make methods up, and each would be a series of its own.
pub(super) fn method_label(method: &Method) -> &'static str {
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

/// The span names the route, never the path, which holds ids or whatever a stranger writes.
fn span(request: &Request, id: &HeaderValue) -> Span {
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        method,
        route,
        request_id = id.to_str().unwrap_or_default(),
        status = tracing::field::Empty,
        otel.status_code = tracing::field::Empty,
    )
}

/// One line at `info` for what operators ask; at `debug` for probes and strangers, which would fill the log.
fn log_end(internal: bool, status: StatusCode, elapsed: Duration) {
    let span = Span::current();
    let elapsed_ms = ms(elapsed);
    span.record("status", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    if internal && status != StatusCode::UNAUTHORIZED {
        tracing::info!(elapsed_ms, "answered");
    } else {
        tracing::debug!(elapsed_ms, "answered");
    }
}

fn request_id(headers: &HeaderMap) -> HeaderValue {
    let sane = |id: &&HeaderValue| {
        (1..=LONGEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    headers.get(ID_HEADER).filter(sane).cloned().unwrap_or_else(new_id)
}

fn new_id() -> HeaderValue {
    #[expect(clippy::disallowed_methods, reason = "a request begins here")]
    let id = uuid::Uuid::new_v4().to_string();
    HeaderValue::from_str(&id).expect("hexadecimal digits and dashes are visible ASCII")
}
