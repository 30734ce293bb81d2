//! An OpenTelemetry collector over a socket, as far as spans go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Takes what it gets, or never answers. Stops when dropped.
pub struct Collector {
    pub url: String,
    taken: Arc<Mutex<Taken>>,
    requests: watch::Receiver<usize>,
    server: AbortHandle,
}

/// All that came.
#[derive(Default, Clone)]
pub struct Taken {
    pub spans: Vec<Span>,
    pub resource: HashMap<String, String>,
    pub headers: HeaderMap,
    /// The bodies as they came.
    pub raw: Vec<u8>,
}

#[derive(Clone)]
struct Shared {
    taken: Arc<Mutex<Taken>>,
    requests: Arc<watch::Sender<usize>>,
    hangs: bool,
}

impl Collector {
    pub async fn start() -> Self {
        Self::that(false).await
    }

    pub async fn that_hangs() -> Self {
        Self::that(true).await
    }

    async fn that(hangs: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (counted, requests) = watch::channel(0);
        let taken = Arc::default();
        let shared = Shared { taken: Arc::clone(&taken), requests: Arc::new(counted), hangs };
        let routes = Router::new().route("/v1/traces", post(take)).with_state(shared);
        let server = tokio::spawn(async move { axum::serve(listener, routes).await }).abort_handle();
        Self { url, taken, requests, server }
    }

    pub fn taken(&self) -> Taken {
        self.taken.lock().unwrap().clone()
    }

    /// Returns once `count` requests have come.
    pub async fn asked(&self, count: usize) {
        self.requests.clone().wait_for(|asked| *asked >= count).await.unwrap();
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) {
    shared.requests.send_modify(|asked| *asked += 1);
    if shared.hangs {
        std::future::pending::<()>().await;
    }
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
    let mut taken = shared.taken.lock().unwrap();
    taken.headers = headers;
    taken.raw.extend_from_slice(&body);
    for of_resource in request.resource_spans {
        taken.resource = named(&of_resource.resource.unwrap().attributes);
        taken.spans.extend(of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans));
    }
}

/// Attributes as text.
pub fn named(attributes: &[KeyValue]) -> HashMap<String, String> {
    attributes.iter().map(|attribute| (attribute.key.clone(), shown(attribute.value.as_ref()))).collect()
}

fn shown(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.clone()) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        other => format!("{other:?}"),
    }
}

impl Taken {
    /// The only span with this name.
    pub fn one(&self, name: &str) -> &Span {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "spans named {name}");
        all[0]
    }

    pub fn all(&self, name: &str) -> Vec<&Span> {
        self.spans.iter().filter(|span| span.name == name).collect()
    }

    /// The names of a span's children.
    pub fn below(&self, parent: &Span) -> Vec<&str> {
        let children = self.spans.iter().filter(|span| span.parent_span_id == parent.span_id);
        children.map(|span| span.name.as_str()).collect()
    }
}
