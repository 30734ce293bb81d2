//! W3C trace context, <https://www.w3.org/TR/trace-context/>: our spans join a caller's trace, and mana-llm's join
//! ours.

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use reqwest::header::HeaderMap;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The headers `traceparent` and `tracestate` of the current span; empty where it belongs to no trace.
pub fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    TraceContextPropagator::new()
        .inject_context(&Span::current().context(), &mut HeaderInjector(&mut headers));
    headers
}

/// Makes `span` a child of the caller's span, where `headers` name one. Has no effect once `span` was entered.
pub fn adopt(span: &Span, headers: &HeaderMap) {
    // Fails where no layer records the span. Then there is nothing to connect.
    let _ = span.set_parent(TraceContextPropagator::new().extract(&HeaderExtractor(headers)));
}
