//! Spans on their way to a collector: batched on a thread of their own, sent by our HTTP client.

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
    /// Its HTTP client.
    #[error("no HTTP client for spans: {0}")]
    Client(#[from] reqwest::Error),
    /// Its settings. Not shown: the endpoint may hold a password.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT is set, but spans cannot be sent there")]
    Exporter,
}

impl From<ExporterBuildError> for ExportError {
    fn from(_: ExporterBuildError) -> Self {
        Self::Exporter
    }
}

/// Begins to send. Its queue is bounded: where a collector is slow or away spans are lost, not time.
pub(super) fn provider(settings: &CollectorSettings) -> Result<SdkTracerProvider, ExportError> {
    let headers =
        settings.headers.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned()));
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Collector::new(settings)?)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(settings.url.expose_secret())
        .with_headers(headers.collect())
        .with_timeout(settings.timeout)
        .build()?;
    let resource = settings.resource.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    let resource = Resource::builder_empty()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attributes(resource)
        .build();
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .with_sampler(settings.sampler.clone())
        .build())
}

/// The other end.
#[derive(Debug)]
struct Collector {
    http: reqwest::Client,
    /// Where calls run: the thread that asks for them has none of its own.
    runtime: Handle,
    away: AtomicBool,
}

impl Collector {
    fn new(settings: &CollectorSettings) -> reqwest::Result<Self> {
        let http = crate::http_client::builder()
            .timeout(settings.timeout)
            // A redirect would carry the headers to whoever the answer names.
            .redirect(redirect::Policy::none())
            .build()?;
        Ok(Self { http, runtime: Handle::current(), away: AtomicBool::new(false) })
    }

    /// Says once that it takes no spans, and once that it does again: not per batch.
    fn notice(&self, fault: Option<String>) {
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
        self.notice(match &sent {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("it answers {}", response.status())),
            Err(error) => Some(crate::http_client::cause(error)),
        });
        // Its text would name the URL.
        sent.map_err(|error| error.without_url().into())
    }
}

/// The answer's body is not needed, but for the connection's next use.
async fn send(http: reqwest::Client, request: Request<Bytes>) -> reqwest::Result<Response<Bytes>> {
    const LARGEST: usize = 64 * 1024;
    let (parts, body) = request.into_parts();
    let request = http.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body);
    let mut response = request.send().await?;
    let mut read = 0;
    while let Some(chunk) = response.chunk().await?.filter(|_| read < LARGEST) {
        read += chunk.len();
    }
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = response.status();
    *answer.headers_mut() = std::mem::take(response.headers_mut());
    Ok(answer)
}
