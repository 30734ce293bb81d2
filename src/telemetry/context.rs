//! W3C trace context, <https://www.w3.org/TR/trace-context/>: a caller's trace goes on with us, and ours
//! with mana-llm.

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use reqwest::header::HeaderMap;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// `traceparent` and `tracestate` of the current span; none where there is no trace.
pub fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    TraceContextPropagator::new()
        .inject_context(&Span::current().context(), &mut HeaderInjector(&mut headers));
    headers
}

/// Makes a span that has not begun a child of the caller's, where the caller names one.
pub fn adopt(span: &Span, headers: &HeaderMap) {
    // Fails where nobody listens to the span; then there is nothing to connect.
    let _ = span.set_parent(TraceContextPropagator::new().extract(&HeaderExtractor(headers)));
}
