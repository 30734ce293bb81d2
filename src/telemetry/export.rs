//! Spans on their way to a collector: batched on a thread of the SDK, sent by our HTTP client on our runtime.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use reqwest::redirect;
use secrecy::ExposeSecret as _;
use tokio::runtime::Handle;

use crate::config::telemetry::CollectorSettings;

/// Why spans cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The HTTP client cannot be built.
    #[error("no HTTP client for spans: {0}")]
    Client(#[from] reqwest::Error),
    /// The exporter cannot use its settings. They are not shown: the endpoint may hold a password.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT is set, but spans cannot be sent there")]
    Exporter,
}

impl From<ExporterBuildError> for ExportError {
    fn from(_: ExporterBuildError) -> Self {
        Self::Exporter
    }
}

/// Begins to send spans. The SDK's queue is bounded: where a collector is slow or away, spans are dropped and no
/// work waits. The SDK reads the sampler and the headers from the environment.
pub(super) fn provider(settings: &CollectorSettings) -> Result<SdkTracerProvider, ExportError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Collector::new(settings)?)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(settings.url.expose_secret())
        .with_timeout(settings.timeout)
        .build()?;
    let resource = settings.resource.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    let resource = Resource::builder_empty()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attributes(resource)
        .build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// The HTTP client that the exporter calls. The client of `opentelemetry-http` does not send the user and password of
/// the endpoint's URL (`nothing_secret_is_told` asks for them), and it cannot run on the SDK's thread, which has no
/// Tokio runtime.
#[derive(Debug)]
struct Collector {
    http: reqwest::Client,
    /// Requests run here, because the thread that makes them has no runtime.
    runtime: Handle,
    /// Did the last request fail?
    away: AtomicBool,
}

impl Collector {
    fn new(settings: &CollectorSettings) -> reqwest::Result<Self> {
        let http = crate::http_client::builder()
            .timeout(settings.timeout)
            // A redirect would carry the headers, which may hold a key, to any host that the answer names.
            .redirect(redirect::Policy::none())
            .build()?;
        Ok(Self { http, runtime: Handle::current(), away: AtomicBool::new(false) })
    }

    /// Logs once that the collector takes no spans, and once that it takes them again: not for each batch.
    fn log_change(&self, fault: Option<String>) {
        match fault {
            Some(reason) => {
                if !self.away.swap(true, Ordering::Relaxed) {
                    tracing::warn!(reason, "the collector takes no spans, they are lost");
                }
            }
            None => {
                if self.away.swap(false, Ordering::Relaxed) {
                    tracing::info!("the collector takes spans again");
                }
            }
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.runtime.spawn(send(self.http.clone(), request)).await?;
        self.log_change(match &sent {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("it answers {}", response.status())),
            Err(error) => Some(crate::http_client::cause(error)),
        });
        // The error's text would show the URL, which may hold a password.
        sent.map_err(|error| error.without_url().into())
    }
}

/// Reads the answer's body only so that the connection can be used again, and drops it.
async fn send(http: reqwest::Client, request: Request<Bytes>) -> reqwest::Result<Response<Bytes>> {
    const MAX_BODY_BYTES: usize = 64 * 1024;
    let (parts, body) = request.into_parts();
    let request = http.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body);
    let mut response = request.send().await?;
    let mut read = 0;
    while let Some(chunk) = response.chunk().await?.filter(|_| read < MAX_BODY_BYTES) {
        read += chunk.len();
    }
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = response.status();
    *answer.headers_mut() = std::mem::take(response.headers_mut());
    Ok(answer)
}
