//! Logs, and the spans that go to a collector.
//!
//! The rules: ids are fields, names of fields have units, an error is logged once. No line and no span holds a body,
//! a prompt, an answer, a mission's text or a secret. Spans of requests, ticks, missions and calls have level info.
//! Spans of database steps have level debug, so that they cost nothing where neither a collector nor `RUST_LOG` asks
//! for them.

pub mod context;
mod export;
mod panics;

use std::io::IsTerminal as _;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::trace::noop::NoopTracer;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Subscriber};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt};

use crate::config::telemetry::{LogFormat, Settings};
pub use export::ExportError;

/// Where log lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Standard output, for a service.
    Stdout,
    /// Standard error, where standard output holds the command's answer.
    Stderr,
    /// Standard error beside a progress bar: only warnings, unless `RUST_LOG` asks for more.
    BesideBar,
}

type BoxedLayer<S> = Box<dyn Layer<S> + Send + Sync>;

/// Logs from now on, without traces: for commands that only ask the database. At most once in a process.
pub fn log(settings: &Settings, output: Output) {
    tracing_subscriber::registry().with(log_layer(settings.log_format, output)).init();
    panics::log_panics_by_place();
}

/// Logs from now on, and sends spans to the collector where the settings name one. To be called within the Tokio
/// runtime that is to send them, at most once in a process.
///
/// `drain` is how long a stop may take. [`Exporting::reserved`] of it is for the last spans, which are sent after
/// everything else has ended.
///
/// # Errors
/// The collector's settings cannot be used.
pub fn log_and_trace(settings: &Settings, output: Output, drain: Duration) -> Result<Exporting, ExportError> {
    let provider = settings.collector.as_ref().map(export::provider).transpose()?;
    let spans = provider.as_ref().map_or_else(passing_layer, exporting_layer);
    tracing_subscriber::registry().with(spans).with(log_layer(settings.log_format, output)).init();
    panics::log_panics_by_place();
    let reserved = (drain / 4).min(LAST_SPANS_TIMEOUT);
    Ok(Exporting(provider.map(|provider| (provider, reserved))))
}

fn log_layer<S>(format: LogFormat, output: Output) -> BoxedLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let default = if output == Output::BesideBar { Level::WARN } else { Level::INFO };
    let filter = EnvFilter::builder().with_default_directive(default.into()).from_env_lossy();
    let (writer, is_terminal) = match output {
        Output::Stdout => (fmt::writer::BoxMakeWriter::new(std::io::stdout), std::io::stdout().is_terminal()),
        Output::Stderr | Output::BesideBar => {
            (fmt::writer::BoxMakeWriter::new(std::io::stderr), std::io::stderr().is_terminal())
        }
    };
    let lines = fmt::layer().with_writer(writer);
    match format {
        LogFormat::Pretty => lines.with_ansi(is_terminal).with_filter(filter).boxed(),
        // The current span is the last entry of the list of spans, so it is not printed a second time.
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_filter(filter).boxed()
        }
    }
}

/// Records spans and sends them, database steps included, whatever `RUST_LOG` says: a trace with gaps explains
/// nothing.
fn exporting_layer(provider: &SdkTracerProvider) -> BoxedLayer<Registry> {
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer(env!("CARGO_PKG_NAME")));
    without_bookkeeping(layer).with_filter(own_spans(Level::DEBUG)).boxed()
}

/// Records no span, but hands a caller's trace context on to mana-llm.
fn passing_layer() -> BoxedLayer<Registry> {
    let layer: OpenTelemetryLayer<Registry, NoopTracer> = tracing_opentelemetry::layer();
    without_bookkeeping(layer).with_filter(own_spans(Level::INFO)).boxed()
}

/// Only spans of this crate. Those of libraries do not keep the rules above: sqlx would show its statements.
fn own_spans(level: Level) -> Targets {
    Targets::new().with_target(env!("CARGO_CRATE_NAME"), level)
}

/// Turns off the bookkeeping per span that no exporter reads.
fn without_bookkeeping<T>(layer: OpenTelemetryLayer<Registry, T>) -> OpenTelemetryLayer<Registry, T>
where
    T: opentelemetry::trace::Tracer + 'static,
    T::Span: Send + Sync,
{
    layer
        .with_context_activation(false)
        .with_tracked_inactivity(false)
        .with_location(false)
        .with_threads(false)
}

/// Sends the spans that are still in the queue when it is dropped, for [`Exporting::reserved`] at most.
#[derive(Debug)]
pub struct Exporting(Option<(SdkTracerProvider, Duration)>);

/// The longest that sending the last spans may take. A collector that works takes them in a fraction of this.
const LAST_SPANS_TIMEOUT: Duration = Duration::from_secs(1);

impl Exporting {
    /// How long the last spans may take when the process ends. The caller takes it off the time that it gives to
    /// everything else, so that the process is gone in time. Zero without a collector.
    pub fn reserved(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |(_, reserved)| *reserved)
    }
}

impl Drop for Exporting {
    fn drop(&mut self) {
        if let Some((provider, reserved)) = &self.0
            && let Err(error) = provider.shutdown_with_timeout(*reserved)
        {
            tracing::debug!(%error, "the last spans are lost");
        }
    }
}

/// Whole milliseconds for a log field. Fields cannot hold the `u128` of [`Duration::as_millis`].
pub fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
