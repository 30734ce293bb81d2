//! An OpenTelemetry collector over a socket, as far as spans go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What it does with a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Takes,
    /// 503.
    Refuses,
    /// Never answers.
    Hangs,
}

/// The server. Stops when dropped.
pub struct Collector {
    pub url: String,
    shared: Arc<Shared>,
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

struct Shared {
    taken: Mutex<Taken>,
    requests: watch::Sender<usize>,
    mood: watch::Sender<Mood>,
}

impl Collector {
    pub async fn that(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (requests, mood) = (watch::Sender::new(0), watch::Sender::new(mood));
        let shared = Arc::new(Shared { taken: Mutex::default(), requests, mood });
        let routes = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await }).abort_handle();
        Self { url, shared, server }
    }

    pub fn becomes(&self, mood: Mood) {
        self.shared.mood.send_replace(mood);
    }

    pub fn taken(&self) -> Taken {
        self.shared.taken.lock().unwrap().clone()
    }

    /// Returns once so many `more` requests have come.
    pub async fn asked(&self, more: usize) {
        let mut asked = self.shared.requests.subscribe();
        let before = *asked.borrow();
        asked.wait_for(|asked| *asked >= before + more).await.unwrap();
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mood = *shared.mood.borrow();
    shared.requests.send_modify(|asked| *asked += 1);
    match mood {
        Mood::Takes => {}
        Mood::Refuses => return StatusCode::SERVICE_UNAVAILABLE,
        Mood::Hangs => std::future::pending().await,
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
    StatusCode::OK
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
